# SPDX-License-Identifier: Apache-2.0
"""Reports posts and accounts on Bluesky, and on other AT Protocol servers, to a labeler.

The hub's own server (PDS) signs the report and passes it on to the moderation service that the
``atproto-proxy`` header names. A reporter gets an id and can read nothing back; the same report
twice makes two, so after a lost answer a person must decide.
Source: bluesky-social/atproto lexicons com.atproto.moderation.createReport,
com.atproto.server.{createSession,refreshSession}, com.atproto.identity.resolveHandle,
com.atproto.repo.getRecord, tools.ozone.report.defs; atproto.com/specs/{at-uri-scheme,xrpc}.
"""

import asyncio
import base64
import binascii
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Self
from urllib.parse import unquote, urlsplit

from pydantic import AnyHttpUrl, Field, SecretStr
from wasl_connector_sdk import (
    AmbiguousOutcome,
    Connector,
    ConnectorConfig,
    ConnectorError,
    CredentialsRejected,
    Idempotency,
    InvalidSubmission,
    Manifest,
    Measure,
    RateLimit,
    RateLimited,
    Receipt,
    Runtime,
    Submission,
    SubmissionRefused,
    TransientError,
)
from wasl_connector_sdk.asking import asked
from wasl_connector_sdk.errors import word
from wasl_connector_sdk.http import MAX_RETRY_AFTER, Answer, exchange, fault, json_bytes
from wasl_connector_sdk.urls import PartnerUrl

#: 2000 graphemes and 20 000 bytes are allowed; 2000 code points are never more than either.
MAX_REASON = 2000
#: Bluesky's own moderation service.
BLUESKY_LABELER = "did:plc:ar7c4by46qjdydhdevvrndac"
_DID = re.compile(r"did:[a-z]+:[A-Za-z0-9._:%-]*[A-Za-z0-9._-]")
_HANDLE = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_NSID = re.compile(r"[a-zA-Z][a-zA-Z0-9-]*(\.[a-zA-Z0-9-]+)+")
_RKEY = re.compile(r"(?!\.\.?$)[A-Za-z0-9._:~-]{1,512}")
_PAGES = {
    "post": "app.bsky.feed.post",
    "feed": "app.bsky.feed.generator",
    "lists": "app.bsky.graph.list",
}
_REASONS = {
    "csam": "ChildSafetyCSAM",
    "child_grooming": "ChildSafetyGroom",
    "child_exposure": "ChildSafetyPrivacy",
    "sextortion": "SexualNCII",
    "intimate_image_abuse": "SexualNCII",
    "cyberbullying": "HarassmentTargeted",
    "cyber_harassment": "HarassmentTargeted",
    "threats": "ViolenceThreats",
    "incitement_violence": "ViolenceThreats",
    "suicide_selfharm": "SelfHarmContent",
    "privacy_violation": "HarassmentDoxxing",
    "personal_data": "HarassmentDoxxing",
    "impersonation": "MisleadingImpersonation",
    "hate_speech": "HarassmentHateSpeech",
    "terrorism": "ViolenceExtremistContent",
    "violent_content": "ViolenceGraphicContent",
    "disinformation": "MisleadingOther",
    "age_inappropriate": "SexualUnlabeled",
    "scam_fraud": "MisleadingScam",
    "phishing_malware": "RuleSiteSecurity",
    "trafficking": "ViolenceTrafficking",
    "illegal_goods": "RuleProhibitedSales",
}


class BlueskyConfig(ConnectorConfig):
    identifier: str = Field(min_length=1, description="Handle or DID of the hub's account")
    app_password: SecretStr = Field(min_length=1, description="Not the account's own password")
    labeler: str = Field(
        default=BLUESKY_LABELER,
        pattern=rf"^{_DID.pattern}$",
        description="Moderation service reported to",
    )
    reasons: dict[str, str] = Field(
        default_factory=dict, description="Other reason types by category, as the labeler lists"
    )
    base_url: PartnerUrl = Field(
        default=AnyHttpUrl("https://bsky.social"), description="The hub's own PDS"
    )


@dataclass(frozen=True, slots=True)
class Subject:
    """An account (``repo``: DID or handle), or one of its records."""

    repo: str
    collection: str = ""
    rkey: str = ""


