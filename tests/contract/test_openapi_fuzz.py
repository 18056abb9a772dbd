# SPDX-License-Identifier: Apache-2.0
"""Intake's API is what its OpenAPI document says: schemathesis sends what fits it and what does not.

The whole application on a store in memory. Deterministic; WASL_FUZZ_EXAMPLES=1000 looks longer.
"""

import hashlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, settings
from schemathesis.checks import CheckContext
from schemathesis.config import SchemathesisConfig
from schemathesis.core.transport import Response
from schemathesis.generation.meta import TestPhase
from schemathesis.specs.openapi import checks
from wasl_chassis.metrics import Metrics
from wasl_chassis.testing import FakeClock, MemoryStore
from wasl_chassis.vault import Vault
from wasl_chassis.work import UnitOfWork
from wasl_intake import bootstrap
from wasl_intake.domain import api_key
from wasl_intake.gate import Gate
from wasl_intake.handlers import IntakeHandlers
from wasl_intake.metrics import METRICS
from wasl_intake.peers import PeerDoor, Peering
from wasl_intake.settings import ApiKey

T = TypeVar("T")
EXAMPLES = int(os.environ.get("WASL_FUZZ_EXAMPLES", "15"))
PACK = bootstrap.read_pack(Path(__file__).parents[2] / "deploy" / "country-packs" / "ma")
PEPPER = bytes(range(32))
KEY = api_key.spelt(bytes(api_key.SIZE))
#: Rules no JSON schema can say. Whatever else is refused although it fits is an error of the document.
BEYOND = frozenset({
    "ages_contradict", "category_unknown", "control_character", "email_invalid", "message_empty",
    "nothing_reported", "nul", "operator_key", "repeated", "repeat_differs", "repeat_key",
    "surrogate", "time_ahead", "time_too_early", "too_deep",
    "location_control", "location_empty", "location_not_public", "location_scheme",
    "location_unknown", "channel_not_allowed", "duplicate_key", "not_finite",
})  # fmt: skip


class Hub:
    """The part of the chassis' service that intake uses."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.clock = FakeClock()
        self.metrics = Metrics(METRICS)
        self._vault = Vault({"m1": hashlib.sha256(b"master").digest()})

    def unit(self) -> UnitOfWork:
        return UnitOfWork(self.store, self.clock, "/wasl/intake", self._vault)

    async def submit(self, uow: UnitOfWork) -> None:
        await self.store.commit(uow.changes())

    async def transact(self, work: Callable[[UnitOfWork], Awaitable[T]]) -> T:
        uow = self.unit()
        result = await work(uow)
        await self.store.commit(uow.changes())
        return result


class OpenGate(Gate):
    """Thousands of reports in a second are a flood, and here they are meant."""

    def at_api(self, *_: Any) -> bool:
        return False


def application() -> FastAPI:
    hub = Hub()
    handlers = IntakeHandlers(hub, PACK, pepper=PEPPER)
    key = ApiKey(
        sha256=api_key.digest(KEY),
        channels=("api", "partner", "phone"),
        scopes=frozenset({"report", "xarf", "batch"}),
    )
    return bootstrap.compose(
        handlers,
        PACK,
        hub.metrics,
        pepper=PEPPER,
        body_limit=65_536,
        peers=PeerDoor(Peering(hub, PACK, pepper=PEPPER), {}, hub, limit=65_536),
        keys={"fuzz": key},
        gate=OpenGate(PACK, hub.clock, hub.metrics, pepper=PEPPER),
        clock=hub.clock,
    )


APP = application()
CONFIG = SchemathesisConfig.from_dict({
    "checks": {
        # Too many entries can be too many bytes as well.
        "negative_data_rejection": {"expected-statuses": ["400", "401", "403", "404", "413", "415", "422"]},
    },
})  # fmt: skip
SCHEMA = schemathesis.openapi.from_dict(APP.openapi(), config=CONFIG)
SCHEMA.app = APP
with TestClient(APP) as client:
    #: One report to take back, and one to follow.
    FIRST, SECOND = (
        client.post("/api/v1/reports", json={"narrative": "A report."}).json()["receipt"]
        for _ in range(2)
    )


@SCHEMA.auth()
class Credentials:
    """The receipt of a report, or the key, whichever the operation wants."""

    def get(
        self, case: schemathesis.Case[Any], context: schemathesis.AuthContext
    ) -> dict[str, str]:
        wanted = str(case.operation.definition.raw.get("security", ()))
        if "Receipt" in wanted:
            code = FIRST if case.path.endswith("/withdrawal") else SECOND
            return {"Authorization": f"Receipt {code}"}
        return {"X-Api-Key": KEY} if "ApiKey" in wanted else {}

    def set(
        self, case: schemathesis.Case[Any], data: dict[str, str], context: schemathesis.AuthContext
    ) -> None:
        case.headers.update(data)


def fitting_data_is_taken(
    _: CheckContext, response: Response, case: schemathesis.Case[Any]
) -> None:
    """What fits the document is refused only by a rule a schema cannot say, and that is named."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if response.status_code not in (400, 415, 422):
        return
    problem = response.json()
    codes = {error["code"] for error in problem.get("errors", ())}
    if case.meta.phase.name is TestPhase.EXAMPLES:
        # Variants of an example came before it, with its id.
        assert codes == {"repeat_differs"}, f"an example of the document is refused: {problem}"
    assert codes and codes <= BEYOND, f"{codes - BEYOND}: {problem}"


EXCLUDED: list[Any] = [checks.positive_data_acceptance]


@SCHEMA.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_the_api_is_what_it_says(case: schemathesis.Case[Any]) -> None:
    case.call_and_validate(additional_checks=[fitting_data_is_taken], excluded_checks=EXCLUDED)
