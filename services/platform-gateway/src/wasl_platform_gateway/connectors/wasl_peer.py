# SPDX-License-Identifier: Apache-2.0
"""Hub to hub: a request about an item hosted in another country goes to that country's Wasl.

It becomes a report there and is judged under that country's law; we poll for what became of it.
Nothing about a reporter can leave: a submission has no field for it. A chain of hubs ends, because
each hub appends itself to ``via`` and refuses what names it; the peer checks this, and so do we.
The protocol is in docs/connectors/wasl_peer.md; the other end is ``wasl_intake.peers``.
"""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from wasl_connector_sdk import (
    AmbiguousOutcome,
    Connector,
    ConnectorConfig,
    ConnectorError,
    Idempotency,
    InvalidSubmission,
    Manifest,
    Measure,
    Outcome,
    Receipt,
    Runtime,
    StatusUpdate,
    Submission,
    SubmissionRefused,
    TransientError,
    signing,
)
from wasl_connector_sdk.asking import asked
from wasl_connector_sdk.errors import word
from wasl_connector_sdk.http import Answer, exchange, expect, json_bytes
from wasl_connector_sdk.signing import Keys, SigningKey
from wasl_connector_sdk.urls import PartnerUrl

#: The id of a hub, which is the id of its country pack.
HubId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,79}$")]
_REFERENCE = re.compile(r"[A-Za-z0-9_.-]{1,100}")
#: What the peer's door takes of words.
MAX_EXPLANATION = 10_000
#: A key no request has.
_NOBODYS = "no-such-request"


