# SPDX-License-Identifier: Apache-2.0
"""Who may ask for a decision to be looked at again, who answers, and what the answer undoes. Pure.

Three sides have a right to ask: who reported, who is affected, and the partner that acted. Nobody
answers for their own decision, and what took a lawyer's signature takes one again (Digital Services
Act, art. 20: appeals are decided diligently, under qualified people, and reversed without delay).
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from wasl_schemas.lifecycle import DISPATCH
from wasl_schemas.taxonomy import FourEyes

from wasl_triage.domain.case import Case, DecisionRow
from wasl_triage.domain.decisions import Missing
from wasl_triage.domain.people import Permission, Person


class Side(StrEnum):
    REPORTER = "reporter"
    AFFECTED = "affected"
    PARTNER = "partner"


class AppealState(StrEnum):
    """``upheld``: the decision stands. ``partly``: some of what was sent is taken back."""

    OPEN = "open"
    UPHELD = "upheld"
    REVERSED = "reversed"
    PARTLY = "partly"


@dataclass(frozen=True, slots=True)
class Undoing:
    """What an answer takes back: requests, what partners did on them included; and referrals, which
    cannot be withdrawn: somebody must write to the authority.
    """

    withdrawn: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()


def check_filing(
    case: Case, row: DecisionRow | None, side: Side, *, report_id: str | None, partner: str | None
) -> list[Missing]:
    """What is missing for an appeal to be registered."""
    if row is None:
        return [Missing("decision_id", "is no decision of this case", "Use one the case lists.")]
    out: list[Missing] = []
    if row.reversed_by is not None or row.confirmed is False:
        out.append(Missing("decision_id", "does not stand any more", "Name one that stands."))
    elif row in case.pending() and row.four_eyes is not FourEyes.POST:
        out.append(Missing("decision_id", "is only proposed", "Wait for the second look."))
    if side is Side.REPORTER and report_id is None:
        out.append(Missing("report_id", "is missing", "Name the report of whoever asks."))
    if side is Side.PARTNER and partner not in row.partners:
        out.append(
            Missing("partner", "was not asked by this decision", "Name a partner it was sent to.")
        )
    return out


def check_answer(row: DecisionRow, person: Person, *, reason: str) -> list[Missing]:
    """What is missing for ``person`` to decide an appeal against ``row``."""
    out: list[Missing] = []
    if person.name in (row.by, row.second, *(j.by for j in row.judgements)):
        out.append(
            Missing(
                "decided_by",
                "is one of the people who decided this",
                "Let somebody decide who was no part of it.",
            )
        )
    if row.four_eyes is FourEyes.PRE_LEGAL and not person.may(Permission.SIGN_LEGAL):
        out.append(
            Missing(
                "decided_by",
                "is no legal reviewer, and the decision took one",
                "Let a legal reviewer decide.",
            )
        )
    if not reason:
        out.append(Missing("reason", "is missing", "Say why the decision stands or does not."))
    return out


def sent_by(case: Case, row: DecisionRow) -> list[str]:
    """The ids of the requests and referrals that left with a decision."""
    requests = [
        i for i, d in case.dispatches.items() if d.round == row.round and d.partner in row.partners
    ]
    referrals = [
        i
        for i, r in case.referrals.items()
        if r.round == row.round and r.authority in row.authorities
    ]
    return requests + referrals


def undoing(case: Case, row: DecisionRow, chosen: Collection[str] | None) -> Undoing:
    """What a reversal takes back. ``chosen``: only these, for a reversal in part; None: all."""
    ids = [i for i in sent_by(case, row) if chosen is None or i in chosen]
    able = tuple(
        i
        for i in ids
        if (d := case.dispatches.get(i)) is not None
        and d.withdrawn is None
        and DISPATCH.allows(d.state, "withdraw")
    )
    # Of the others a partner knows already, or has nothing to undo: only authorities are left.
    return Undoing(able, tuple(i for i in ids if i in case.referrals))
