# SPDX-License-Identifier: Apache-2.0
"""ICCAM, the exchange of INHOPE's hotlines (API version 3), for hubs that are a member hotline.

A bearer token of half an hour over a client certificate. Our key is the hotline reference, which
ICCAM keeps unique: nothing becomes two reports. But no request finds a report by it, so after a
lost answer a person looks it up. Nothing is fetched to fill the form: what is not known is null.
Facts: https://api-demo.iccam.net/swagger and the open client github.com/AbuseIO/SCART-application.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Literal, Self

import httpx
from pydantic import Field, FilePath, SecretStr, model_validator
from wasl_connector_sdk import (
    AmbiguousOutcome,
    Connector,
    ConnectorConfig,
    CredentialsRejected,
    Idempotency,
    InvalidSubmission,
    Manifest,
    Outcome,
    RateLimit,
    Receipt,
    Runtime,
    StatusUpdate,
    Submission,
    SubmissionRefused,
    TransientError,
)
from wasl_connector_sdk.asking import asked
from wasl_connector_sdk.http import Answer, client, exchange, expect, json_bytes
from wasl_connector_sdk.urls import PartnerUrl

DEMO = "https://api-demo.iccam.net"
#: A token is replaced a minute before its end, so that it does not end on its way.
MARGIN = timedelta(minutes=1)
NOT_DETERMINED, WEBSITE, SOCIAL_NETWORK, MEDIA, PAGE = 1, 2, 9, 1, 2
_MEDIA_KINDS = frozenset({"photo", "image", "video", "story", "live"})
#: ICCAM's action types, strongest first. 0 (moved) and unknown ones say nothing about the item.
ACTIONS = {
    3: Outcome.REMOVED,
    4: Outcome.ALREADY_GONE,
    6: Outcome.REFUSED,
    1: Outcome.ACKNOWLEDGED,
    2: Outcome.ACKNOWLEDGED,
}


class IccamConfig(ConnectorConfig):
    username: str = Field(min_length=1, description="The hotline's API user")
    password: SecretStr = Field(min_length=1, description="Of the API user")
    base_url: PartnerUrl | None = Field(
        default=None, description=f"Default: {DEMO}; required with live, INHOPE names it"
    )
    analyst: str | None = Field(
        default=None, description="Analyst named in reports; default: the user name"
    )
    classification: Literal[1, 2] = Field(
        default=2, description="What csam means here: 1 baseline, 2 illegal by national law"
    )
    certificate: FilePath | None = Field(default=None, description="Client certificate, PEM")
    key: FilePath | None = Field(default=None, description="Its private key, PEM")
    key_password: SecretStr | None = Field(default=None, description="Of the private key")
    ca: FilePath | None = Field(default=None, description="Authority to trust besides the usual")
    proxy: str | None = Field(
        default=None,
        pattern=r"^(https?|socks5)://",
        description="With a certificate: the gateway's own proxy setting does not apply",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("give both certificate and key, or neither")
        if self.live and (self.base_url is None or self.certificate is None):
            raise ValueError("live needs base_url, certificate and key")
        host = self.base_url.host or "" if self.base_url else ""
        if not self.live and f".{host}".endswith(".iccam.net") and host != "api-demo.iccam.net":
            raise ValueError(f"without live the only address at iccam.net is {DEMO}")
        return self


# -- mapping -----------------------------------------------------------------------------------


def to_json(submission: Submission, *, analyst: str, classification: int) -> dict[str, Any]:
    """The report. Everything ICCAM learns is in here; codes are numbers, as ICCAM demands."""
    if submission.category != "csam":
        raise InvalidSubmission("ICCAM exchanges csam only", reason="category_not_accepted")
    if not submission.location.startswith(("https://", "http://")):
        raise InvalidSubmission("ICCAM takes URLs only", reason="not_a_url")
    memo = _memo(submission)
    received = submission.requested_at.astimezone(UTC)
    return {
        "reportingAnalystName": analyst,
        "hotlineReceivedDate": received.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "hotlineReference": submission.idempotency_key,
        "memo": memo,
        "sourceUrlReferrer": None,
        "sourceUrlUsername": "",
        "sourceUrlPassword": "",
        "sourceUrlSiteType": WEBSITE if submission.platform == "web" else SOCIAL_NETWORK,
        "sourceUrlCommerciality": NOT_DETERMINED,
        "sourceUrlPaymentMethods": [NOT_DETERMINED],
        "urls": [
            {
                "urlString": submission.location,
                "hotlineReference": f"{submission.idempotency_key}/1",
                "hostingCountryCode": None,
                "hostingIpAddress": None,
                "hostingIsp": None,
                "hostingOrganization": None,
                "isSourceUrl": True,
                "memo": memo,
                "contentType": MEDIA if submission.kind in _MEDIA_KINDS else PAGE,
                "assessment": {
                    "assessingAnalystName": analyst,
                    "classification": classification,
                    "ageCategorization": NOT_DETERMINED,
                    "genderCategorization": NOT_DETERMINED,
                    "virtualContentCategorization": 0,
                    "userGeneratedContentCategorization": 0,
                    "childModelingCategorization": 0,
                },
                "actions": [],
            }
        ],
    }


def _memo(submission: Submission) -> str:
    lines = (
        "TEST, please disregard." if submission.test else "",
        asked(submission),
        submission.ground.text or submission.ground.ref,
        submission.explanation,
    )
    return "\n".join(line for line in lines if line)


def number_of(body: Any) -> int | None:
    """ICCAM's report number: a JSON number, or digits in a string."""
    if isinstance(body, str) and body.isascii() and body.isdigit() and len(body) <= 20:
        body = int(body)
    return body if isinstance(body, int) and not isinstance(body, bool) and body > 0 else None


