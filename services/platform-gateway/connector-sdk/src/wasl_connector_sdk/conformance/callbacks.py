# SPDX-License-Identifier: Apache-2.0
"""Rules about messages a partner sends to us."""

import asyncio
import json
from datetime import timedelta
from typing import Any, cast

from wasl_connector_sdk.conformance.bench import Bench, demand, rule, skip, worded
from wasl_connector_sdk.conformance.samples import NOW
from wasl_connector_sdk.conformance.world import settled
from wasl_connector_sdk.contract import SupportsCallbacks
from wasl_connector_sdk.errors import CallbackRejected
from wasl_connector_sdk.models import CallbackRequest, StatusUpdate


class CallbackRules(Bench):
    @rule
    async def test_callback(self) -> None:
        """callback: a good one is read, the same way each time, and has an event_id."""
        async with self._receiving() as (connector, sign):
            good = sign(None)
            first, second = connector.parse_callback(good), connector.parse_callback(good)
            demand(first, "a good callback says nothing")
            demand(list(first) == list(second), "one callback was read in two ways")
            demand(all(isinstance(u, StatusUpdate) for u in first), "not a StatusUpdate")
            demand(all(u.event_id for u in first), "an update has no event_id")
            for update in first:
                worded(update)

    @rule
    async def test_callback_signature(self) -> None:
        """callback-signature: missing and wrong signatures are rejected as ``signature``."""
        async with self._receiving() as (connector, sign):
            good = sign(None)
            proofs = [
                name
                for name in good.headers
                if any(w in name for w in ("signature", "auth", "token", "hmac", "digest", "key"))
            ]
            wrong: list[dict[str, str]] = [{}]
            for name in proofs:
                wrong.append({k: v for k, v in good.headers.items() if k != name})
                wrong += [{**good.headers, name: value} for value in _forged(good.headers[name])]
            for headers in wrong:
                changed = good.model_copy(update={"headers": headers})
                _rejected(connector, changed, {"signature"}, "a wrong signature")

    @rule
    async def test_callback_altered(self) -> None:
        """callback-altered: a body that was changed on its way is rejected as ``signature``."""
        async with self._receiving() as (connector, sign):
            good = sign(None)
            flipped = bytearray(good.body)
            flipped[len(flipped) // 2] ^= 1
            for body in (good.body + b" ", bytes(flipped), good.body[:-1], b""):
                changed = good.model_copy(update={"body": body})
                _rejected(connector, changed, {"signature"}, "an altered body")

    @rule
    async def test_callback_stale(self) -> None:
        """callback-stale: a message of another day is rejected, before or after."""
        async with self._receiving() as (connector, sign):
            good = sign(None)
            for away in (timedelta(days=1), timedelta(hours=1), -timedelta(days=1)):
                changed = good.model_copy(update={"received_at": NOW + away})
                _rejected(connector, changed, {"stale", "signature"}, "a stale message")

    @rule
    async def test_callback_unknown_fields(self) -> None:
        """callback-unknown-fields: fields nobody agreed on change nothing."""
        async with self._receiving() as (connector, sign):
            good = sign(None)
            try:
                document = json.loads(good.body)
            except ValueError:
                skip("callbacks are not JSON")
            more = sign(json.dumps(_grown(document)).encode())
            try:
                updates = connector.parse_callback(more)
            except CallbackRejected as error:
                raise AssertionError(f"unknown fields were rejected ({error.reason})") from None
            said = [(u.outcome, u.reference, u.idempotency_key, u.reason) for u in updates]
            expected = [
                (u.outcome, u.reference, u.idempotency_key, u.reason)
                for u in connector.parse_callback(good)
            ]
            demand(said == expected, "unknown fields changed what was read")

    @rule
    async def test_callback_malformed(self) -> None:
        """callback-malformed: what is signed and cannot be read is rejected as ``malformed``."""
        bodies = (
            b"", b"{", b"{}", b"[]", b"null", b"1", b'"text"', b"\xff\xfe", b"[" * 50_000,
            b'{"type": 1, "data": null}', b'{"data": []}', b"<x/>",
        )  # fmt: skip
        async with self._receiving() as (connector, sign):
            for body in bodies:
                what = f"the signed body {body[:30]!r}"
                _rejected(connector, sign(body), {"malformed"}, what)

    @rule
    async def test_callback_pure(self) -> None:
        """callback-pure: reading a callback asks no partner, no network and no clock."""
        async with self._world() as world, world.opened() as connector:
            sign = self._signer(connector)
            good = sign(None)
            before = len(world.wire.requests), asyncio.all_tasks()
            world.clock.stopped = True
            try:
                cast("SupportsCallbacks", connector).parse_callback(good)
            finally:
                world.clock.stopped = False
            demand(not await settled(before[1]), "parse_callback started a task")
            demand(len(world.wire.requests) == before[0], "parse_callback sent a request")
            demand(not world.network.strays, "parse_callback used the network")


def _forged(proof: str) -> list[str]:
    middle = len(proof) // 2
    other = "A" if proof[middle : middle + 1] != "A" else "B"
    return ["", "v1,", "x", proof[:middle] + other + proof[middle + 1 :], "é" + proof]


def _rejected(
    connector: SupportsCallbacks, request: CallbackRequest, reasons: set[str], what: str
) -> None:
    try:
        connector.parse_callback(request)
    except CallbackRejected as error:
        if error.reason not in reasons:
            raise AssertionError(
                f"{what}: rejected as '{error.reason}', expected {' or '.join(sorted(reasons))}"
            ) from None
    except Exception as error:
        raise AssertionError(
            f"{what}: {type(error).__name__}, expected CallbackRejected"
        ) from error
    else:
        raise AssertionError(f"{what} was accepted")


def _grown(document: Any) -> Any:
    """The document with unknown fields in every object."""
    if isinstance(document, dict):
        inner = {key: _grown(value) for key, value in document.items()}
        return {**inner, "unknown_to_all": {"x": [1]}}
    if isinstance(document, list):
        return [_grown(value) for value in document]
    return document