def subject_of(location: str) -> Subject | None:
    """What an ``at://`` URI, a bsky.app address or an ``@handle`` names; None: nothing here."""
    if location.startswith("@"):
        return _subject(location[1:])
    try:
        parts = urlsplit(location)
    except ValueError:
        return None
    address = location.partition("://")[2]
    path = [unquote(part) for part in address.partition("?")[0].split("/")]
    path = path[:-1] if path[-1] == "" else path
    if parts.scheme == "at":
        return _subject(*path) if len(path) in (1, 3) else None
    if parts.scheme in ("http", "https") and parts.hostname == "bsky.app":
        match path[1:]:
            case ["profile", repo]:
                return _subject(repo)
            case ["profile", repo, kind, rkey] if kind in _PAGES:
                return _subject(repo, _PAGES[kind], rkey)
    return None


def _subject(repo: str, collection: str = "", rkey: str = "") -> Subject | None:
    known = _DID.fullmatch(repo) or _HANDLE.fullmatch(repo := repo.lower())
    record = not collection or (_NSID.fullmatch(collection) and _RKEY.fullmatch(rkey))
    return Subject(repo, collection, rkey) if known and record else None


def reason_type(category: str, own: dict[str, str]) -> str:
    """The reason's full name; a labeler that wants other ones has them in the config."""
    return own.get(category, f"tools.ozone.report.defs#reason{_REASONS.get(category, 'RuleOther')}")


def reason_text(submission: Submission) -> str:
    """What moderators read: the statement, the rule and our key, cut to the limit."""
    head = "[TEST] " if submission.test else ""
    tail = f"\n\nref:{submission.idempotency_key}"
    rule = submission.ground.text or submission.ground.ref
    text = "\n\n".join(part for part in (asked(submission), submission.explanation, rule) if part)
    return head + text[: MAX_REASON - len(head) - len(tail)] + tail


def error_in(answer: Answer) -> str:
    """The XRPC error's name, or ''."""
    body = answer.json()
    name = body.get("error") if isinstance(body, dict) else None
    return name if isinstance(name, str) else ""


def problem(answer: Answer, now: datetime) -> ConnectorError | None:
    """What an XRPC answer means; None for 2xx."""
    name = error_in(answer)
    if answer.ok:
        return None
    if name in ("AccountTakedown", "AccountDeactivated", "InvalidToken", "AuthMissing"):
        return CredentialsRejected(name)
    error = fault(answer, now)
    if isinstance(error, RateLimited) and error.retry_after is None:
        reset = answer.headers.get("ratelimit-reset", "")
        if reset.isascii() and reset.isdigit():  # a Unix time
            wait = min(max(int(reset[:11]) - now.timestamp(), 0.0), MAX_RETRY_AFTER)
            return RateLimited("HTTP 429", retry_after=wait)
    if isinstance(error, InvalidSubmission) and name:
        return InvalidSubmission(f"HTTP {answer.status}", reason=word(name, "invalid"))
    return error


def expires(jwt: str) -> datetime | None:
    """When a token says it ends; None where it does not. Nothing is trusted, only timed."""
    try:
        part = jwt.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return datetime.fromtimestamp(float(claims["exp"]), tz=UTC)
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, binascii.Error):
        return None


