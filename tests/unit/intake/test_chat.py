# SPDX-License-Identifier: Apache-2.0
"""The live thread over a real server on loopback: two replicas, one store, and a stop that ends."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from pages import Person
from wasl_chassis.failures import Overloaded, Retryable
from wasl_chassis.headers import Addresses
from wasl_intake.domain import receipt
from wasl_intake.domain.submission import REPORT
from wasl_intake.gate import Gate
from wasl_intake.handlers import IntakeHandlers
from wasl_intake.live import Watch
from wasl_intake.portal.chat import ChatPages
from wasl_intake.portal.follow import FollowPages
from wasl_intake.portal.site import Site
from wasl_intake.repository import MESSAGES
from wasl_intake.words import Words
from wasl_schemas import topics
from wasl_schemas.country_pack import ContactHours, Portal, StaffedHours, Weekday
from wasl_schemas.events.common import Channel
from wasl_schemas.events.staff_message_sent_v1 import StaffMessageSentV1
from wasl_schemas.ids import uuid7

PEPPER = b"p" * 32
#: Whatever hangs fails here; what works does not wait for it.
PATIENCE = 15


class Replica:
    """One process: its own handlers, watch and server, on a store that others use too."""

    def __init__(self, portal: Any, **watch: Any) -> None:
        self.portal, self.stopping = portal, False
        hub, pack = portal.hub, portal.handlers._pack
        self.watch = Watch(
            hub.store, hub.clock, stopping=lambda: self.stopping, **{"every": 0.25, **watch}
        )
        self.handlers = IntakeHandlers(hub, pack, pepper=PEPPER, watch=self.watch)
        site = Site(Words(pack), Addresses(), hub.clock, pepper=PEPPER, limit=65_536)
        self.app = FastAPI()
        site.register(self.app)
        gate = Gate(pack, hub.clock, hub.metrics, pepper=PEPPER)
        FollowPages(site, self.handlers, gate).register(self.app)
        ChatPages(site, self.handlers, heartbeat=0.1, hold=0.5).register(self.app)

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[httpx.AsyncClient]:
        config = uvicorn.Config(
            self.app, port=0, lifespan="off", log_config=None, timeout_graceful_shutdown=60
        )
        self.server = uvicorn.Server(config)
        self.task = asyncio.create_task(self.server.serve())
        while not self.server.started:
            await asyncio.sleep(0.01)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        try:
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE
            ) as client:
                yield client
        finally:
            self.stopping = self.server.should_exit = True
            await asyncio.wait_for(self.task, PATIENCE)

    async def report(self) -> str:
        request = REPORT.validate_python({"narrative": "Something happened", "channel": "web"})
        return await self.handlers.submit(request, b"body", None)

    async def enter(self, client: httpx.AsyncClient, code: str) -> None:
        answer = await client.post("/en/follow", data={"receipt": code})
        assert answer.status_code == 303

    def report_id(self, code: str) -> str:
        return receipt.report_id(self.handlers._receipt_key, receipt.read(code))

    async def staff_writes(self, code: str, text: str, *, question: bool = False) -> None:
        """As this replica consumes it."""
        self.portal.later(seconds=1)
        hub, report_id = self.portal.hub, self.report_id(code)
        sealed = await hub.unit().keys.seal(report_id, "report.message", text)
        data = StaffMessageSentV1(
            message_id=uuid7(),
            case_id="case-chat-01",
            report_id=report_id,
            sent_at=hub.clock.now(),
            question=question,
            body=sealed,
        )
        uow = hub.unit()
        await self.handlers.on_staff_message(hub.event(topics.STAFF_MESSAGE_SENT_V1, data), uow)
        await hub.store.commit(uow.changes())


class Stream:
    """What a browser's EventSource makes of the answer."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.aiter_lines()

    async def next(self) -> tuple[str, str, Any]:
        """Type, id and data of the next event; StopAsyncIteration at the end."""
        kind, last = "message", ""
        async with asyncio.timeout(PATIENCE):
            while True:
                name, _, value = (await anext(self._lines)).partition(": ")
                if name == "event":
                    kind = value
                elif name == "id":
                    last = value
                elif name == "data":
                    return kind, last, json.loads(value)

    async def said(self) -> str:
        kind, _, data = await self.next()
        assert kind == "message"
        return str(data["text"])


