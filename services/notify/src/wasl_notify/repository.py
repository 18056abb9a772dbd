# SPDX-License-Identifier: Apache-2.0
"""Collections of notify, their indexes, and the queries that join them."""

from collections.abc import Iterable
from datetime import datetime

from wasl_chassis.store import Collection, Index, Store

from wasl_notify.domain import journal
from wasl_notify.domain.journal import Page, Unread
from wasl_notify.domain.referrals import Referral
from wasl_notify.domain.reporters import Link, Notification, Reporter
from wasl_notify.domain.statistics import Statistics

_DUE = Index((("due_at", 1),))
#: Seconds after ``forget_at``: at once.
_FORGET = Index((("forget_at", 1),), ttl=0)
#: As long as a dead letter may wait: a report learnt so late still finds what was told before.
JOURNAL_SECONDS = 30 * 24 * 3600

JOURNAL: Collection[Page] = Collection(
    "journal",
    lambda page: page.page_id,
    journal.encode_page,
    journal.decode_page,
    (Index((("about", 1),)), Index((("at", 1),), ttl=JOURNAL_SECONDS)),
)
#: Pages to look at, beside them: a claim must not rewrite a page. Deleted when looked at.
UNREAD: Collection[Unread] = Collection(
    "unread", lambda u: u.page_id, journal.encode_unread, journal.decode_unread, (_DUE,)
)
REPORTERS = Collection.of("reporters", Reporter, "report_id", (_DUE, _FORGET))
LINKS = Collection.of("links", Link, "link_id", (_DUE, _FORGET, Index((("case_id", 1),))))
NOTIFICATIONS = Collection.of(
    "notifications",
    Notification,
    "notification_id",
    (Index((("channel", 1), ("due_at", 1))), _FORGET),
)
REFERRALS = Collection.of("referrals", Referral, "referral_id", (_DUE, Index((("state", 1),))))
STATISTICS = Collection.of("statistics", Statistics, "window_id", (_DUE, _FORGET))
COLLECTIONS = (JOURNAL, UNREAD, REPORTERS, LINKS, NOTIFICATIONS, REFERRALS, STATISTICS)


def link_id(case_id: str, report_id: str) -> str:
    return f"{case_id}|{report_id}"


async def pages_about(store: Store, ids: Iterable[str]) -> list[Page]:
    """Every page that says something about one of these cases or reports."""
    found = await store.find(JOURNAL, {"about": {"$in": sorted(set(ids))}})
    return [JOURNAL.decode(doc) for doc in found]


async def links_of(store: Store, cases: Iterable[str]) -> list[Link]:
    """Reporters with a contact that are part of these cases."""
    wanted = sorted(set(cases))
    if not wanted:
        return []
    found = await store.find(LINKS, {"case_id": {"$in": wanted}, "joined": True})
    return [LINKS.decode(doc) for doc in found]


async def reachable(store: Store, reports: Iterable[str]) -> set[str]:
    """Those of these reports whose sender may be written to."""
    wanted = sorted(set(reports))
    if not wanted:
        return set()
    found = await store.read(REPORTERS, wanted)
    return {report for report, doc in found.items() if doc["address"] is not None}


async def waiting(store: Store, channel: str, now: datetime) -> bool:
    """Whether a message of the channel is due and nobody holds it."""
    due = await store.find(
        NOTIFICATIONS,
        {"channel": channel, "due_at": {"$lte": now}},
        sort=(("due_at", 1),),
        limit=50,
    )
    return any(d["lease_until"] is None or d["lease_until"] <= now for d in due)
