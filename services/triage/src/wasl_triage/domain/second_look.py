# SPDX-License-Identifier: Apache-2.0
"""What a second person may see of a case before they have looked themselves.

Pure. Where the pack says blind, they judge before they know what the first person said: what is
kept from them is not in the case they are handed. Where it says no second viewing, they check data
and routing, and no text is opened for them.
"""

from dataclasses import replace

from wasl_schemas.country_pack import CountryPack

from wasl_triage.domain.case import Case, DecisionRow
from wasl_triage.domain.severity import Scales


def judged_blind(pack: CountryPack, row: DecisionRow) -> bool:
    """A machine's decision rests on nobody's judgement; there is nothing to be blind to."""
    return row.category in pack.desk.blind and not row.automatic


def _first(case: Case, name: str) -> bool:
    """The person gave the assessment that waits to be looked at."""
    return case.assessment is not None and case.assessment.by == name


def blinded(pack: CountryPack, case: Case, name: str) -> bool:
    """Whether the person has yet to judge apart from what the first one said."""
    return not _first(case, name) and any(
        judged_blind(pack, d) and d.by != name and all(j.by != name for j in d.judgements)
        for d in case.pending()
    )


def closed(pack: CountryPack, case: Case, name: str) -> bool:
    """Whether the person would be the second one to view what is viewed once."""
    return not _first(case, name) and any(
        d.category in pack.desk.no_second_viewing and not d.automatic and d.by != name
        for d in case.pending()
    )


def as_seen(pack: CountryPack, scales: Scales, case: Case, name: str) -> Case:
    """The case as this person may know it: itself, or a copy in which the present round says only
    what reporters said.
    """
    if not blinded(pack, case, name):
        return case
    veiled = replace(case, assessment=None)
    weight = scales.weigh(case.reported, veiled.signals(scales))
    veiled.category, veiled.because = weight.category, weight.result.because
    veiled.decisions = [_veiled(d) if d.round == case.round else d for d in case.decisions]
    return veiled


def _veiled(row: DecisionRow) -> DecisionRow:
    return replace(
        row,
        category=None,
        ground=None,
        partners=(),
        authorities=(),
        scope=None,
        proposal=None,
        advice=None,
        close_reason=None,
        law_version="",
        judgements=(),
    )
