# SPDX-License-Identifier: Apache-2.0
"""Joins pages of the journal with reporters, whatever came first.

A page, a reporter and a link are each committed with ``due_at`` set and looked at only afterwards;
whoever is looked at reads the others. Of any two, the one committed later is looked at when the
other is already there, so no interleaving loses a message. Everything done here may be done twice:
links keep the highest version and reporters remember their causes.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import TypeVar

from wasl_chassis.work import UnitOfWork
from wasl_schemas.ids import uuid7

from wasl_notify.domain.channels import Channels
from wasl_notify.domain.journal import Join, Page, Tally
from wasl_notify.domain.reporters import Link, Notification, notification_id, tell
from wasl_notify.domain.statistics import window
from wasl_notify.hub import Hub
from wasl_notify.repository import (
    JOURNAL,
    LINKS,
    NOTIFICATIONS,
    REPORTERS,
    STATISTICS,
    UNREAD,
    link_id,
    links_of,
    pages_about,
    reachable,
)

T = TypeVar("T")
News = tuple[str, str, datetime]
#: Documents and pages claimed a turn, and documents changed in one commit.
BATCH, PAGES, SLICE = 50, 10, 250
LEASE = timedelta(seconds=30)
#: How long a finished message and a window of figures are kept.
KEEP = timedelta(days=90)


@dataclass(slots=True)
class Effects:
    """What follows from what was read."""

    links: list[Join] = field(default_factory=list)
    #: report → (cause, template, when we were told) of each thing to tell.
    news: dict[str, list[News]] = field(default_factory=dict)

    def tell(self, report_id: str, cause: str, template: str, at: datetime) -> None:
        self.news.setdefault(report_id, []).append((cause, template, at))


def _slices(items: Iterable[T]) -> Iterator[list[T]]:
    source = iter(items)
    while part := list(islice(source, SLICE)):
        yield part


class Joiner:
    def __init__(
        self,
        hub: Hub,
        channels: Channels,
        *,
        hold: timedelta,
        keep: timedelta,
        window_length: timedelta,
    ) -> None:
        self._hub = hub
        self._channels = channels
        self._hold = hold
        self._keep = keep
        self._window = window_length

    # -- turns of the loops; each returns True when there may be more ------------------------------

    async def pages(self) -> bool:
        """Look at new pages: which of their lines concern somebody who can be told?"""
        hub, token = self._hub, uuid7()
        docs = await hub.store.claim(
            UNREAD, {}, now=hub.clock.now(), lease_for=LEASE, token=token, limit=PAGES
        )
        if not docs:
            return False
        ids = [doc["_id"] for doc in docs]
        pages = [JOURNAL.decode(doc) for doc in (await hub.store.read(JOURNAL, ids)).values()]
        await self._apply(await self._of_pages(pages))

        async def finish(uow: UnitOfWork) -> None:
            await uow.load(UNREAD, ids)
            for page_id in ids:
                unread = await uow.get(UNREAD, page_id)
                # Who deletes it counts it; another holder may have been first.
                if unread is not None:
                    await self._count(uow, unread.tally)
                    await uow.delete(UNREAD, page_id)

        await hub.transact(finish)
        return len(docs) == PAGES

    async def reporters(self) -> bool:
        """Look at new reporters: was something told about their report before they were known?"""
        hub, token = self._hub, uuid7()
        docs = await hub.store.claim(
            REPORTERS, {}, now=hub.clock.now(), lease_for=LEASE, token=token, limit=BATCH
        )
        if not docs:
            return False
        new = {doc["_id"] for doc in docs if doc["address"] is not None}
        effects = Effects()
        for page in await pages_about(hub.store, new):
            effects.links += [j for j in page.joins if j.report_id in new]
            for fact in page.facts:
                if fact.cause is not None and fact.about in new:
                    effects.tell(fact.about, fact.cause, fact.template, page.at)
        await self._apply(effects)

        async def finish(uow: UnitOfWork) -> None:
            await uow.load(REPORTERS, [doc["_id"] for doc in docs])
            for doc in docs:
                reporter = await uow.get(REPORTERS, doc["_id"])
                if reporter is not None and reporter.lease == token:
                    free = {"due_at": None, "lease": None, "lease_until": None}
                    uow.put(REPORTERS, reporter.model_copy(update=free))

        await hub.transact(finish)
        return len(docs) == BATCH

    async def links(self) -> bool:
        """Look at new links: was there news of the case before this reporter was part of it?"""
        hub, token = self._hub, uuid7()
        docs = await hub.store.claim(
            LINKS, {}, now=hub.clock.now(), lease_for=LEASE, token=token, limit=BATCH
        )
        if not docs:
            return False
        reports: dict[str, list[str]] = {}
        for doc in docs:
            if doc["joined"]:
                reports.setdefault(doc["case_id"], []).append(doc["report_id"])
        effects = Effects()
        for page in await pages_about(hub.store, reports):
            for fact in page.facts:
                for report_id in reports.get(fact.about, ()) if fact.cause else ():
                    effects.tell(report_id, str(fact.cause), fact.template, page.at)
        await self._apply(effects)

        async def finish(uow: UnitOfWork) -> None:
            await uow.load(LINKS, [doc["_id"] for doc in docs])
            for doc in docs:
                link = await uow.get(LINKS, doc["_id"])
                if link is not None and link.lease == token:
                    free = {"due_at": None, "lease": None, "lease_until": None}
                    uow.put(LINKS, link.model_copy(update=free))

        await hub.transact(finish)
        return len(docs) == BATCH

    async def windows(self) -> bool:
        """Close windows of figures that are over; each subscriber gets one message a window."""
        hub, token = self._hub, uuid7()
        docs = await hub.store.claim(
            STATISTICS, {}, now=hub.clock.now(), lease_for=LEASE, token=token, limit=1
        )

        async def close(uow: UnitOfWork) -> None:
            now = uow.now()
            statistics = await uow.get(STATISTICS, docs[0]["_id"])
            if statistics is None or statistics.lease != token:
                return
            done = {"closed": True, "due_at": None, "lease": None, "lease_until": None}
            uow.put(STATISTICS, statistics.model_copy(update=done))
            for subscriber in self._channels.subscribers:
                message = Notification(
                    notification_id=notification_id(subscriber.id, statistics.window_id),
                    channel="webhook",
                    template="statistics",
                    target=subscriber.id,
                    about=statistics.window_id,
                    created_at=now,
                    forget_at=now + KEEP,
                    due_at=now,
                )
                uow.put(NOTIFICATIONS, message)

        if docs:
            await hub.transact(close)
        return bool(docs)

    # -- what follows ------------------------------------------------------------------------------

    async def _of_pages(self, pages: Sequence[Page]) -> Effects:
        news = [(f, page.at) for page in pages for f in page.facts if f.cause is not None]
        joins = [j for page in pages for j in page.joins]
        reports = {j.report_id for j in joins} | {f.about for f, _ in news if f.of_report}
        known = await reachable(self._hub.store, reports)
        members: dict[str, list[str]] = {}
        for link in await links_of(self._hub.store, {f.about for f, _ in news if not f.of_report}):
            members.setdefault(link.case_id, []).append(link.report_id)
        effects = Effects(links=[j for j in joins if j.report_id in known])
        for fact, at in news:
            told = [fact.about] if fact.about in known else members.get(fact.about, ())
            for report_id in told:
                effects.tell(report_id, str(fact.cause), fact.template, at)
        return effects

    async def _apply(self, effects: Effects) -> None:
        for joins in _slices(effects.links):
            await self._hub.transact(partial(self._link, joins=joins))
        for news in _slices(effects.news.items()):
            await self._hub.transact(partial(self._tell, news=news))

    async def _link(self, uow: UnitOfWork, joins: Sequence[Join]) -> None:
        await uow.load(LINKS, [link_id(j.case_id, j.report_id) for j in joins])
        now = uow.now()
        for join in joins:
            key = link_id(join.case_id, join.report_id)
            known = await uow.get(LINKS, key)
            if known is not None and known.version >= join.version:
                continue
            link = Link(
                link_id=key,
                case_id=join.case_id,
                report_id=join.report_id,
                version=join.version,
                joined=join.joined,
                forget_at=now + self._keep,
                due_at=now if join.joined else None,
            )
            uow.put(LINKS, link)

    async def _tell(self, uow: UnitOfWork, news: Sequence[tuple[str, Sequence[News]]]) -> None:
        await uow.load(REPORTERS, [report_id for report_id, _ in news])
        reporters = [r for i, _ in news if (r := await uow.get(REPORTERS, i)) is not None]
        await uow.load(NOTIFICATIONS, [r.open_message for r in reporters if r.open_message])
        for report_id, causes in news:
            for cause, template, at in causes:
                reporter = await uow.get(REPORTERS, report_id)
                if reporter is None:
                    break
                if reporter.saw(at):
                    continue
                name = reporter.open_message
                waiting: Notification | None = None
                if name is not None:
                    waiting = await uow.get(NOTIFICATIONS, name)
                done = tell(
                    reporter,
                    waiting,
                    cause,
                    template,
                    now=uow.now(),
                    hold=self._hold,
                    keep=KEEP,
                )
                if done is not None:
                    uow.put(REPORTERS, done[0])
                    if done[1] is not None:
                        uow.put(NOTIFICATIONS, done[1])

    async def _count(self, uow: UnitOfWork, tally: Tally) -> None:
        """Add a page's figures to the open window. A clock behind another's finds it closed."""
        if not tally:
            return
        now = uow.now()
        while True:
            empty = window(now, self._window, KEEP)
            statistics = await uow.get(STATISTICS, empty.window_id) or empty
            if not statistics.closed:
                uow.put(STATISTICS, statistics.plus(tally))
                return
            now = statistics.end
