# SPDX-License-Identifier: Apache-2.0
"""Reports a video to YouTube (YouTube Data API v3, ``videos.reportAbuse``).

YouTube answers 204 and keeps no report that could be read back: the reference is ours, nothing is
ever sent twice without a person, and what became of a video is seen in ``videos.list`` only. A
report costs 50 of a project's 10 000 daily units, hence the rate in the manifest. Reasons are
YouTube's own, named in the config and checked against its list before anything is sent.
Source: developers.google.com/youtube/v3/docs (videos, videoAbuseReportReasons, errors) and
developers.google.com/identity/protocols/oauth2/web-server#offline.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, ClassVar, Self
from urllib.parse import parse_qs, urlencode, urlsplit

from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, SecretStr
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
    Outcome,
    RateLimit,
    RateLimited,
    Receipt,
    Runtime,
    StatusUpdate,
    Submission,
    SubmissionRefused,
    TransientError,
)
from wasl_connector_sdk.asking import asked
from wasl_connector_sdk.errors import word
from wasl_connector_sdk.http import Answer, exchange, fault, json_bytes, retry_after
from wasl_connector_sdk.urls import PartnerUrl

#: YouTube publishes no limit for ``comments``; this one is ours.
MAX_COMMENTS = 2000
REASONS_FRESH = timedelta(days=1)
_HOSTS = frozenset({"youtube.com", "m.youtube.com", "music.youtube.com", "youtube-nocookie.com"})
_PATHS = frozenset({"shorts", "live", "embed", "v"})
_VIDEO = re.compile(r"[A-Za-z0-9_-]{11}")
_REFERENCE = re.compile(r"youtube:([A-Za-z0-9_-]{11}):[ -~]+")
_QUOTA = frozenset({"quotaExceeded", "dailyLimitExceeded"})
_SLOW = frozenset({"rateLimitExceeded", "userRateLimitExceeded"})
#: RFC 6749 §5.2, sent with 400.
_REFUSED = frozenset({"invalid_grant", "invalid_client", "unauthorized_client", "invalid_scope"})
_LANGUAGES = frozenset({"ar", "fr", "en", "es"})


class AbuseReason(BaseModel):
    """One of YouTube's reasons, and one of its secondary reasons where it has some."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1, description="A reasonId that YouTube lists")
    secondary: str | None = Field(default=None, description="A secondaryReasonId below it")


class YouTubeConfig(ConnectorConfig):
    client_id: str = Field(min_length=1, description="OAuth client of the Google Cloud project")
    client_secret: SecretStr = Field(min_length=1, description="Of the OAuth client")
    refresh_token: SecretStr = Field(
        min_length=1, description="Of the hub's account, scope youtube.force-ssl"
    )
    reasons: dict[str, AbuseReason] = Field(
        min_length=1, description="By category; 'default' for the others"
    )
    base_url: PartnerUrl = Field(
        default=AnyHttpUrl("https://www.googleapis.com/youtube/v3"), description="The Data API"
    )
    token_url: PartnerUrl = Field(
        default=AnyHttpUrl("https://oauth2.googleapis.com/token"), description="Renews the token"
    )


def video_id(location: str) -> str | None:
    """The video an address shows, in every form YouTube writes; None where it shows none."""
    try:
        parts = urlsplit(location)
        host = (parts.hostname or "").removeprefix("www.")
    except ValueError:
        return None
    if parts.scheme not in ("http", "https"):
        return None
    path = [part for part in parts.path.split("/") if part]
    found = ""
    if host == "youtu.be" and path:
        found = path[0]
    elif host in _HOSTS and path == ["watch"]:
        found = parse_qs(parts.query).get("v", [""])[0]
    elif host in _HOSTS and len(path) >= 2 and path[0] in _PATHS:
        found = path[1]
    return found if _VIDEO.fullmatch(found) else None


def language_of(submission: Submission) -> str:
    """The language for YouTube's labels: the request's where YouTube has it, else English."""
    return submission.language if submission.language in _LANGUAGES else "en"


def comments(submission: Submission) -> str:
    """What YouTube's reviewer reads: the statement, the rule and our key, cut to the limit."""
    head = "[TEST] " if submission.test else ""
    tail = f"\n\nRef: {submission.idempotency_key}"
    rule = submission.ground.text or submission.ground.ref
    text = "\n\n".join(part for part in (asked(submission), submission.explanation, rule) if part)
    return head + text[: MAX_COMMENTS - len(head) - len(tail)] + tail


