# SPDX-License-Identifier: Apache-2.0
"""Working cases together and apart. Pure.

A case is about one item for ever. Merged cases keep their own reports, decisions and requests; one
of them leads, the others follow it out of the queue. There are no chains, so who leads a case is
one step away.
"""

from collections.abc import Sequence
from datetime import datetime

from wasl_schemas.country_pack import CountryPack
from wasl_schemas.lifecycle import CASE
from wasl_schemas.taxonomy import Safeguard

from wasl_triage.domain.case import Case, Follower
from wasl_triage.domain.decisions import Missing

#: Cases that may follow one; each is a line of its document.
MAX_FOLLOWERS = 100
_ALONE = "Assess this case by itself."
#: Why something is not done, and what to do instead.
Why = tuple[str, str]


def follow(case: Case, pack: CountryPack) -> Follower:
    """What the lead knows of ``case``, which was placed."""
    return Follower(case.rank, case.queue_due, case.restricted_itself(pack))


def may_merge(lead: Case, members: Sequence[Case]) -> Why | None:
    """Why ``members`` may not follow ``lead``; None: they may."""
    if not members:
        return "No other case is named", "Name the cases to work on together with this one."
    if any(m.id == lead.id for m in members):
        return "A case does not follow itself", "Name other cases."
    if lead.lead is not None:
        return "The case follows another", "Merge into the case that leads, or take it out first."
    for member in members:
        if member.lead is not None:
            return "One of the cases follows another already", "Undo that merge first."
        if member.followers:
            return "One of the cases leads others", "Merge into that one, or undo its merge first."
    if any(c.state in CASE.settled for c in (lead, *members)):
        return "One of the cases is settled", "Reopen it first, or leave it out."
    if len(lead.followers) + len(members) > MAX_FOLLOWERS:
        return "Too many cases would be worked as one", "Leave some out, or take some out."
    return None


def may_apply(pack: CountryPack, follower: Case, category: str) -> list[Missing]:
    """What keeps a follower from being called ``category`` without a look of its own: as part of a
    group nothing becomes what may leave the hub, or what everybody may see.
    """
    if follower.category == category:
        return []
    out: list[Missing] = []
    known = pack.categories.get(follower.category) if follower.category else None
    if known is not None and (
        not known.dispatchable or known.expression_safeguard is Safeguard.FE3_BLOCK
    ):
        out.append(Missing("category", "is one that never leaves the hub", _ALONE))
    if follower.restricted_itself(pack) and category not in pack.desk.restricted:
        out.append(Missing("category", "is one of child safety", _ALONE))
    return out


def may_split(case: Case, leaving: int) -> Why | None:
    """Why ``leaving`` of the case's reports may not become a case of their own; None: they may."""
    if case.state in CASE.settled:
        return "The case is settled", "Reopen it first."
    if not 0 < leaving < case.reports:
        return "A split leaves reports on both sides", "Name some of the reports, not all of them."
    return None


def may_join_again(origin: Case, part: Case, since: datetime) -> Why | None:
    """Why what was split off at ``since`` may not come back; None: it may."""
    if part.decisions or part.dispatches or part.referrals:
        return "The split-off case was decided", "Reopen or appeal that decision instead."
    if any(d.at >= since for d in origin.decisions):
        return "The case was decided without these reports", "Work on the two cases separately."
    if origin.state in CASE.settled:
        return "The case is settled", "Reopen it first."
    if part.state in CASE.settled and part.reports:
        return "The split-off case is settled", "Reopen it first."
    if part.lead is not None or part.followers:
        return "The split-off case is worked with others", "Undo that merge first."
    return None
