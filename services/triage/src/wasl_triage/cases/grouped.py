# SPDX-License-Identifier: Apache-2.0
"""What a case tells those it is worked with: how urgent it is, that something happened, and that it
is of child safety. Whoever changes a case calls :func:`keep_together` in the same commit, so no
member of a group is ever seen by more people than its most restricted one.
"""

from wasl_chassis.work import UnitOfWork
from wasl_schemas.country_pack import CountryPack

from wasl_triage.domain.case import Attention, Case
from wasl_triage.domain.grouping import follow
from wasl_triage.repository import CASES


async def keep_together(
    uow: UnitOfWork, pack: CountryPack, case: Case, *, news: bool = False
) -> None:
    """Bring the group of a case that was changed and placed in line with it; nothing for a case
    without one. ``news``: whoever works on the group must know.
    """
    lead: Case | None = case
    if case.lead is not None:
        lead = await uow.get(CASES, case.lead)
    if lead is None or (lead is case and not case.followers):
        return
    if case is not lead:
        lead.followers[case.id] = follow(case, pack)
        if news:
            lead.raise_flag(Attention.FOLLOWER)
    restricted = any(f.restricted for f in lead.followers.values()) or lead.restricted_itself(pack)
    if restricted != lead.group_restricted:
        await uow.load(CASES, lead.followers)
        for member_id in lead.followers:
            if (member := await uow.get(CASES, member_id)) is not None:
                member.group_restricted = restricted
                member.place(pack, uow.now())
                uow.put(CASES, member)
    lead.group_restricted = restricted
    lead.place(pack, uow.now())
    uow.put(CASES, lead)
