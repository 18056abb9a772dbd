# SPDX-License-Identifier: Apache-2.0
"""Rules about what a connector must not do: leak, wander, reach production in test mode, and what
its source must not name.
"""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import httpx

from wasl_connector_sdk.conformance import faults, guards, samples
from wasl_connector_sdk.conformance.bench import Bench, demand, demand_none, rule, skip
from wasl_connector_sdk.conformance.world import name_of, outcome, texts
from wasl_connector_sdk.errors import InvalidSubmission
from wasl_connector_sdk.http import TestModeError
from wasl_connector_sdk.models import Receipt


class SilenceRules(Bench):
    @rule
    async def test_no_leaks(self) -> None:
        """no-leaks: no location, no statement and no secret in logs or exception texts."""
        submission = self._sample(1)
        async with self._world() as world:
            config = world.config
        public = self.connector.manifest.production | guards.hosts(config) | self.sandbox
        hidden = samples.canaries(submission, public) | guards.secrets(config)
        shown: list[str] = []
        with guards.Log() as log:
            for fault in (None, *(faults.KINDS if await self._speaks_http() else ())):
                for _, ask in self._questions():
                    async for _, receipt, result in self._disturbed(fault, ask):
                        name = fault.name if fault else "no fault"
                        found = (receipt, result)
                        shown += [f"{name}: {texts(e)}" for e in found if isinstance(e, Exception)]
            shown += await self._rejections()
        shown += [f"log: {line}" for line in log.lines]
        leaks = {f"{text.partition(':')[0]}" for text in shown if any(w in text for w in hidden)}
        demand_none(sorted(leaks), "the sample's location or statement, or a secret, shows at")

    @rule
    async def test_only_partner(self) -> None:
        """only-partner: nothing is called but the addresses in the config."""
        async with self._world() as world:
            known = guards.hosts(world.config) | {
                str(urlsplit(getattr(world.partner.fake, "base", "")).hostname)
            }
            for _, ask in self._questions():
                async with world.opened() as connector:
                    receipt = await outcome(world.send(connector, self._sample(1)))
                    await outcome(ask(world, connector, receipt))
            strays = {r.url.host for r in world.wire.requests if r.url.host not in known}
            demand_none(sorted(strays), "hosts that are not in the config were called")
            demand_none(world.network.strays, "the network was used beside the client")

    @rule
    async def test_test_mode(self) -> None:
        """test-mode: default addresses are declared; without ``live`` production is not reached."""
        manifest = self.connector.manifest
        declared = manifest.production | self.sandbox
        for field, host in guards.defaults(self.connector.Config).items():
            demand(
                any(host == h or host.endswith(f".{h}") for h in declared),
                f"the default of {field} leads to {host}: name it in Manifest.production",
            )
        if not manifest.production:
            skip("the manifest names no production host: addresses come from the deployment")
        async with self._partner() as partner:
            base = urlsplit(str(getattr(partner.fake, "base", "https://fake.test"))).hostname
            bare = {k: v for k, v in partner.config.items() if urlsplit(str(v)).hostname != base}
            if isinstance(self._validated({**bare, "live": False}), Exception):
                skip("the addresses have no defaults")
        async with self._world({**bare, "live": False}) as world:
            for name, ask in self._questions():
                refused = _count_refusals(world.http)
                async with world.opened() as connector:
                    result = await outcome(ask(world, connector, Receipt(reference="1")))
                if refused:
                    demand(
                        isinstance(result, InvalidSubmission) or name == "check",
                        f"{name}: refused by test mode, it must end in that error, "
                        f"not in {name_of(result)}",
                    )
            reached = {r.url.host for r in world.wire.requests if _below(r.url.host, manifest)}
            demand(not reached, f"test mode reached production: {', '.join(sorted(reached))}")

    @rule
    async def test_no_environment(self) -> None:
        """no-environment: the source reads no environment and opens no file."""
        self._without(guards.ENVIRONMENT, "settings come in Config")

    @rule
    async def test_injected_clock(self) -> None:
        """injected-clock: the source takes the time from ``rt.clock`` only."""
        self._without(guards.CLOCK, "the time comes from rt.clock")

    @rule
    async def test_no_waiting(self) -> None:
        """no-waiting: the source neither sleeps nor retries."""
        self._without(guards.WAITING, "the gateway waits, a connector does not")

    @rule
    async def test_no_output(self) -> None:
        """no-output: the source prints nothing and logs through ``rt.log`` only."""
        self._without(guards.OUTPUT, "what is to be said goes to rt.log")

    @rule
    async def test_lent_client(self) -> None:
        """lent-client: the source makes no HTTP client; it uses ``rt.http``."""
        self._without(guards.HTTP, "HTTP goes through rt.http")


def _count_refusals(http: httpx.AsyncClient) -> list[str]:
    """Hosts the client refuses from now on."""
    refused: list[str] = []

    def counting(
        hook: Callable[[httpx.Request], Awaitable[None]],
    ) -> Callable[[httpx.Request], Awaitable[None]]:
        async def call(request: httpx.Request) -> None:
            try:
                await hook(request)
            except TestModeError:
                refused.append(request.url.host)
                raise

        return call

    hooks = http.event_hooks["request"]
    http.event_hooks = {"request": [counting(hook) for hook in hooks]}
    return refused


def _below(host: str, manifest: Any) -> bool:
    return any(host == h or host.endswith(f".{h}") for h in manifest.production)