@contextlib.asynccontextmanager
async def listening(
    client: httpx.AsyncClient, **headers: str
) -> AsyncIterator[tuple[httpx.Response, Stream]]:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    async with client.stream("GET", "/en/follow/events", headers=given) as answer:
        stream = Stream(answer)
        if answer.status_code == 200:
            assert (await stream.next())[0] == "here"
        yield answer, stream


# -- events ----------------------------------------------------------------------------------------


async def test_messages_come_as_events(portal: Any) -> None:
    replica = Replica(portal)
    async with replica.serve() as client:
        code = await replica.report()
        await replica.staff_writes(code, "Hello", question=True)
        await replica.enter(client, code)
        async with listening(client) as (answer, stream):
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert "set-cookie" not in answer.headers, "a page left open does not stay open"
            kind, last, data = await stream.next()
            assert (kind, data["id"], data["text"]) == ("message", last, "Hello")
            assert (data["us"], data["who"], data["question"]) == (True, "The team", "Question")
            await replica.staff_writes(code, "line one\nline <b>two</b>")
            assert await stream.said() == "line one\nline <b>two</b>"
            portal.later(seconds=1)
            token = {"action": "message", "token": "t" * 20, "message": "mine"}
            assert (await client.post("/en/follow/chat", data=token)).status_code == 303
            kind, last, data = await stream.next()
            assert (data["text"], data["us"], data["who"]) == ("mine", False, "You")
        async with listening(client, last_event_id=last) as (_, stream):
            await replica.staff_writes(code, "news")
            assert await stream.said() == "news", "what was told before is not told again"


async def test_what_another_replica_stores_arrives(portal: Any) -> None:
    here, there = Replica(portal), Replica(portal)
    async with here.serve() as client:
        code = await here.report()
        await here.enter(client, code)
        async with listening(client) as (_, stream):
            await there.staff_writes(code, "from the other side")
            assert await stream.said() == "from the other side"


async def test_nobody_hears_of_anothers_thread(portal: Any) -> None:
    replica = Replica(portal)
    async with replica.serve() as client:
        mine, other = await replica.report(), await replica.report()
        await replica.enter(client, mine)
        async with listening(client) as (_, stream):
            await replica.staff_writes(other, "not for you")
            await replica.staff_writes(mine, "for you")
            assert await stream.said() == "for you"


async def test_one_look_serves_every_open_thread(portal: Any) -> None:
    watch = Watch(portal.hub.store, portal.hub.clock)
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(watch.listen(f"report-{i}")) for i in range(50)]
        portal.hub.store.calls.clear()
        await watch._look()
        assert portal.hub.store.calls == ["find messages"]
        assert len(listeners) == watch.open == 50
    assert watch.open == 0


async def test_a_message_is_looked_for_once_and_old_ones_never(portal: Any) -> None:
    replica, watch = Replica(portal), Watch(portal.hub.store, portal.hub.clock)
    code = await replica.report()
    await replica.staff_writes(code, "old")
    portal.later(minutes=5)
    with watch.listen(replica.report_id(code)) as listener:
        await watch._look()
        assert not await listener.news(0.01)
        await replica.staff_writes(code, "new")
        await watch._look()
        assert await listener.news(1)
        await watch._look()
        assert not await listener.news(0.01)


async def test_the_watch_outlives_the_database(portal: Any, monkeypatch: Any) -> None:
    replica = Replica(portal, every=0.25)
    code = await replica.report()
    find, failed = portal.hub.store.find, asyncio.Event()

    async def away(collection: Any, where: Any, **options: Any) -> Any:
        if "kept_at" in where and not failed.is_set():
            failed.set()
            raise Retryable
        return await find(collection, where, **options)

    monkeypatch.setattr(portal.hub.store, "find", away)
    with replica.watch.listen(replica.report_id(code)) as listener:
        await asyncio.wait_for(failed.wait(), PATIENCE)
        await replica.staff_writes(code, "back again")
        assert await listener.news(PATIENCE)