def to_json(submission: Submission, video: str, reason: AbuseReason) -> dict[str, Any]:
    """The request body. Everything YouTube learns is in here."""
    body = {
        "videoId": video,
        "reasonId": reason.id,
        "comments": comments(submission),
        "language": language_of(submission),
    }
    return body if reason.secondary is None else {**body, "secondaryReasonId": reason.secondary}


def reference_of(video: str, key: str) -> str:
    """Ours, because YouTube gives none: the video to look at, and the key."""
    return f"youtube:{video}:{key}"


def reason_in(answer: Answer) -> str:
    """Google's first ``reason``, or ''."""
    body = answer.json()
    try:
        reason = body["error"]["errors"][0]["reason"]
    except (TypeError, KeyError, IndexError):
        return ""
    return reason if isinstance(reason, str) else ""


def problem(answer: Answer, now: datetime) -> ConnectorError | None:
    """What an answer means; None for 2xx. Google sends limits as 400 and 403, not as 429."""
    reason = reason_in(answer)
    if answer.status in (400, 403) and reason in _QUOTA | _SLOW:
        # Units come back at midnight Pacific time; asking once an hour costs nothing until then.
        wait = retry_after(answer.headers.get("retry-after"), now)
        return RateLimited(reason, retry_after=wait or (3600.0 if reason in _QUOTA else 60.0))
    if answer.status == 400 and reason:
        return InvalidSubmission("HTTP 400", reason=word(reason, "http_400"))
    return fault(answer, now)


def outcome_of(item: dict[str, Any], country: str) -> tuple[Outcome, str | None]:
    """What ``videos.list`` shows of a video that is still listed."""
    status = item.get("status") or {}
    details = item.get("contentDetails") or {}
    if status.get("uploadStatus") in ("rejected", "deleted"):
        return Outcome.REMOVED, word(str(status.get("rejectionReason") or ""), "rejected")
    region = details.get("regionRestriction") or {}
    shut = country in region.get("blocked", ()) or country not in region.get("allowed", (country,))
    if country and shut:
        return Outcome.GEO_RESTRICTED, "region_restriction"
    if (details.get("contentRating") or {}).get("ytRating") == "ytAgeRestricted":
        return Outcome.AGE_RESTRICTED, "yt_age_restricted"
    return Outcome.PENDING, None


