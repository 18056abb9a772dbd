# SPDX-License-Identifier: Apache-2.0
"""Reports addresses behind Cloudflare through its Abuse Reports API, and reads what became of them.

The API has no idempotency key. Ours ends the ``company`` field, which the list of submitted reports
shows, and the free text; so a report whose answer was lost is found again. Cloudflare rarely hosts:
what it accepts it forwards to the host, and an active mitigation of its own is told by its type.
Source: developers.cloudflare.com/api/resources/abuse_reports (create; submitted: list, get;
mitigations: list) and the error messages of cloudflare/api-schemas (abuse-reports_ErrorCode).
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal, Self
from urllib.parse import quote, urlsplit

from pydantic import AnyHttpUrl, Field, SecretStr, ValidationError
from wasl_connector_sdk import (
    AmbiguousOutcome,
    Connector,
    ConnectorConfig,
    ConnectorError,
    CredentialsRejected,
    Idempotency,
    Manifest,
    Measure,
    Outcome,
    PersonNeeded,
    RateLimit,
    Receipt,
    Runtime,
    StatusUpdate,
    Submission,
    SubmissionRefused,
    TransientError,
)
from wasl_connector_sdk.asking import asked
from wasl_connector_sdk.errors import word
from wasl_connector_sdk.http import Answer, exchange, fault, json_bytes
from wasl_connector_sdk.urls import PartnerUrl

MAX_JUSTIFICATION, MAX_COMMENTS, MAX_COMPANY = 5000, 2000, 100
PER_PAGE, MAX_PAGES, MAX_DETAILS = 200, 20, 50
_TYPES = {
    "phishing_malware": "abuse_phishing",
    "csam": "abuse_children",
    "intimate_image_abuse": "abuse_ncsei",
}
#: Less than removal: what these reports set going by machine would be more than was decided.
_MILDER = frozenset({Measure.LABEL, Measure.AGE_RESTRICT, Measure.GEO_RESTRICT})
#: Codes of Cloudflare's front door for a token it cannot read, sent with 400.
_BAD_TOKEN = frozenset({6003, 6111, 9106, 9109, 10000, 10001})
_GONE = frozenset({"content_removed", "content_unavailable"})
#: What Cloudflare does itself, strongest first. None of it takes the content off its host.
_MITIGATIONS = {
    "account_suspend": Outcome.ACCOUNT_ACTION,
    "legal_block": Outcome.GEO_RESTRICTED,
    "phishing_interstitial": Outcome.LABELLED,
    "misleading_interstitial": Outcome.LABELLED,
}


class CloudflareConfig(ConnectorConfig):
    account_id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,32}$", description="The hub's own account")
    token: SecretStr = Field(
        min_length=1, description="API token with the permission Trust and Safety Write"
    )
    name: str = Field(min_length=1, max_length=255, description="Who reports: the hub")
    email: str = Field(
        pattern=r"^[^@\s]+@[^@\s]+$", description="The hub's mailbox; Cloudflare writes to it"
    )
    company: str = Field(
        default="Wasl",
        min_length=1,
        max_length=60,
        description="Who reports, as Cloudflare shows it",
    )
    host_notification: Literal["send", "send-anon"] = Field(
        default="send-anon", description="Whether the host learns the hub's name"
    )
    owner_notification: Literal["send", "send-anon"] = Field(
        default="send-anon", description="Whether the site's owner learns who reports"
    )
    ncmec_notification: Literal["send", "send-anon"] = Field(
        default="send", description="Whether NCMEC learns who reports"
    )
    lookup_days: int = Field(default=4, ge=1, le=30, description="How far back a lookup reads")
    base_url: PartnerUrl = Field(
        default=AnyHttpUrl("https://api.cloudflare.com/client/v4"), description="The API"
    )


def report_type(category: str) -> str:
    return _TYPES.get(category, "abuse_general")


def _mark(key: str) -> str:
    return f"ref:{key}"


def _text(submission: Submission, limit: int) -> str:
    head = "[TEST] " if submission.test else ""
    tail = f"\n\n{_mark(submission.idempotency_key)}"
    rule = submission.ground.text or submission.ground.ref
    text = "\n\n".join(part for part in (asked(submission), submission.explanation, rule) if part)
    return head + text[: limit - len(head) - len(tail)] + tail


def to_json(submission: Submission, config: CloudflareConfig) -> dict[str, Any]:
    """The request body. Everything Cloudflare learns is in here, and nothing but the hub's name."""
    act = report_type(submission.category)
    mark = f" {_mark(submission.idempotency_key)}"
    body: dict[str, Any] = {
        "act": act,
        "name": config.name,
        "email": config.email,
        "email2": config.email,
        "company": config.company[: MAX_COMPANY - len(mark)] + mark,
        "urls": submission.location,
        "host_notification": config.host_notification,
        "owner_notification": config.owner_notification,
    }
    if act == "abuse_ncsei":
        # Who reports is the hub, never the person in the image.
        body |= {
            "ncsei_subject_representation": False,
            "owner_notification": "none",
            "comments": _text(submission, MAX_COMMENTS),
        }
    else:
        body["justification"] = _text(submission, MAX_JUSTIFICATION)
    if act == "abuse_children":
        # Telling the owner would warn them.
        body |= {"owner_notification": "none", "ncmec_notification": config.ncmec_notification}
    return body