def content_of(body: Any) -> int | None:
    """The number of the item we reported, which is the report's first; None: not there yet."""
    contents = body.get("reportContents") if isinstance(body, dict) else None
    if not isinstance(contents, list):
        raise TransientError("a report without contents", reason="unreadable_answer")
    if not contents:
        return None
    number = number_of(contents[0].get("contentId")) if isinstance(contents[0], dict) else None
    if number is None:
        raise TransientError("a content without a number", reason="unreadable_answer")
    return number


def outcome_of(body: Any) -> tuple[Outcome, str | None]:
    """What hotlines did about an item, by the strongest action, and why where ICCAM says so."""
    actions = (body.get("actions") or []) if isinstance(body, dict) else None
    if not isinstance(actions, list):
        raise TransientError("a content without actions", reason="unreadable_answer")
    done = {a["actionType"]: a for a in actions if _has_type(a)}
    for action, outcome in ACTIONS.items():
        if action in done:
            why = number_of(done[action].get("reasonId"))
            return outcome, f"iccam_{why}" if why is not None else None
    return Outcome.PENDING, None


def _has_type(action: Any) -> bool:
    return isinstance(action, dict) and type(action.get("actionType")) is int


def errors_of(answer: Answer) -> dict[str, Any] | None:
    """ICCAM's own ``errors``: it understood and refuses; None where there is none."""
    body = answer.json()
    errors = body.get("errors") if isinstance(body, dict) else None
    return errors if isinstance(errors, dict) and errors else None


def _turned_away(answer: Answer) -> bool:
    """Who signs in is refused; a 400 is ICCAM's own only with its ``errors``."""
    return answer.status in (401, 403) or (answer.status == 400 and errors_of(answer) is not None)


# -- the connector -----------------------------------------------------------------------------


