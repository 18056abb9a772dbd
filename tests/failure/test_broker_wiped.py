# SPDX-License-Identifier: Apache-2.0
"""The broker loses its disk: topics, records, groups, all of it; what had left an outbox is gone.

Whoever waits for an answer asks again: intake for reports of which it heard no case, triage for requests
of which it heard nothing; and whoever is asked again says again what is so. Each question is lost here
on purpose, and each answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from hub import Hub
from kit import until
from load import Load
from oracle import Oracle

pytestmark = pytest.mark.failure

#: Ask again soon: by default after a quarter of an hour and ten minutes. Each question waits twice as
#: long as the one before, so on a slow machine a short first wait decides how long the last one is.
_SOON = {
    "WASL_INTAKE_REPEAT_SECONDS": "1",
    "WASL_TRIAGE_RESEND_SECONDS": "1",
    "WASL_TRIAGE_WATCH_SECONDS": "0.5",
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    made = Hub(tmp_path_factory.mktemp("wiped"), _SOON)
    asyncio.run(made.__aenter__())
    yield made
    asyncio.run(made.__aexit__())


async def _sent(hub: Hub, seed: int, *kinds: str) -> Load:
    load = Load(hub, seed, count=15, kinds=kinds, mail_every=5)
    await load.run()
    return load


async def _published(hub: Hub, *databases: str) -> None:
    async def empty() -> bool:
        return not hub.outboxes().keys() & set(databases)

    await until(empty, 90)


def _states(hub: Hub, service: str, collection: str, ids: set[str]) -> list[Any]:
    return [doc["state"] for key, doc in hub.docs(service, collection).items() if key in ids]


def _all(
    hub: Hub, service: str, collection: str, ids: set[str], state: str
) -> Callable[[], Awaitable[bool]]:
    async def so() -> bool:
        return _states(hub, service, collection, ids) == [state] * len(ids)

    return so


async def test_questions_are_asked_again(hub: Hub, oracle: Oracle, seed: int) -> None:
    """Lost: reports on their way to triage, and requests on their way to the gateway."""
    assert await hub.terminate("gateway-reference") == 0
    requested = await _sent(hub, seed, "hotline")
    cases = {oracle.case_id(s.item) for s in requested.sent}
    await until(_all(hub, "triage", "cases", cases, "in_progress"), 90)
    await _published(hub, "triage")
    assert await hub.terminate("triage") == 0
    reported = await _sent(hub, seed + 1, "hotline", "partner")
    await _published(hub, "intake")

    await hub.wipe_broker()
    await hub.start("triage")
    await hub.start("gateway-reference")
    await oracle.judge(requested.with_(reported), log_complete=False)


@pytest.mark.xfail(
    strict=False,
    reason="seen twice in some thirteen runs, on a busy machine: a gateway that lived through the"
    " wipe leaves repeated requests unanswered until it is started again; not understood",
)
async def test_answers_are_given_again(hub: Hub, oracle: Oracle, seed: int) -> None:
    """Lost: what the gateway told triage, and what triage told intake."""
    await hub.control("platforms", mode="down")
    answered = await _sent(hub, seed, "partner")
    requests = {oracle.request_id(s.item, p) for s in answered.sent for p in s.partners}

    async def taken() -> bool:
        return requests <= hub.docs("gateway-webhook", "ledger").keys()

    await until(taken, 90)
    assert await hub.terminate("triage") == 0
    await hub.control("platforms", mode="remove")
    await until(_all(hub, "gateway-webhook", "ledger", requests, "removed"), 90)
    await _published(hub, "gateway")

    reported = await _sent(hub, seed + 1, "hotline")
    await _published(hub, "intake")
    assert await hub.terminate("intake") == 0
    await hub.wipe_broker()  # the reports too; notify and the gateway know nothing of them either
    await hub.start("triage")
    await hub.start("intake")
    await oracle.judge(answered.with_(reported), log_complete=False)


async def test_what_became_of_a_case_is_said_again(hub: Hub, oracle: Oracle, seed: int) -> None:
    """Lost: everything triage said about cases while intake was away."""
    assert await hub.terminate("triage") == 0
    load = await _sent(hub, seed, "hotline")
    await _published(hub, "intake")
    assert await hub.terminate("intake") == 0
    await hub.start("triage")
    cases = {oracle.case_id(s.item) for s in load.sent}
    await until(_all(hub, "triage", "cases", cases, "resolved"), 90)
    await _published(hub, "triage", "gateway")

    async def told() -> bool:
        return not any(key.startswith("wasl.notify") for key in await hub.unread())

    await until(told, 90)
    await hub.wipe_broker()
    await hub.start("intake")
    await oracle.judge(load, log_complete=False)