def reportable(location: str) -> bool:
    """An address with a host; Cloudflare takes nothing else, and a line break would be a second."""
    try:
        parts = urlsplit(location)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and location.isprintable()
    except ValueError:
        return False


def problem(answer: Answer, now: datetime) -> ConnectorError | None:
    """What an answer means; None for 2xx. Read from the messages: the codes are not published."""
    body = answer.json()
    body = body if isinstance(body, dict) else {}
    if answer.status == 400 and _codes(body) & _BAD_TOKEN:
        return CredentialsRejected("HTTP 400")
    said = str(body.get("msg", "")).lower()
    if not answer.ok and "already submitted this url" in said:
        return SubmissionRefused("reported in the last 7 days", code="already_reported")
    if not answer.ok and "not active on cloudflare" in said:
        return SubmissionRefused("not behind Cloudflare", code="not_on_cloudflare")
    if answer.status >= 500 and "confirmation email" in said:
        return AmbiguousOutcome("the report may be stored", reason="no_confirmation")
    return fault(answer, now)


def _codes(body: dict[str, Any]) -> set[Any]:
    errors = body.get("errors")
    listed = errors if isinstance(errors, list) else []
    return {error.get("code") for error in listed if isinstance(error, dict)}


def outcome_of(report: dict[str, Any]) -> tuple[Outcome, str | None]:
    """What the account that submitted a report is shown of it."""
    reason = word(str(report.get("denial_reason") or ""), "denied")
    match report.get("status"):
        case "submitted":
            return Outcome.PENDING, None
        case "accepted":
            return Outcome.ACKNOWLEDGED, "accepted"
        case "denied" if reason in _GONE:
            return Outcome.ALREADY_GONE, reason
        case "denied":
            return Outcome.REFUSED, reason
    raise ValueError("a status that is not documented")


def mitigated(types: Iterable[str]) -> tuple[Outcome, str | None]:
    """What Cloudflare's active mitigations amount to."""
    active = set(types)
    for name, outcome in _MITIGATIONS.items():
        if name in active:
            return outcome, name
    other = sorted(active)
    return Outcome.ACKNOWLEDGED, word(other[0], "mitigated") if other else "accepted"


