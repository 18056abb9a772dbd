# SPDX-License-Identifier: Apache-2.0
"""What the gateway stores: ledger, lanes, partners' answers, and the switch of each connector."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from wasl_chassis.failures import Conflict
from wasl_chassis.store import Changes, Collection, Index, Store
from wasl_schemas.base import Model
from wasl_schemas.lifecycle import DispatchState

from wasl_platform_gateway.domain.lane import Lane
from wasl_platform_gateway.domain.ledger import Dispatch
from wasl_platform_gateway.domain.watch import Watch

#: Longer than any partner's redelivery of a callback, so that its repetition is recognised.
ANSWER_TTL = timedelta(days=30)


class Answer(Model):
    """One message of a partner, kept to recognise its repetition and to wait for its dispatch.

    It can come before we have stored the partner's reference; then it is due again shortly.
    """

    answer_id: str
    connector: str
    outcome: str
    reference: str | None
    key: str | None
    reason: str | None
    partner: str | None
    not_partners: tuple[str, ...]
    received_at: datetime
    result: str
    tries: int = 0
    due_at: datetime | None = None
    lease: str | None = None
    lease_until: datetime | None = None


class Reply(Model):
    """A partner's own words about a dispatch. ``text``: sealed with the case's key."""

    reply_id: str
    dispatch_id: str
    received_at: datetime
    text: str


class Cursor(Model):
    """How far a connector's inbox has been read."""

    connector: str
    value: str


class Control(Model):
    """Whether a connector is paused. Requests are still taken into the ledger, nothing is sent."""

    connector: str
    paused: bool = False
    since: datetime | None = None
    by: str | None = None


LEDGER: Collection[Dispatch] = Collection.of(
    "ledger",
    Dispatch,
    "dispatch_id",
    (
        Index((("connector", 1), ("partner", 1), ("state", 1), ("urgent", 1), ("due_at", 1))),
        Index((("connector", 1), ("partner", 1), ("state", 1), ("due_at", 1))),
        Index((("connector", 1), ("state", 1), ("requested_at", 1))),
        Index((("connector", 1), ("reference", 1))),
        Index((("connector", 1), ("due_at", 1))),
        Index((("case_id", 1),)),
    ),
)
LANES: Collection[Lane] = Collection.of("lanes", Lane, "lane_id", (Index((("connector", 1),)),))
ANSWERS: Collection[Answer] = Collection.of(
    "answers",
    Answer,
    "answer_id",
    (
        Index((("connector", 1), ("due_at", 1))),
        Index((("received_at", 1),), ttl=int(ANSWER_TTL.total_seconds())),
    ),
)
CONTROLS: Collection[Control] = Collection.of("connectors", Control, "connector")
REPLIES: Collection[Reply] = Collection.of(
    "replies", Reply, "reply_id", (Index((("dispatch_id", 1), ("received_at", 1))),)
)
CURSORS: Collection[Cursor] = Collection.of("inboxes", Cursor, "connector")
COLLECTIONS = (LEDGER, LANES, ANSWERS, CONTROLS, REPLIES, CURSORS)
WATCHES: Collection[Watch] = Collection.of(
    "watches",
    Watch,
    "case_id",
    (Index((("due_at", 1),)), Index((("state", 1), ("changed_at", 1)))),
)
#: What the watch works with, in the same database.
WATCH_COLLECTIONS = (LEDGER, LANES, WATCHES)


async def control_of(store: Store, connector: str) -> Control:
    doc = (await store.read(CONTROLS, (connector,))).get(connector)
    return CONTROLS.decode(doc) if doc else Control(connector=connector)


async def by_state(
    store: Store, connector: str, state: DispatchState, limit: int = 100
) -> list[Dispatch]:
    """Rows of one state, the oldest request first."""
    where = {"connector": connector, "state": state.value}
    docs = await store.find(LEDGER, where, sort=(("requested_at", 1),), limit=limit)
    return [LEDGER.decode(doc) for doc in docs]


