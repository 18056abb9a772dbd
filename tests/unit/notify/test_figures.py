# SPDX-License-Identifier: Apache-2.0
"""Public figures: counted once, nobody in them, signed, and one dead subscriber delays nobody."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook
from wasl_notify.domain.channels import Channels, Subscriber
from wasl_notify.domain.statistics import public, window
from wasl_notify.outside.hooks import Hooks
from wasl_notify.repository import NOTIFICATIONS, STATISTICS
from wasl_notify.sending import Posting
from wasl_schemas.lifecycle import NotificationState

SECRET = "whsec_" + "A" * 32
CASES = [f"case-{n:08}" for n in range(8)]


@pytest.fixture
async def hooks():
    hooks = Hooks(timeout=1)
    yield hooks
    await hooks.close()


def subscribers(*urls):
    return Channels(
        subscribers=tuple(
            Subscriber(id=f"subscriber-{n}", url=url, secret=SecretStr(SECRET))
            for n, url in enumerate(urls)
        )
    )


async def an_hour(world):
    """Eight cases opened, one dispatch removed, and the window over."""
    await world.feed(*(world.opened(c, f"report-{c}") for c in CASES))
    await world.feed(world.dispatched(CASES[0], "dispatch-aaaa", "removed"))
    await world.joiner.pages()
    world.advance(hours=1)
    while await world.joiner.windows():
        pass


async def test_figures_arrive_signed_and_about_nobody(make_world, endpoints, hooks, canary):
    endpoint = await endpoints()
    world = make_world(channels=subscribers(endpoint.url))
    await an_hour(world)
    posting = Posting(world, hooks, world.channels, small=5)
    await posting.turn()
    await posting.turn()
    ((headers, body),) = endpoint.requests
    sent = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
    expected = Webhook(SECRET).sign(headers["webhook-id"], sent, body.decode())
    assert headers["webhook-signature"] == expected
    (message,) = world.notifications
    assert headers["webhook-id"] == message.notification_id
    assert message.state is NotificationState.SENT
    figures = json.loads(body)["data"]
    assert figures["figures"] == {
        "cases_opened": {"total": 8, "by": {"tiktok": 8}},
        "dispatches": {"total": 1, "by": {"other": 1}},
    }
    assert figures["window"] == {
        "from": "2026-01-05T09:00:00+00:00",
        "to": "2026-01-05T10:00:00+00:00",
    }
    for word in (*canary, "case-", "report-", "high"):
        assert word not in body.decode()
    # The endpoint and its secret stay in the configuration.
    assert SECRET not in world.everything()
    assert endpoint.url not in world.everything()


async def test_every_event_is_counted_once(make_world):
    world = make_world()
    for case in CASES:
        await world.feed(world.opened(case, f"report-{case}"))
        await world.joiner.pages()
        await world.joiner.pages()
    (statistics,) = world.docs(STATISTICS)
    assert statistics.counts == (("cases_opened", "tiktok", 8),)


async def test_pages_counted_by_two_replicas_at_once(make_world, yielding_store):
    import asyncio

    for seed in range(10):
        world = make_world(yielding_store(seed))
        await asyncio.gather(*(world.feed(world.opened(c, f"report-{c}")) for c in CASES))
        await asyncio.gather(*(world.joiner.pages() for _ in range(4)))
        await world.join()
        assert [s.counts for s in world.docs(STATISTICS)] == [(("cases_opened", "tiktok", 8),)]


async def test_what_comes_after_the_close_is_in_the_next_window(make_world):
    world = make_world(channels=subscribers("https://example.org/hook"))
    await an_hour(world)
    # A replica whose clock is behind counts into a window that is closed already.
    world.clock._now -= timedelta(minutes=30)
    await world.feed(world.opened("case-late-0001", "report-late-01"))
    await world.joiner.pages()
    first, second = sorted(world.docs(STATISTICS), key=lambda s: s.start)
    assert (first.closed, second.closed) == (True, False)
    assert second.counts == (("cases_opened", "tiktok", 1),)
    assert len(world.notifications) == 1


@pytest.mark.parametrize(
    ("answer", "wait"),
    [
        ("500", timedelta(seconds=6)),
        ("302 location: /elsewhere", timedelta(seconds=6)),
        ("429 retry-after: 90", timedelta(seconds=90)),
        ("503 retry-after: 999999999999", timedelta(hours=1)),
        ("503 retry-after: soon", timedelta(seconds=6)),
        ("drop", timedelta(seconds=6)),
        ("hang", timedelta(seconds=6)),
    ],
)
async def test_tried_again_under_the_same_id(make_world, endpoints, hooks, answer, wait):
    endpoint = await endpoints()
    endpoint.script = [answer]
    world = make_world(channels=subscribers(endpoint.url))
    await an_hour(world)
    posting = Posting(world, hooks, world.channels, small=5)
    await posting.turn()
    world.clock.advance(wait - timedelta(seconds=2))
    await posting.turn()
    assert len(endpoint.requests) == 1
    world.advance(seconds=3)
    await posting.turn()
    assert len(endpoint.requests) == 2
    assert len({headers["webhook-id"] for headers, _ in endpoint.requests}) == 1
    assert len({body for _, body in endpoint.requests}) == 1
    assert world.notifications[0].state is NotificationState.SENT


async def test_gone_is_final_and_giving_up_is_visible(make_world, endpoints, hooks):
    endpoint, never = await endpoints(), await endpoints()
    endpoint.script, never.script = ["410"], ["500"] * 50
    world = make_world(channels=subscribers(endpoint.url, never.url))
    await an_hour(world)
    posting = Posting(world, hooks, world.channels, small=5)
    for _ in range(12):
        await posting.turn()
        world.advance(days=2)
    assert {n.target: (n.state.value, n.reason) for n in world.notifications} == {
        "subscriber-0": ("failed", "gone"),
        "subscriber-1": ("failed", "gave_up"),
    }
    assert (len(endpoint.requests), len(never.requests)) == (1, 10)


async def test_one_dead_subscriber_delays_no_other(make_world, endpoints, hooks):
    dead, alive = await endpoints(), await endpoints()
    dead.script = ["hang"]
    world = make_world(channels=subscribers(dead.url, alive.url, "http://127.0.0.1:1/closed"))
    await an_hour(world)
    await Posting(world, hooks, world.channels, small=5).turn()
    assert {n.target: (n.state.value, n.reason) for n in world.notifications} == {
        "subscriber-0": ("pending", "no_answer"),
        "subscriber-1": ("sent", None),
        "subscriber-2": ("pending", "away"),
    }


async def test_a_subscriber_that_was_removed(make_world, hooks):
    world = make_world(channels=subscribers("https://example.org/hook"))
    await an_hour(world)
    await Posting(world, hooks, Channels(), small=5).turn()
    assert world.docs(NOTIFICATIONS)[0].reason == "not_configured"


def test_small_counts_are_pooled():
    empty = window(datetime(2026, 1, 5, 9, 30, tzinfo=UTC), timedelta(hours=1), timedelta(days=90))
    full = empty.plus({("dispatches", "a:removed"): 4, ("dispatches", "b:removed"): 5})
    full = full.plus({("dispatches", "c:refused"): 1})
    assert public(full, 5)["data"]["figures"] == {
        "dispatches": {"total": 10, "by": {"other": 5, "b:removed": 5}}
    }