# -- who may listen --------------------------------------------------------------------------------


async def test_only_the_cookie_opens_the_events(portal: Any) -> None:
    replica = Replica(portal)
    async with replica.serve() as client:
        code = await replica.report()
        async with listening(client) as (answer, _):
            assert answer.status_code == 401
        assert (await client.post("/en/follow/updates", data={"last": ""})).status_code == 401
        await replica.enter(client, code)
        async with listening(client) as (answer, _):
            assert answer.status_code == 200
        await replica.handlers.withdraw(code)
        async with listening(client) as (answer, _):
            assert answer.status_code == 401


async def test_open_threads_are_bounded_and_who_has_no_room_polls(portal: Any) -> None:
    replica = Replica(portal, most=1)
    async with replica.serve() as client:
        one, two = await replica.report(), await replica.report()
        await replica.enter(client, one)
        async with listening(client):
            client.cookies.clear()
            await replica.enter(client, two)
            async with listening(client) as (answer, _):
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "15")
            await replica.staff_writes(two, "still heard")
            answer = await client.post("/en/follow/updates", data={"last": ""})
            assert [line["text"] for line in answer.json()["lines"]] == ["still heard"]


async def test_one_thread_cannot_take_every_place(portal: Any) -> None:
    watch = Watch(portal.hub.store, portal.hub.clock)
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(watch.listen("report-1"))
        assert not watch.room("report-1")
        with pytest.raises(Overloaded):
            stack.enter_context(watch.listen("report-1"))
        assert watch.room("report-2")


async def test_who_leaves_gives_the_place_back(portal: Any) -> None:
    replica = Replica(portal)
    async with replica.serve() as client:
        await replica.enter(client, await replica.report())
        async with listening(client):
            assert replica.watch.open == 1
        async with asyncio.timeout(PATIENCE):
            while replica.watch.open:
                await asyncio.sleep(0.02)


# -- when it ends ----------------------------------------------------------------------------------


async def test_it_closes_twenty_minutes_after_the_last_use(portal: Any) -> None:
    replica = Replica(portal)
    async with replica.serve() as client:
        await replica.enter(client, await replica.report())
        portal.later(minutes=19)
        async with listening(client) as (_, stream):
            portal.later(minutes=2)
            assert (await stream.next())[0] == "over"
            with pytest.raises(StopAsyncIteration):
                await stream.next()
        async with listening(client) as (answer, _):
            assert answer.status_code == 401


async def test_a_stop_does_not_wait_for_open_threads(portal: Any) -> None:
    replica = Replica(portal)
    async with replica.serve() as client:
        await replica.enter(client, await replica.report())
        async with listening(client) as (_, stream):
            replica.stopping = replica.server.should_exit = True
            with pytest.raises(StopAsyncIteration):
                await stream.next()
            await asyncio.wait_for(replica.task, PATIENCE)
    assert not replica.watch.room("report-1")


# -- polls -----------------------------------------------------------------------------------------


async def test_a_poll_is_held_until_something_comes(portal: Any) -> None:
    replica = Replica(portal)
    async with replica.serve() as client:
        code = await replica.report()
        await replica.enter(client, code)
        ask = client.post("/en/follow/updates", data={"last": ""})
        held = asyncio.create_task(ask)
        while not replica.watch.open:
            await asyncio.sleep(0.01)
        await replica.staff_writes(code, "one")
        answer = await held
        (line,) = answer.json()["lines"]
        assert line["text"] == "one"
        assert "set-cookie" not in answer.headers
        portal.later(seconds=1)
        await replica.staff_writes(code, "two")
        answer = await client.post("/en/follow/updates", data={"last": line["id"]})
        assert [x["text"] for x in answer.json()["lines"]] == ["two"]
        last = answer.json()["lines"][-1]["id"]
        answer = await client.post("/en/follow/updates", data={"last": last})
        assert answer.json() == {"lines": []}, "after a while it is answered all the same"