@dataclass(frozen=True, slots=True)
class Overview:
    """One line of ``wasl connectors list``."""

    connector: str
    paused: bool
    since: datetime | None
    by: str | None
    pending: int
    ambiguous: int
    #: Partners whose circuit is open.
    open_circuits: tuple[str, ...]


async def overview(store: Store, connectors: Iterable[str]) -> list[Overview]:
    """The state of each connector, for operators."""
    out = []
    for name in connectors:
        control = await control_of(store, name)
        lanes = [LANES.decode(d) for d in await store.find(LANES, {"connector": name})]
        out.append(
            Overview(
                connector=name,
                paused=control.paused,
                since=control.since,
                by=control.by,
                pending=await _count(store, name, DispatchState.REQUESTED),
                ambiguous=await _count(store, name, DispatchState.AMBIGUOUS),
                open_circuits=tuple(sorted(x.partner for x in lanes if x.open_until is not None)),
            )
        )
    return out


@dataclass(frozen=True, slots=True)
class Lines:
    """One partner of ``wasl connectors show``: dispatches by state, and how it is reached."""

    partner: str
    states: dict[str, int]
    oldest_pending: datetime | None
    last_sent: datetime | None
    circuit: str


async def lines(store: Store, connector: str, now: datetime) -> list[Lines]:
    """The partners of one connector, by name."""
    out = []
    for doc in await store.find(LANES, {"connector": connector}, sort=(("_id", 1),)):
        lane = LANES.decode(doc)
        where = {"connector": connector, "partner": lane.partner}
        counts = {
            state.value: await store.count(LEDGER, {**where, "state": state.value})
            for state in DispatchState
        }
        waiting = {**where, "state": DispatchState.REQUESTED.value}
        oldest = await store.find(LEDGER, waiting, sort=(("requested_at", 1),), limit=1)
        newest = await store.find(LEDGER, where, sort=(("sent_at", -1),), limit=1)
        shut = lane.open_until is not None
        blocked = lane.blocked_until is not None and lane.blocked_until > now
        out.append(
            Lines(
                partner=lane.partner,
                states={state: count for state, count in counts.items() if count},
                oldest_pending=oldest[0]["requested_at"] if oldest else None,
                last_sent=newest[0]["sent_at"] if newest else None,
                circuit=f"open: {lane.reason}" if shut else "told to wait" if blocked else "closed",
            )
        )
    return out


async def unsent(store: Store, connector: str) -> int:
    """Dispatches that wait to be sent."""
    return await _count(store, connector, DispatchState.REQUESTED)


async def pause(store: Store, connector: str, *, by: str, now: datetime) -> Control:
    """Stop sending and polling within a second. Pausing twice keeps the first time."""
    wanted = Control(connector=connector, paused=True, since=now, by=by)
    return await _switch(store, connector, wanted)


async def resume(store: Store, connector: str, *, by: str, now: datetime) -> Control:
    """Send again what has waited."""
    wanted = Control(connector=connector, paused=False, since=now, by=by)
    return await _switch(store, connector, wanted)


async def _count(store: Store, connector: str, state: DispatchState) -> int:
    return await store.count(LEDGER, {"connector": connector, "state": state.value})


async def _switch(store: Store, connector: str, wanted: Control) -> Control:
    for attempt in range(8):
        held = (await store.read(CONTROLS, (connector,))).get(connector)
        if held is not None and CONTROLS.decode(held).paused == wanted.paused:
            return CONTROLS.decode(held)
        rev = held["_rev"] if held else 0
        doc = {**CONTROLS.encode(wanted), "_id": connector, "_rev": rev + 1}
        changes = (
            Changes(replaces={CONTROLS: [(connector, rev, doc)]})
            if held
            else Changes(inserts={CONTROLS: [doc]})
        )
        try:
            await store.commit(changes)
        except Conflict:
            await asyncio.sleep(0.02 * attempt)
        else:
            return wanted
    raise Conflict(f"the switch of connector '{connector}' keeps changing; try again")