class IccamConnector(Connector[IccamConfig]):
    manifest: ClassVar[Manifest] = Manifest(
        name="iccam",
        title="ICCAM (INHOPE)",
        docs="docs/connectors/iccam.md",
        owner="Wasl maintainers",
        # The reference is unique, so a repeated key makes no second report; but the refusal does
        # not name the first one and nothing finds it: a person must, in ICCAM's own pages.
        idempotency=Idempotency.NONE,
        accepts=frozenset({"csam"}),
        # ICCAM asks for a second between calls and two after signing in; a status takes two calls.
        rate=RateLimit(per_second=0.3, burst=1),
        # A new report settles before it can be read.
        poll_seconds=(600, 3600, 21600),
    )
    Config: ClassVar[type[ConnectorConfig]] = IccamConfig

    def __init__(self, config: IccamConfig, rt: Runtime) -> None:
        self._base = str(config.base_url or DEMO).rstrip("/")
        self._config = config
        self._analyst = config.analyst or config.username
        self._rt = rt
        self._bearer = ""
        self._refresh = ""
        self._until = datetime.min.replace(tzinfo=UTC)
        self._signing_in = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(cls, config: IccamConfig, rt: Runtime) -> AsyncIterator[Self]:
        """With a certificate the connector has a client of its own: the gateway's shows none."""
        identity = _identity(config)
        if identity is None:
            yield cls(config, rt)
            return
        timeout = rt.http.timeout.read or 10.0
        async with client(timeout=timeout, proxy=config.proxy, cert=identity) as http:
            yield cls(config, replace(rt, http=http))

    async def check(self) -> None:
        expect(await self._call("GET", "Authentication/userinfo"), self._rt.clock.now())

    async def submit(self, submission: Submission) -> Receipt:
        if submission.test and self._config.live:
            raise InvalidSubmission("a test for production", reason="test_mode")
        level = self._config.classification
        body = to_json(submission, analyst=self._analyst, classification=level)
        answer = await self._call("POST", "rest/reports", body)
        self._refused(answer)
        number = number_of(expect(answer, self._rt.clock.now()).json())
        if number is None:
            raise AmbiguousOutcome("accepted without a number", reason="unreadable_answer")
        return Receipt(reference=str(number))

    async def status(self, reference: str) -> StatusUpdate:
        if number_of(reference) is None:
            raise SubmissionRefused("no report number", code="unknown_reference")
        answer = await self._call("GET", f"rest/Reports/{reference}")
        if answer.status == 404:
            raise SubmissionRefused("no such report", code="unknown_reference")
        content = content_of(expect(answer, self._rt.clock.now()).json())
        if content is None:
            return StatusUpdate(reference=reference, outcome=Outcome.PENDING)
        answer = await self._call("GET", f"rest/Content/{content}")
        outcome, reason = outcome_of(expect(answer, self._rt.clock.now()).json())
        return StatusUpdate(reference=reference, outcome=outcome, reason=reason)

    def _refused(self, answer: Answer) -> None:
        """Raises for what ICCAM says about the report itself, before its status is looked at."""
        errors = errors_of(answer) if answer.status in (400, 500) else None
        if errors is None:
            return
        if any("hotlinereference" in name.lower() for name in errors):
            # The reference is ours alone, so an earlier attempt made the report.
            raise AmbiguousOutcome("the reference is taken", reason="reference_taken")
        raise InvalidSubmission(f"HTTP {answer.status}", reason=f"http_{answer.status}")

    # -- signing in ----------------------------------------------------------------------------

    async def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """One request with a good token; once more with a new one where ICCAM refuses the token."""
        token = await self._token()
        answer = await self._send(method, path, body, token)
        if answer.status == 401:
            answer = await self._send(method, path, body, await self._token(refused=token))
        if answer.status == 401:
            # User and password were accepted a moment ago: it is the new session that is not ready.
            raise TransientError("the session is not ready", retry_after=2, reason="session")
        return answer

    async def _token(self, refused: str = "") -> str:
        """A token other than the refused one. Many callers, one signing in."""
        async with self._signing_in:
            if self._bearer == refused or self._rt.clock.now() >= self._until:
                try:
                    await self._sign_in()
                except (AmbiguousOutcome, SubmissionRefused, InvalidSubmission) as error:
                    # Nothing about a report was sent.
                    raise TransientError("signing in failed", reason=error.reason) from None
            return self._bearer

    async def _sign_in(self) -> None:
        answer: Answer | None = None
        if self._refresh:
            pair = {"bearerToken": self._bearer, "refreshToken": self._refresh}
            self._bearer = self._refresh = ""
            answer = await self._send("POST", "Authentication/refresh", pair)
        if answer is None or _turned_away(answer):
            user = {
                "username": self._config.username,
                "password": self._config.password.get_secret_value(),
            }
            answer = await self._send("POST", "Authentication", user)
        if _turned_away(answer):
            raise CredentialsRejected(f"HTTP {answer.status}")
        now = self._rt.clock.now()
        body = expect(answer, now).json()
        bearer = body.get("bearerToken") if isinstance(body, dict) else None
        if not (isinstance(bearer, str) and bearer.isascii() and bearer.isprintable() and bearer):
            raise TransientError("signed in without a token", reason="unreadable_answer")
        refresh = body.get("refreshToken")
        seconds = number_of(body.get("bearerTokenExpiresIn")) or 1800
        self._bearer = bearer
        self._refresh = refresh if isinstance(refresh, str) else ""
        self._until = now + timedelta(seconds=min(seconds, 86_400)) - MARGIN

    async def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None, token: str = ""
    ) -> Answer:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        if body is not None:
            headers["content-type"] = "application/json"
        return await exchange(
            self._rt.http,
            method,
            f"{self._base}/{path}",
            headers=headers,
            content=None if body is None else json_bytes(body),
        )


def _identity(config: IccamConfig) -> ssl.SSLContext | None:
    """Who we are and whom we trust; None without a certificate. Raises ssl.SSLError, OSError."""
    if config.certificate is None or config.key is None:
        return None
    context = httpx.create_ssl_context(trust_env=False)
    if config.ca is not None:
        context.load_verify_locations(config.ca)
    password = config.key_password
    context.load_cert_chain(
        config.certificate, config.key, password.get_secret_value() if password else None
    )
    return context