class BlueskyConnector(Connector[BlueskyConfig]):
    manifest: ClassVar[Manifest] = Manifest(
        name="bluesky",
        title="Bluesky",
        docs="docs/connectors/bluesky.md",
        measures=frozenset(Measure),
        owner="Wasl maintainers",
        production=frozenset({"bsky.social", "bsky.network", "bsky.app"}),
        idempotency=Idempotency.NONE,
        # 3000 requests in 5 minutes for an address; a report takes up to three.
        rate=RateLimit(per_second=1, burst=10),
    )
    Config: ClassVar[type[ConnectorConfig]] = BlueskyConfig

    def __init__(self, config: BlueskyConfig, rt: Runtime) -> None:
        self._config = config
        self._url = str(config.base_url).rstrip("/") + "/xrpc/"
        self._rt = rt
        self._signing_in = asyncio.Lock()
        self._access: str | None = None
        self._refresh: str | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, config: BlueskyConfig, rt: Runtime) -> AsyncIterator[Self]:
        yield cls(config, rt)

    async def check(self) -> None:
        """Signs in and asks whose session it is."""
        answer = await self._call("GET", "com.atproto.server.getSession")
        if answer.status == 400:  # a token as it should be, of an account that is no more
            raise CredentialsRejected("HTTP 400")
        self._expect(answer)

    async def submit(self, submission: Submission) -> Receipt:
        subject = subject_of(submission.location)
        if subject is None:
            raise SubmissionRefused("neither post nor account", code="item_not_supported")
        body = {
            "reasonType": reason_type(submission.category, self._config.reasons),
            "reason": reason_text(submission),
            "subject": await self._subject(subject),
        }
        answer = await self._call(
            "POST",
            "com.atproto.moderation.createReport",
            content=json_bytes(body),
            headers={"atproto-proxy": f"{self._config.labeler}#atproto_labeler"},
        )
        if answer.status == 502:
            # The same for a labeler that could not be reached, broke off after it had read the
            # report, or answered something the server could not read.
            raise AmbiguousOutcome("HTTP 502", reason="http_502")
        made = self._expect(answer).json()
        number = made.get("id") if isinstance(made, dict) else None
        if not isinstance(number, int) or isinstance(number, bool):
            raise AmbiguousOutcome("accepted without an id", reason="unreadable_answer")
        return Receipt(reference=str(number))

    async def _subject(self, subject: Subject) -> dict[str, str]:
        """The subject as the report names it: a DID, or a record in its present version."""
        did = subject.repo
        if not _DID.fullmatch(did):
            answer = await self._found("com.atproto.identity.resolveHandle", {"handle": did})
            did = self._text(answer, "did")
        if not subject.collection:
            return {"$type": "com.atproto.admin.defs#repoRef", "did": did}
        params = {"repo": did, "collection": subject.collection, "rkey": subject.rkey}
        answer = await self._found("com.atproto.repo.getRecord", params)
        uri, cid = self._text(answer, "uri"), self._text(answer, "cid")
        return {"$type": "com.atproto.repo.strongRef", "uri": uri, "cid": cid}

    async def _found(self, method: str, params: dict[str, str]) -> Answer:
        answer = await self._call("GET", method, params=params)
        # Older servers name no error of their own for a handle they cannot resolve.
        missing = {"RecordNotFound", "HandleNotFound", "RepoNotFound", "InvalidRequest"}
        if answer.status in (400, 404) and error_in(answer) in missing:
            raise SubmissionRefused("the network does not have it", code="item_not_found")
        return self._expect(answer)

    @staticmethod
    def _text(answer: Answer, name: str) -> str:
        body = answer.json()
        value = body.get(name) if isinstance(body, dict) else None
        if not isinstance(value, str) or not value:
            raise TransientError("an unreadable lookup", reason="unreadable_answer")
        return value

    async def _call(
        self,
        http_method: str,
        method: str,
        *,
        params: dict[str, str] | None = None,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        given = {"authorization": f"Bearer {await self._token()}", **(headers or {})}
        if content is not None:
            given["content-type"] = "application/json"
        answer = await exchange(
            self._rt.http,
            http_method,
            self._url + method,
            headers=given,
            params=params,
            content=content,
        )
        if error_in(answer) == "ExpiredToken":
            self._access = None  # ended before its time; the next attempt renews it
            raise TransientError("the session has expired", reason="token_expired")
        return answer

    async def _token(self) -> str:
        """An access token with a minute left at least: kept, renewed, or of a new session."""
        async with self._signing_in:
            if self._access is not None and not self._ends_soon(self._access):
                return self._access
            if self._refresh is not None:
                headers = {"authorization": f"Bearer {self._refresh}"}
                answer = await self._session("com.atproto.server.refreshSession", headers)
                if answer.status not in (400, 401):
                    return self._keep(answer)
            content = json_bytes(
                {
                    "identifier": self._config.identifier,
                    "password": self._config.app_password.get_secret_value(),
                }
            )
            headers = {"content-type": "application/json"}
            return self._keep(
                await self._session("com.atproto.server.createSession", headers, content)
            )

    async def _session(
        self, method: str, headers: dict[str, str], content: bytes | None = None
    ) -> Answer:
        try:
            return await exchange(
                self._rt.http, "POST", self._url + method, headers=headers, content=content
            )
        except AmbiguousOutcome as error:  # no report is in doubt, only a session
            raise TransientError("no answer to the sign-in", reason=error.reason) from None

    def _keep(self, answer: Answer) -> str:
        self._access = self._refresh = None
        self._expect(answer)
        access, refresh = self._text(answer, "accessJwt"), self._text(answer, "refreshJwt")
        self._access, self._refresh = access, refresh
        return access

    def _ends_soon(self, jwt: str) -> bool:
        end = expires(jwt)
        return end is not None and self._rt.clock.now() >= end - timedelta(minutes=1)

    def _expect(self, answer: Answer) -> Answer:
        error = problem(answer, self._rt.clock.now())
        if error is not None:
            raise error
        return answer