async def test_a_message_that_comes_late_is_new_whenever_it_was_written(portal: Any) -> None:
    replica = Replica(portal)
    async with replica.serve() as client:
        code = await replica.report()
        await replica.enter(client, code)
        portal.later(minutes=2)
        await replica.handlers.write(code, "mine", None)
        (doc,) = portal.hub.store.docs["messages"].values()
        portal.later(minutes=1)
        await replica.staff_writes(code, "written before, stored after")
        late = next(d for d in portal.hub.store.docs["messages"].values() if d["by_staff"])
        late["sent_at"] = doc["sent_at"].replace(minute=0)
        answer = await client.post("/en/follow/updates", data={"last": doc["_id"]})
        assert [x["text"] for x in answer.json()["lines"]] == ["written before, stored after"]


# -- the page --------------------------------------------------------------------------------------


async def opened(portal: Any) -> Person:
    person = Person(portal, "en")
    await person.open("follow")
    await person.send(receipt=await portal.send())
    await person.open("follow/chat")
    return person


async def test_without_script_a_button_looks_and_reloading_is_asked_for(portal: Any) -> None:
    person = await opened(portal)

    def reloads() -> list[Any]:
        return [g["content"] for g in person.page.all("meta") if g.get("http-equiv") == "refresh"]

    assert reloads() == []
    values = {g.get("value") for g in person.page.all("button")}
    assert {"refresh", "reload"} <= values
    await person.send(action="refresh")
    assert (person.path, reloads()) == ("follow/chat", [])
    await person.send(action="reload")
    assert (person.path, reloads()) == ("follow/chat", ["30"])
    await person.send(action="reload")
    assert reloads() == []


async def test_reloading_by_itself_does_not_keep_the_receipt(portal: Any) -> None:
    person = await opened(portal)
    await person.send(action="reload")
    portal.later(minutes=19)
    await person.open("follow/chat")
    assert person.path == "follow/chat"
    portal.later(minutes=2)
    await person.open("follow/chat")
    assert person.path == "follow", "the receipt is asked again"


async def test_writing_keeps_it_and_goes_on_with_303(portal: Any) -> None:
    person = await opened(portal)
    portal.later(minutes=19)
    await person.send(message="hello there")
    assert person.path == "follow/chat"
    assert "hello there" in person.page.text
    portal.later(minutes=19)
    await person.open("follow/chat")
    assert "hello there" in person.page.text
    page = await person.send(422, message="my number: 0612345678")
    assert "Did you mean to write this?" in page.text
    assert "0612345678" in page.text


async def test_a_script_gets_the_new_lines_back(portal: Any) -> None:
    person = await opened(portal)
    await person.send(message="one")
    portal.later(seconds=1)
    answer = await portal.http.post(
        "/en/follow/chat",
        data={"action": "message", "token": "t" * 20, "message": "two"},
        headers={"accept": "application/json"},
    )
    assert [line["text"] for line in answer.json()["lines"]] == ["one", "two"]
    assert len(portal.hub.events(topics.REPORTER_MESSAGE_SENT_V1)) == 2
    doc = next(iter(portal.hub.store.docs["messages"].values()))
    assert MESSAGES.decode(doc).kept_at is not None


def hours(*days: Weekday, opens: str = "09:00", closes: str = "17:00") -> ContactHours:
    return ContactHours(timezone="Africa/Casablanca", days=days, opens=opens, closes=closes)


@pytest.mark.parametrize(
    ("staffed", "says"),
    [
        (None, "at no fixed hours"),
        ((), "at any hour"),
        ((hours(Weekday.MONDAY),), "in working hours, and it is one now"),
        ((hours(Weekday.TUESDAY),), "6 January 2026 · 09:00"),
        ((hours(Weekday.MONDAY, opens="14:00"),), "5 January 2026 · 14:00"),
    ],
)
async def test_presence_is_told_as_the_country_pack_knows_it(
    portal: Any, staffed: Any, says: str
) -> None:
    # The clock of the tests stands on a Monday, 10 o'clock in Casablanca.
    if staffed is not None:
        desk = StaffedHours(channel=Channel.CHAT, title={"ar": "x"}, hours=staffed)
        portal.handlers._pack.portal = Portal(staffed=(desk,))
    person = await opened(portal)
    assert says in person.page.text
    assert ("guaranteed" in person.page.text) or ("nobody usually answers" in person.page.text)
