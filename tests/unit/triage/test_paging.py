# SPDX-License-Identifier: Apache-2.0
"""Somebody is woken for what cannot wait, once for each reason, until the other side takes it."""

import base64
import json
from datetime import timedelta

import httpx
import pytest
from triage_world import ANA, World
from wasl_connector_sdk.signing import Keys, verify
from wasl_triage.care.paging import GIVE_UP, PAGES, Pager

URL = "https://duty.test/page"
KEYS = Keys.model_validate({"secret": "whsec_" + base64.b64encode(b"k" * 32).decode()})


class Duty:
    """The other side: takes, refuses or is away."""

    def __init__(self) -> None:
        self.status = 200
        self.got: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.got.append(request)
        if self.status == 0:
            raise httpx.ConnectError("away")
        return httpx.Response(self.status)


@pytest.fixture
def duty() -> Duty:
    return Duty()


@pytest.fixture
def pager(world: World, duty: Duty) -> Pager:
    return Pager(world.hub, URL, KEYS, httpx.AsyncClient(transport=httpx.MockTransport(duty)))


def _rows(world: World) -> list[object]:
    return [PAGES.decode(d) for d in world.hub.store.docs.get("pages", {}).values()]


async def test_a_critical_case_wakes_somebody_once(world: World, duty: Duty, pager: Pager) -> None:
    for _ in range(3):
        await world.arrives("https://example.com/a", category="csam", text="words of a person")
    await world.arrives("https://example.com/b", category="scam_fraud")
    await pager.turn()
    await pager.turn()
    assert len(duty.got) == 1
    sent = duty.got[0]
    assert verify(KEYS, sent.headers, sent.content, world.clock.now())
    body = json.loads(sent.content)
    case = next(c for c in world.cases() if c.category == "csam")
    assert (body["case_id"], body["why"], body["severity"]) == (case.id, "critical", "critical")
    assert "words" not in sent.content.decode()
    assert "example.com" not in sent.content.decode()


async def test_a_case_that_becomes_critical_wakes_too(
    world: World, duty: Duty, pager: Pager
) -> None:
    await world.arrives("https://example.com/a", category="threats")
    await pager.turn()
    assert duty.got == []
    await world.arrives("https://example.com/a", category="threats", danger_now=True)
    await pager.turn()
    assert len(duty.got) == 1


async def test_a_case_somebody_looks_at_wakes_nobody(
    world: World, duty: Duty, pager: Pager
) -> None:
    await world.arrives("https://example.com/a", category="threats")
    await world.desk.claim(ANA, world.case().id)
    await world.arrives("https://example.com/a", category="threats", danger_now=True)
    await pager.turn()
    assert duty.got == []


async def test_a_missed_look_wakes_at_any_hour_where_the_pack_says_so(
    world: World, duty: Duty, pager: Pager
) -> None:
    await world.arrives("https://example.com/a", category="threats")
    await world.arrives("https://example.com/b", category="scam_fraud")
    world.clock.advance(timedelta(days=5))
    await world.handlers.watch()
    await pager.turn()
    assert [json.loads(r.content)["why"] for r in duty.got] == ["missed"]


@pytest.mark.parametrize("status", [0, 500, 404])
async def test_it_is_posted_until_taken(
    world: World, duty: Duty, pager: Pager, status: int
) -> None:
    await world.arrives("https://example.com/a", category="csam")
    duty.status = status
    await pager.turn()
    await pager.turn()
    assert len(duty.got) == 1  # not at once again
    world.clock.advance(timedelta(minutes=10))
    duty.status = 200
    await pager.turn()
    assert len(duty.got) == 2
    assert len({r.headers["webhook-id"] for r in duty.got}) == 1
    world.clock.advance(timedelta(days=1))
    await pager.turn()
    assert len(duty.got) == 2


async def test_it_is_given_up_and_seen(world: World, duty: Duty, pager: Pager) -> None:
    await world.arrives("https://example.com/a", category="csam")
    duty.status = 500
    world.clock.advance(GIVE_UP + timedelta(minutes=1))
    await pager.turn()
    world.clock.advance(timedelta(days=2))
    await pager.turn()
    assert len(duty.got) == 1
    value = world.hub.metrics.value("wasl_triage_pages_total", why="critical", result="given_up")
    assert value == 1


async def test_without_an_address_the_counter_tells(world: World, duty: Duty) -> None:
    pager = Pager(world.hub, "", KEYS, httpx.AsyncClient(transport=httpx.MockTransport(duty)))
    await world.arrives("https://example.com/a", category="csam")
    await pager.turn()
    assert duty.got == []
    value = world.hub.metrics.value("wasl_triage_pages_total", why="critical", result="no_address")
    assert value == 1


async def test_a_page_is_in_the_commit_of_its_case(world: World) -> None:
    await world.arrives("https://example.com/a", category="csam")
    assert len(_rows(world)) == 1
