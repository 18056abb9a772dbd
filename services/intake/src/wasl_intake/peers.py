# SPDX-License-Identifier: Apache-2.0
"""The door for other countries' hubs: they hand items over here and ask what became of them.

Every request is signed for this hub, this path and this body, by a hub of the settings. What is
handed over becomes a report of the channel ``partner``, without contact or receipt, judged by this
hub's analysts. The report's id follows from hub and key, so a repetition finds it.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response
from wasl_chassis.failures import Conflict
from wasl_chassis.vault import derive
from wasl_chassis.web import Problem, field_problem, read_body, validate
from wasl_chassis.work import UnitOfWork
from wasl_connector_sdk import CallbackRejected, signing
from wasl_schemas import topics
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.events.report_submitted_v1 import ReportContent

from wasl_intake import metrics as measure
from wasl_intake.domain import peer
from wasl_intake.domain.peer import PEER_REQUEST, PEER_WITHDRAWAL, PeerRequest
from wasl_intake.handlers import Hub, submitted, take_back
from wasl_intake.http import JSON, ApiRoute, described, problems
from wasl_intake.repository import CASE_VIEWS, LINKS, REPORTS, Report
from wasl_intake.settings import Peer, Peers

_REFERENCE = re.compile(r"(?:test-)?[0-9a-f]{32}")
_KEY = re.compile(r"[A-Za-z0-9_.:-]{8,80}")
_TEST = "test-"


class Refusal(Problem):
    """Understood and declined, for good: a 422 whose ``code`` is the reason as a machine word."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(422, "This hub declines the request", detail)
        self.code = code

    def body(self) -> dict[str, Any]:
        return {**super().body(), "code": self.code}


@dataclass(frozen=True, slots=True)
class Told:
    """What another hub may know of its own report."""

    reference: str
    outcome: str
    reason: str | None


class Peering:
    """What peers ask of this hub; ``hub`` is always one whose signature was verified."""

    def __init__(self, hub: Hub, pack: CountryPack, *, pepper: bytes) -> None:
        self._hub = hub
        self._pack = pack
        self._key = derive(pepper, "peer")

    @property
    def own(self) -> str:
        """This hub's id."""
        return self._pack.info.id

    def reference(self, hub: str, key: str) -> str:
        """The report of a hub's key: nobody else can tell it, or test a guess."""
        return hmac.digest(self._key, f"{hub}|{key}".encode(), hashlib.sha256).hex()[:32]

    async def take(self, hub: str, request: PeerRequest) -> bool:
        """Store the request as a report and emit it. False: this key's report is there already.

        The first body under a key stands. Raises Overloaded, Retryable; then nothing was stored.
        """
        report_id = self.reference(hub, request.key)
        uow = self._hub.unit()
        if await uow.get(REPORTS, report_id) is not None:
            return False
        uow.keys.create(report_id)
        content = ReportContent(locations=(request.location,), narrative=request.narrative(hub))
        report = Report(
            report_id=report_id,
            fingerprint="",
            received_at=uow.now(),
            channel="partner",
            language=request.language,
            category=request.category if request.category in self._pack.categories else None,
            danger_now=None,
            under_18=None,
            under_13=None,
            consent_partner=True,
            consent_authority=False,
            content=await uow.keys.seal(report_id, "report.content", content.model_dump_json()),
            via=request.via,
        )
        uow.put(REPORTS, report)
        uow.emit(topics.REPORT_SUBMITTED_V1, submitted(report), time=report.received_at)
        try:
            await self._hub.submit(uow)
        except Conflict:
            if await self._hub.unit().get(REPORTS, report_id) is None:
                raise
            return False
        return True

    async def told(self, hub: str, reference: str) -> Told | None:
        """What became of a hub's report; None: it has none of this reference."""
        uow = self._hub.unit()
        held = await uow.get(REPORTS, reference)
        report = self._of(hub, held)
        if report is None:
            return None
        links = await uow.get(LINKS, reference)
        cases = links.linked() if links else []
        await uow.load(CASE_VIEWS, cases)
        views = [v for case in cases if (v := await uow.get(CASE_VIEWS, case)) is not None]
        withdrawn = report.withdrawn_at is not None
        return Told(reference, *peer.outcome(report.received_at, views, withdrawn=withdrawn))

    async def withdraw(self, hub: str, reference: str) -> bool:
        """Take a hub's report back, once. False: it has none of this reference."""

        async def work(uow: UnitOfWork) -> bool:
            held = await uow.get(REPORTS, reference)
            report = self._of(hub, held)
            await uow.keys.load([reference])
            if report is not None and report.withdrawn_at is None:
                await take_back(uow, report)
            return report is not None

        return await self._hub.transact(work)

    @staticmethod
    def _of(hub: str, report: Report | None) -> Report | None:
        """A report this hub handed over, not one that came another way."""
        return report if report is not None and report.via[-1:] == (hub,) else None