class YouTubeConnector(Connector[YouTubeConfig]):
    manifest: ClassVar[Manifest] = Manifest(
        name="youtube",
        title="YouTube",
        docs="docs/connectors/youtube.md",
        measures=frozenset(Measure),
        owner="Wasl maintainers",
        production=frozenset({"googleapis.com", "youtube.com"}),
        idempotency=Idempotency.NONE,
        # 180 a day and 15 at once: at most 195 × 50 units in any 24 hours, the rest for lists.
        rate=RateLimit(per_second=180 / 86_400, burst=15),
        # A status request takes a place of the same rate, so they are few.
        poll_seconds=(21_600, 86_400),
    )
    Config: ClassVar[type[ConnectorConfig]] = YouTubeConfig

    def __init__(self, config: YouTubeConfig, rt: Runtime) -> None:
        self._config = config
        self._url = str(config.base_url).rstrip("/")
        self._rt = rt
        self._signing_in = asyncio.Lock()
        self._token: tuple[str, datetime] | None = None
        self._reasons: dict[str, tuple[datetime, dict[str, frozenset[str]]]] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, config: YouTubeConfig, rt: Runtime) -> AsyncIterator[Self]:
        yield cls(config, rt)

    async def check(self) -> None:
        """Signs in and reads the list of reasons: 1 unit."""
        await self._known_reasons("en")

    async def submit(self, submission: Submission) -> Receipt:
        video = video_id(submission.location)
        if video is None:
            raise SubmissionRefused("no YouTube video", code="item_not_supported")
        reason = self._config.reasons.get(submission.category, self._config.reasons.get("default"))
        if reason is None:
            raise InvalidSubmission("the category has no YouTube reason", reason="no_reason")
        known = await self._known_reasons(language_of(submission))
        if reason.id not in known or (
            reason.secondary is not None and reason.secondary not in known[reason.id]
        ):
            raise InvalidSubmission("YouTube has no such reason (any more)", reason="no_reason")
        reference = reference_of(video, submission.idempotency_key)
        content = json_bytes(to_json(submission, video, reason))
        answer = await self._call("POST", "/videos/reportAbuse", content=content)
        if answer.status == 404 and reason_in(answer):
            return Receipt(
                reference=reference, outcome=Outcome.ALREADY_GONE, reason="video_not_found"
            )
        if self._expect(answer).status != 204:
            raise AmbiguousOutcome("2xx, but not the documented 204", reason="unreadable_answer")
        return Receipt(reference=reference)

    async def status(self, reference: str) -> StatusUpdate:
        """1 unit. A video that is not listed is gone for the public: deleted, or made private."""
        match = _REFERENCE.fullmatch(reference)
        if match is None:
            raise SubmissionRefused("not a reference of ours", code="unknown_reference")
        params = {"part": "status,contentDetails", "id": match[1]}
        body = self._expect(await self._call("GET", "/videos", params=params)).json()
        items = body.get("items") if isinstance(body, dict) else None
        if not isinstance(items, list):
            raise TransientError("an unreadable list of videos", reason="unreadable_answer")
        if not items:
            return StatusUpdate(reference=reference, outcome=Outcome.REMOVED, reason="not_listed")
        try:
            outcome, reason = outcome_of(items[0], self._rt.hub.country)
        except (AttributeError, TypeError):
            raise TransientError("an unreadable video", reason="unreadable_answer") from None
        return StatusUpdate(reference=reference, outcome=outcome, reason=reason)

    async def _known_reasons(self, language: str) -> dict[str, frozenset[str]]:
        """Reason → its secondary reasons, at most a day old."""
        now = self._rt.clock.now()
        until, reasons = self._reasons.get(language, (now, {}))
        if now < until:
            return reasons
        params = {"part": "id,snippet", "hl": language}
        answer = self._expect(await self._call("GET", "/videoAbuseReportReasons", params=params))
        try:
            reasons = {
                item["id"]: frozenset(
                    second["id"] for second in item["snippet"].get("secondaryReasons", ())
                )
                for item in answer.json()["items"]
            }
        except (TypeError, KeyError, AttributeError):
            raise TransientError("an unreadable list of reasons", reason="no_reasons") from None
        self._reasons[language] = (now + REASONS_FRESH, reasons)
        return reasons

    async def _call(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str] | None = None,
        content: bytes | None = None,
    ) -> Answer:
        """One call; a second one with a new token where a kept one was turned away unread (401)."""
        headers = {} if content is None else {"content-type": "application/json"}
        for renewed in (False, True):
            token, fresh = await self._access_token()
            answer = await exchange(
                self._rt.http,
                method,
                self._url + path,
                headers={**headers, "authorization": f"Bearer {token}"},
                params=params,
                content=content,
            )
            if answer.status != 401 or fresh or renewed:
                break
            if self._token is not None and self._token[0] == token:
                self._token = None
        return answer

    async def _access_token(self) -> tuple[str, bool]:
        """A token, and whether it was got just now."""
        async with self._signing_in:
            now = self._rt.clock.now()
            if self._token is not None and now < self._token[1]:
                return self._token[0], False
            form = {
                "grant_type": "refresh_token",
                "client_id": self._config.client_id,
                "client_secret": self._config.client_secret.get_secret_value(),
                "refresh_token": self._config.refresh_token.get_secret_value(),
            }
            try:
                answer = await exchange(
                    self._rt.http,
                    "POST",
                    str(self._config.token_url),
                    headers={"content-type": "application/x-www-form-urlencoded"},
                    content=urlencode(form).encode(),
                )
            except AmbiguousOutcome as error:  # no report is in doubt, only a sign-in
                raise TransientError("no answer to the sign-in", reason=error.reason) from None
            refusal = answer.json()
            if isinstance(refusal, dict) and refusal.get("error") in _REFUSED:
                raise CredentialsRejected("the sign-in was refused")
            body = self._expect(answer).json()
            try:
                token, seconds = str(body["access_token"]), float(body["expires_in"])
            except (TypeError, KeyError, ValueError):
                raise TransientError("an unreadable sign-in", reason="unreadable_answer") from None
            # A minute less, so that no token expires on its way.
            self._token = (token, now + timedelta(seconds=seconds - 60))
            return token, True

    def _expect(self, answer: Answer) -> Answer:
        error = problem(answer, self._rt.clock.now())
        if error is not None:
            raise error
        return answer