class PeerHub(BaseModel):
    """Another country's hub, and the key we sign with for it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: PartnerUrl = Field(description="Where the hub's intake is; /api/v1/peers is below it")
    secret: SigningKey = Field(
        description="whsec_… (HMAC, shared with the hub) or whsk_… (ed25519, ours alone)"
    )


class WaslPeerConfig(ConnectorConfig):
    hub: HubId = Field(description="Our own hub id, as the peers know it: the id of our pack")
    peers: dict[HubId, PeerHub] = Field(
        min_length=1, description="By hub id, which is also the partner's id in our pack"
    )

    @model_validator(mode="after")
    def _not_ourselves(self) -> Self:
        if self.hub in self.peers:
            raise ValueError("peers: expected other hubs, one of them has our own id")
        return self


def to_json(submission: Submission, hub: str) -> dict[str, Any]:
    """The request body. Everything the peer learns is in here. ``hub``: our own id."""
    # The peer decides under its own law: what we would ask for is a hint among our words.
    said = [text for text in (asked(submission), submission.explanation) if text]
    return {
        "key": submission.idempotency_key,
        "location": submission.location,
        "platform": submission.platform,
        "category": submission.category,
        "severity": submission.severity,
        "ground": submission.ground.model_dump(),
        "explanation": "\n\n".join(said)[:MAX_EXPLANATION],
        "language": submission.language,
        "requested_at": submission.requested_at.isoformat(),
        "via": [*submission.via, hub],
        "test": submission.test,
    }


def _told(body: Any) -> tuple[str, Outcome, str | None] | None:
    """A report as its hub shows it; None where it is not one."""
    if not isinstance(body, dict) or not _is_reference(body.get("reference")):
        return None
    reason = body.get("reason")
    try:
        outcome = Outcome(str(body.get("outcome")))
    except ValueError:
        return None
    return (
        body["reference"],
        outcome,
        word(reason, "other") if isinstance(reason, str) and reason else None,
    )


def _is_reference(value: object) -> bool:
    return isinstance(value, str) and _REFERENCE.fullmatch(value) is not None


class WaslPeerConnector(Connector[WaslPeerConfig]):
    """References are ``hub:reference``: the second part is the other hub's own."""

    manifest: ClassVar[Manifest] = Manifest(
        name="wasl_peer",
        title="Another country's Wasl",
        docs="docs/connectors/wasl_peer.md",
        measures=frozenset(Measure),
        owner="Wasl maintainers",
        idempotency=Idempotency.NATIVE_KEY,
    )
    Config: ClassVar[type[ConnectorConfig]] = WaslPeerConfig

    def __init__(self, config: WaslPeerConfig, rt: Runtime) -> None:
        self._hub = config.hub
        self._peers = config.peers
        self._rt = rt

    @classmethod
    @asynccontextmanager
    async def open(cls, config: WaslPeerConfig, rt: Runtime) -> AsyncIterator[Self]:
        yield cls(config, rt)

    async def check(self) -> None:
        """Every peer knows our signature."""
        for peer in self._peers:
            await self._look_up(peer, _NOBODYS)

    async def submit(self, submission: Submission) -> Receipt:
        peer = submission.partner
        if peer not in self._peers:
            raise InvalidSubmission("no peer has the partner's id", reason="no_peer")
        if {peer, self._hub} & set(submission.via):
            raise SubmissionRefused("it came through this peer, or through us", code="loop")
        answer = await self._ask(
            "POST", peer, "reports", submission.idempotency_key, to_json(submission, self._hub)
        )
        body = self._expect(answer).json()
        reference = body.get("reference") if isinstance(body, dict) else None
        if not _is_reference(reference):
            # 2xx without a usable reference: it is there, and only `find` can tell which it is.
            raise AmbiguousOutcome("accepted without a reference", reason="unreadable_answer")
        return Receipt(reference=f"{peer}:{reference}")

    async def find(self, idempotency_key: str) -> Receipt | None:
        """All are asked: a key does not tell its peer. None only if each is sure to have none."""
        unsure: ConnectorError | None = None
        for peer in self._peers:
            try:
                found = await self._look_up(peer, idempotency_key)
            except ConnectorError as error:
                unsure = error
                continue
            if found is not None:
                return found
        if unsure is not None:
            raise unsure
        return None

    async def _look_up(self, peer: str, key: str) -> Receipt | None:
        answer = await self._ask("GET", peer, f"reports?key={key}", key)
        body = self._expect(answer).json()
        reports = body.get("reports") if isinstance(body, dict) else None
        if not isinstance(reports, list):
            raise TransientError("a lookup answered without a list", reason="unreadable_answer")
        if not reports:
            return None
        told = _told(reports[0])
        if told is None:
            raise TransientError(
                "a lookup answered an unreadable report", reason="unreadable_answer"
            )
        reference, outcome, reason = told
        return Receipt(reference=f"{peer}:{reference}", outcome=outcome, reason=reason)

    async def status(self, reference: str) -> StatusUpdate:
        peer, own = self._named(reference)
        answer = await self._ask("GET", peer, f"reports/{own}", own)
        told = _told(self._known(answer).json())
        if told is None:
            raise TransientError("an unreadable status", reason="unreadable_answer")
        _, outcome, reason = told
        return StatusUpdate(reference=reference, outcome=outcome, reason=reason, partner=peer)

    async def withdraw(self, reference: str, reason: str) -> None:
        peer, own = self._named(reference)
        body = {"reason": word(reason, "withdrawn")}
        self._known(await self._ask("POST", peer, f"reports/{own}/withdrawal", own, body))

    def _named(self, reference: str) -> tuple[str, str]:
        """The peer and its own reference. Raises SubmissionRefused for what is none of ours."""
        peer, _, own = reference.partition(":")
        if peer not in self._peers or not _is_reference(own):
            raise SubmissionRefused("no peer gives such references", code="unknown_reference")
        return peer, own

    async def _ask(
        self,
        method: str,
        peer: str,
        target: str,
        message: str,
        body: Mapping[str, Any] | None = None,
    ) -> Answer:
        """One signed request. ``target``: below our own place at the peer's door."""
        settings, target = self._peers[peer], f"{self._hub}/{target}"
        content = json_bytes(body) if body is not None else b""
        signed = signing.addressed(peer, method, target, content)
        headers = signing.headers(
            Keys(secret=settings.secret), message, self._rt.clock.now(), signed
        )
        if body is not None:
            headers["content-type"] = "application/json"
        url = f"{str(settings.url).rstrip('/')}/api/v1/peers/{target}"
        return await exchange(self._rt.http, method, url, headers=headers, content=content or None)

    def _expect(self, answer: Answer) -> Answer:
        return expect(answer, self._rt.clock.now())

    def _known(self, answer: Answer) -> Answer:
        if answer.status == 404:
            raise SubmissionRefused(
                "the peer does not know the reference", code="unknown_reference"
            )
        return self._expect(answer)