class PeerDoor:
    """The routes. Each verifies the signature, reads, and words the answer."""

    def __init__(self, peering: Peering, peers: Peers, hub: Hub, *, limit: int) -> None:
        self._peering = peering
        self._peers = peers
        self._hub = hub
        self._limit = limit

    async def _signed(self, request: Request, target: str) -> tuple[str, Peer, bytes]:
        """Which hub it is, and the body it signed. Raises the 401, 408, 413 or 415."""
        hub = request.path_params["hub"]
        posts = request.method == "POST"
        body = await read_body(request, self._limit, media_type=JSON if posts else None)
        known = self._peers.get(hub)
        signed = signing.addressed(self._peering.own, request.method, f"{hub}/{target}", body)
        detail = "The hub is not known here."
        if known is not None:
            try:
                signing.verify(known, request.headers, signed, self._hub.clock.now())
            except CallbackRejected as error:
                detail = f"Refused: {error.reason}."
            else:
                return hub, known, body
        measure.record_peer(self._hub.metrics, hub if known else "unknown", "unsigned")
        raise Problem(
            401,
            "The request is not signed by a known hub",
            detail,
            headers={"www-authenticate": 'Signature realm="peers"'},
        )

    def _count(self, hub: str, result: str) -> None:
        measure.record_peer(self._hub.metrics, hub, result)

    async def submit(self, request: Request) -> Response:
        hub, settings, body = await self._signed(request, "reports")
        asked = validate(PEER_REQUEST, body)
        if asked.via[-1] != hub:
            raise field_problem("via", "does not end with the sender", "Append your own hub id.")
        if peer.loops(self._peering.own, asked.via):
            self._count(hub, "loop")
            raise Refusal("loop", "It came through this hub already, or through too many.")
        reference = self._peering.reference(hub, asked.key)
        if asked.test:
            if not settings.tests:
                self._count(hub, "test_not_accepted")
                raise Refusal("test_not_accepted", "This hub answers no tests of yours.")
            self._count(hub, "test")
            return _json({"reference": _TEST + reference}, 200)
        new = await self._peering.take(hub, asked)
        self._count(hub, "accepted" if new else "duplicate")
        return _json({"reference": reference}, 201 if new else 200)

    async def find(self, request: Request) -> Response:
        key = request.query_params.get("key", "")
        if not _KEY.fullmatch(key):
            raise field_problem("key", "is missing or no key of a request", "Add ?key=KEY.")
        hub, _, _ = await self._signed(request, f"reports?key={key}")
        told = await self._peering.told(hub, self._peering.reference(hub, key))
        self._count(hub, "read")
        return _json({"reports": [_shown(told)] if told else []})

    async def status(self, request: Request) -> Response:
        reference = _reference(request)
        hub, settings, _ = await self._signed(request, f"reports/{reference}")
        self._count(hub, "read")
        if settings.tests and reference.startswith(_TEST):
            return _json(_shown(Told(reference, "pending", None)))
        told = await self._peering.told(hub, reference)
        if told is None:
            raise _unknown()
        return _json(_shown(told))

    async def withdraw(self, request: Request) -> Response:
        reference = _reference(request)
        hub, settings, body = await self._signed(request, f"reports/{reference}/withdrawal")
        validate(PEER_WITHDRAWAL, body)
        test = settings.tests and reference.startswith(_TEST)
        if not test and not await self._peering.withdraw(hub, reference):
            raise _unknown()
        self._count(hub, "withdrawn")
        return Response(status_code=204)

    def routes(self) -> Iterable[ApiRoute]:
        hub, reference = _parameter("hub"), _parameter("reference")
        key = _parameter("key", "query", f"^{_KEY.pattern}$")
        one = "/peers/{hub}/reports"
        post, read = problems(401, 413, 415, 422, 503), problems(401, 404, 503)
        return (
            (
                *("POST", one, self.submit, "Hand a report over, hub to hub"),
                *(described(PEER_REQUEST, hub, *_SIGNED), post, 201),
            ),
            (
                *("GET", one, self.find, "Find the report of a key, hub to hub"),
                described(None, hub, key, *_SIGNED),
                {**read, **problems(422)},
                200,
            ),
            (
                *("GET", one + "/{reference}", self.status, "Follow a report, hub to hub"),
                *(described(None, hub, reference, *_SIGNED), read, 200),
            ),
            (
                *("POST", one + "/{reference}/withdrawal", self.withdraw),
                "Take a report back, hub to hub",
                *(described(PEER_WITHDRAWAL, hub, reference, *_SIGNED), {**read, **post}, 204),
            ),
        )


def _parameter(name: str, place: str = "path", pattern: str = "") -> dict[str, Any]:
    schema = {"type": "string", **({"pattern": pattern} if pattern else {})}
    return {"name": name, "in": place, "required": True, "schema": schema}


_SIGNED = [
    _parameter(name, "header") for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
]


def _json(body: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(body).encode(), status, media_type=JSON)


def _shown(told: Told) -> dict[str, Any]:
    return {"reference": told.reference, "outcome": told.outcome, "reason": told.reason}


def _reference(request: Request) -> str:
    reference: str = request.path_params["reference"]
    if not _REFERENCE.fullmatch(reference):
        raise _unknown()
    return reference


def _unknown() -> Problem:
    return Problem(404, "No report of yours has this reference")