class CloudflareConnector(Connector[CloudflareConfig]):
    manifest: ClassVar[Manifest] = Manifest(
        name="cloudflare",
        title="Cloudflare",
        docs="docs/connectors/cloudflare.md",
        measures=frozenset(Measure),
        owner="Wasl maintainers",
        production=frozenset({"api.cloudflare.com"}),
        idempotency=Idempotency.LOOKUP,
        # Cloudflare allows 1200 calls in 5 minutes for everything an account does.
        rate=RateLimit(per_second=1, burst=10),
        poll_seconds=(600, 3600, 21_600, 86_400),
    )
    Config: ClassVar[type[ConnectorConfig]] = CloudflareConfig

    def __init__(self, config: CloudflareConfig, rt: Runtime) -> None:
        self._config = config
        account = f"/accounts/{config.account_id}/abuse-reports"
        self._url = str(config.base_url).rstrip("/") + account
        self._headers = {"authorization": f"Bearer {config.token.get_secret_value()}"}
        self._rt = rt

    @classmethod
    @asynccontextmanager
    async def open(cls, config: CloudflareConfig, rt: Runtime) -> AsyncIterator[Self]:
        yield cls(config, rt)

    async def check(self) -> None:
        """Reads one line of the list: proves token, permission and account."""
        await self._reports({"per_page": "1", "page": "1"})

    async def submit(self, submission: Submission) -> Receipt:
        if not reportable(submission.location):
            raise SubmissionRefused("no web address", code="item_not_supported")
        if submission.measure in _MILDER and submission.category in _TYPES:
            raise PersonNeeded
        answer = await exchange(
            self._rt.http,
            "POST",
            f"{self._url}/{report_type(submission.category)}",
            headers={**self._headers, "content-type": "application/json"},
            content=json_bytes(to_json(submission, self._config)),
        )
        body = self._expect(answer).json()
        # Flat as documented; inside `result` where the answer has the usual envelope.
        for part in (body, body.get("result") if isinstance(body, dict) else None):
            if isinstance(part, dict) and isinstance(part.get("abuse_rand"), str):
                try:
                    return Receipt(reference=part["abuse_rand"])
                except ValidationError:
                    break
        raise AmbiguousOutcome("accepted without an identifier", reason="unreadable_answer")

    async def find(self, idempotency_key: str) -> Receipt | None:
        """Reads the submitted reports of the last ``lookup_days``, newest first."""
        since = self._rt.clock.now() - timedelta(days=self._config.lookup_days)
        mark, details = _mark(idempotency_key), 0
        for page in range(1, MAX_PAGES + 1):
            reports = await self._reports(
                {
                    "created_after": since.isoformat(),
                    "sort": "cdate,desc",
                    "per_page": str(PER_PAGE),
                    "page": str(page),
                }
            )
            if not reports:  # not a short page: a smaller page size would end the search too early
                return None
            for report in reports:
                shown = [(report.get("submitter") or {}).get("company")]
                if shown == [None]:  # not shown in the list: only the report itself tells
                    details += 1
                    if details > MAX_DETAILS:
                        raise TransientError("too many reports to look through", reason="lookup")
                    whole = await self._report(str(report.get("id")))
                    shown = [whole.get("comments"), whole.get("justification")]
                if any(isinstance(text, str) and text.endswith(mark) for text in shown):
                    return _receipt(report)
        raise TransientError("too many reports to look through", reason="lookup")

    async def status(self, reference: str) -> StatusUpdate:
        outcome, reason = _outcome(await self._report(reference))
        if outcome is Outcome.ACKNOWLEDGED:
            outcome, reason = mitigated(await self._active_mitigations(reference))
        return StatusUpdate(reference=reference, outcome=outcome, reason=reason)

    async def _report(self, reference: str) -> dict[str, Any]:
        answer = await self._get(f"/submitted/{quote(reference, safe='')}")
        body = answer.json()
        if answer.status == 404 and isinstance(body, dict) and body.get("success") is False:
            raise SubmissionRefused("Cloudflare has no such report", code="unknown_reference")
        report = _result(self._expect(answer))
        if not isinstance(report, dict):
            raise TransientError("an unreadable report", reason="unreadable_answer")
        return report

    async def _active_mitigations(self, reference: str) -> list[str]:
        """Types of what is in force; none where the account may not see them."""
        path = f"/{quote(reference, safe='')}/mitigations"
        answer = await self._get(path, {"status": "active"})
        if answer.status in (403, 404):
            return []
        result = _result(self._expect(answer))
        try:
            return [m["type"] for m in result["mitigations"] if m["status"] == "active"]
        except (TypeError, KeyError):
            raise TransientError("unreadable mitigations", reason="unreadable_answer") from None

    async def _reports(self, params: dict[str, str]) -> list[dict[str, Any]]:
        result = _result(self._expect(await self._get("/submitted", params)))
        reports = result.get("reports") if isinstance(result, dict) else None
        if not isinstance(reports, list) or not all(isinstance(r, dict) for r in reports):
            raise TransientError("an unreadable list", reason="unreadable_answer")
        return reports

    async def _get(self, path: str, params: dict[str, str] | None = None) -> Answer:
        return await exchange(
            self._rt.http, "GET", self._url + path, headers=self._headers, params=params
        )

    def _expect(self, answer: Answer) -> Answer:
        error = problem(answer, self._rt.clock.now())
        if error is not None:
            raise error
        return answer


def _result(answer: Answer) -> Any:
    """``result`` of Cloudflare's envelope; a 2xx that says ``success: false`` is not one."""
    body = answer.json()
    if not isinstance(body, dict) or body.get("success") is not True:
        raise TransientError("an answer without success", reason="unreadable_answer")
    return body.get("result")


def _outcome(report: dict[str, Any]) -> tuple[Outcome, str | None]:
    try:
        return outcome_of(report)
    except ValueError:
        raise TransientError("a status we do not know", reason="unreadable_answer") from None


def _receipt(report: dict[str, Any]) -> Receipt:
    outcome, reason = _outcome(report)
    try:
        return Receipt(reference=report["id"], outcome=outcome, reason=reason)
    except (KeyError, ValidationError):
        raise TransientError("an unreadable report", reason="unreadable_answer") from None
