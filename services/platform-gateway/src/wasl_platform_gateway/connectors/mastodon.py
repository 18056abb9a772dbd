# SPDX-License-Identifier: Apache-2.0
"""Reports accounts and posts to the moderators of Mastodon and GoToSocial instances.

The item is looked up on an instance first and must be the very one that is meant: a search may
answer with something like it. Mastodon shows a reporter nothing of a report, so nothing is ever
sent twice without a person; GoToSocial shows reporters their own, so there the key in the comment
is found again and the moderators' answer is read. Hence two connectors.
Source: docs.joinmastodon.org/methods/{reports,search}, /api/rate-limits; GoToSocial's
docs.gotosocial.org/en/latest/api/swagger (reports, search).
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Self
from urllib.parse import quote, urlencode, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
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
from wasl_connector_sdk.http import MAX_RETRY_AFTER, Answer, exchange, fault
from wasl_connector_sdk.urls import PartnerUrl

MAX_COMMENT = 1000
PER_PAGE, MAX_PAGES = 100, 20
DEFAULT = "default"


class Instance(BaseModel):
    """One server and the hub's account on it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    base_url: PartnerUrl = Field(description="Address of the instance")
    token: SecretStr = Field(min_length=1, description="Scopes write:reports and read:search")
    sandbox: bool = Field(default=False, description="Its moderators expect our test reports")


class MastodonConfig(ConnectorConfig):
    instances: dict[str, Instance] = Field(
        default_factory=dict, description="By host of the item's address"
    )
    default: Instance | None = Field(
        default=None, description="For every other host; knows the item by federation"
    )
    forward: bool = Field(
        default=True, description="Whether 'default' passes a copy on to the item's own server"
    )

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if not self.instances and self.default is None:
            raise ValueError("name at least one instance: 'instances' by host, or 'default'")
        if DEFAULT in self.instances or any(h != h.lower() or ":" in h for h in self.instances):
            raise ValueError("'instances' goes by lower-case host names, without a port")
        return self


class GoToSocialConfig(MastodonConfig):
    lookup_days: int = Field(default=4, ge=1, le=30, description="How far back a lookup reads")


def host_of(location: str) -> str | None:
    """The host of a web address or of a handle ``@name@host``; None for anything else."""
    if location.startswith(("http://", "https://")):
        try:
            return urlsplit(location).hostname
        except ValueError:
            return None
    name, _, host = location.removeprefix("@").partition("@")
    return host.lower() if name and "." in host and location.isprintable() else None


def comment(submission: Submission) -> str:
    """What moderators read: the statement, the rule and our key, cut to the limit."""
    head = "[TEST] " if submission.test else ""
    tail = f"\n\n{_mark(submission.idempotency_key)}"
    rule = submission.ground.text or submission.ground.ref
    text = "\n\n".join(part for part in (asked(submission), submission.explanation, rule) if part)
    return head + text[: MAX_COMMENT - len(head) - len(tail)] + tail


def _mark(key: str) -> str:
    return f"ref:{key}"


def target(found: Any, location: str, *, own: bool = False) -> tuple[str, list[str]] | None:
    """Account and posts to report: what of a search's answer is the item itself, else None.

    ``own``: the address is on the server that was asked, so its ids are that server's.
    """
    if not isinstance(found, dict):
        return None
    for status in _dicts(found.get("statuses")):
        account = status.get("account")
        if _is(status, location, own=own) and isinstance(account, dict) and account.get("id"):
            return str(account["id"]), [str(status["id"])]
    for account in _dicts(found.get("accounts")):
        if _is(account, location, own=own) or _full_handle(account) == _handle_in(location):
            return str(account["id"]), []
    return None


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    return (
        (x for x in value if isinstance(x, dict) and x.get("id"))
        if isinstance(value, list)
        else iter(())
    )


def _is(entry: dict[str, Any], location: str, *, own: bool) -> bool:
    """Whether an entry goes by this address: its own, or a server's view ``/@name@host/id``."""
    address = location.partition("?")[0].partition("#")[0].rstrip("/")
    if address in {str(entry.get(field) or "").rstrip("/") for field in ("url", "uri")}:
        return True
    parts = address.split("/")
    return own and len(parts) == 5 and parts[3].count("@") == 2 and parts[4] == str(entry["id"])


def _full_handle(account: dict[str, Any]) -> str:
    acct = str(account.get("acct") or "").lower()
    return acct if "@" in acct else f"{acct}@{host_of(str(account.get('url') or ''))}"


def _handle_in(location: str) -> str:
    """``name@host`` of a handle, or of a server's view of another server's account."""
    last = location.rstrip("/").rsplit("/", 1)[-1]
    return last.removeprefix("@").lower() if last.count("@") == 2 or "/" not in location else ""


def problem(answer: Answer, now: datetime) -> ConnectorError | None:
    """What an answer means. Mastodon tells the end of a limit as a time of its own header."""
    error = fault(answer, now)
    reset = answer.headers.get("x-ratelimit-reset", "")
    if isinstance(error, RateLimited) and error.retry_after is None and reset:
        try:
            when = datetime.fromisoformat(reset)
        except ValueError:
            return error
        wait = ((when if when.tzinfo else when.replace(tzinfo=UTC)) - now).total_seconds()
        return RateLimited("HTTP 429", retry_after=min(max(wait, 0.0), MAX_RETRY_AFTER))
    return error


class MastodonConnector(Connector[MastodonConfig]):
    manifest: ClassVar[Manifest] = Manifest(
        name="mastodon",
        title="Mastodon",
        docs="docs/connectors/mastodon.md",
        measures=frozenset(Measure),
        owner="Wasl maintainers",
        production=frozenset({"mastodon.social", "mastodon.online"}),
        idempotency=Idempotency.NONE,
        # 300 requests in 5 minutes for an account; a report takes two.
        rate=RateLimit(per_second=0.4, burst=10),
    )
    Config: ClassVar[type[ConnectorConfig]] = MastodonConfig
    _legal: ClassVar[str] = "legal"

    def __init__(self, config: MastodonConfig, rt: Runtime) -> None:
        self._config = config
        self._rt = rt

    @classmethod
    @asynccontextmanager
    async def open(cls, config: MastodonConfig, rt: Runtime) -> AsyncIterator[Self]:
        yield cls(config, rt)

    async def check(self) -> None:
        """Proves each token: whose it is, without a change."""
        for instance in self._all().values():
            self._expect(await self._get(instance, "/api/v1/accounts/verify_credentials"))

    async def submit(self, submission: Submission) -> Receipt:
        host = host_of(submission.location)
        if host is None:
            raise SubmissionRefused("neither address nor handle", code="item_not_supported")
        name = host if host in self._config.instances else DEFAULT
        instance = self._all().get(name)
        if instance is None:
            raise InvalidSubmission("no instance for the host", reason="no_instance")
        if submission.test and not instance.sandbox:
            # Any host may be somebody's instance: only the config knows which one is ours.
            raise InvalidSubmission("a test, and the instance is no sandbox", reason="test_mode")
        account, statuses = await self._target(name, instance, submission.location)
        form = self._form(submission, account, statuses, forward=name == DEFAULT)
        answer = await exchange(
            self._rt.http,
            "POST",
            _url(instance, "/api/v1/reports"),
            headers={**_auth(instance), "content-type": "application/x-www-form-urlencoded"},
            content=urlencode(form).encode(),
        )
        if answer.status == 404 and isinstance(answer.json(), dict):
            raise SubmissionRefused("gone since it was looked up", code="item_not_found")
        body = self._expect(answer).json()
        try:
            return Receipt(reference=f"{name}:{_id(body)}")
        except (TypeError, KeyError, ValidationError):
            raise AmbiguousOutcome(
                "accepted without a readable report", reason="unreadable_answer"
            ) from None

    async def _target(self, name: str, instance: Instance, location: str) -> tuple[str, list[str]]:
        params = {"q": location, "resolve": "true", "limit": "5"}
        answer = self._expect(await self._get(instance, "/api/v2/search", params))
        found = target(answer.json(), location, own=name != DEFAULT)
        if found is not None:
            return found
        if name == DEFAULT:  # the other server may be down just now
            raise TransientError("not known by federation", reason="item_not_resolved")
        raise SubmissionRefused("its own server does not show it", code="item_not_found")

    def _form(
        self, submission: Submission, account: str, statuses: list[str], *, forward: bool
    ) -> list[tuple[str, str]]:
        """The request body. Everything the moderators learn is in here."""
        return [
            ("account_id", account),
            *(("status_ids[]", status) for status in statuses),
            ("comment", comment(submission)),
            ("category", self._legal if submission.ground.kind == "law" else "other"),
            ("forward", "true" if forward and self._config.forward else "false"),
        ]

    def _all(self) -> dict[str, Instance]:
        default = self._config.default
        own = {} if default is None else {DEFAULT: default}
        return {**self._config.instances, **own}

    async def _get(
        self, instance: Instance, path: str, params: dict[str, str] | None = None
    ) -> Answer:
        return await exchange(
            self._rt.http, "GET", _url(instance, path), headers=_auth(instance), params=params
        )

    def _expect(self, answer: Answer) -> Answer:
        error = problem(answer, self._rt.clock.now())
        if error is not None:
            raise error
        return answer


class GoToSocialConnector(MastodonConnector):
    """The same door with a window: reporters read their own reports."""

    manifest: ClassVar[Manifest] = Manifest(
        name="gotosocial",
        title="GoToSocial",
        docs="docs/connectors/mastodon.md",
        measures=frozenset(Measure),
        owner="Wasl maintainers",
        idempotency=Idempotency.LOOKUP,
        rate=RateLimit(per_second=0.4, burst=10),
        poll_seconds=(600, 3600, 21_600),
    )
    Config: ClassVar[type[ConnectorConfig]] = GoToSocialConfig
    _legal: ClassVar[str] = "other"  # the only category GoToSocial keeps

    async def find(self, idempotency_key: str) -> Receipt | None:
        """Reads the hub's reports of the last ``lookup_days`` on every instance, newest first."""
        for name, instance in self._all().items():
            receipt = await self._find_on(name, instance, _mark(idempotency_key))
            if receipt is not None:
                return receipt
        return None

    async def status(self, reference: str) -> StatusUpdate:
        name, _, report_id = reference.partition(":")
        instance = self._all().get(name)
        if instance is None or not report_id:
            raise SubmissionRefused("not a reference of ours", code="unknown_reference")
        answer = await self._get(instance, f"/api/v1/reports/{quote(report_id, safe='')}")
        if answer.status == 404 and isinstance(answer.json(), dict):
            raise SubmissionRefused("the instance has no such report", code="unknown_reference")
        report = self._expect(answer).json()
        if not isinstance(report, dict) or not isinstance(report.get("action_taken"), bool):
            raise TransientError("an unreadable report", reason="unreadable_answer")
        outcome, reason = _handled(report)
        said = report.get("action_taken_comment")
        reply = said[:20_000] if isinstance(said, str) and said else None
        return StatusUpdate(reference=reference, outcome=outcome, reason=reason, reply=reply)

    async def _find_on(self, name: str, instance: Instance, mark: str) -> Receipt | None:
        days: int = getattr(self._config, "lookup_days", 4)
        since = self._rt.clock.now() - timedelta(days=days)
        params = {"limit": str(PER_PAGE)}
        for _ in range(MAX_PAGES):
            body = self._expect(await self._get(instance, "/api/v1/reports", params)).json()
            if not isinstance(body, list):
                raise TransientError("unreadable reports", reason="unreadable_answer")
            try:
                page = [(_id(r), str(r["comment"]), _when(r["created_at"]), r) for r in body]
                for report_id, text, _at, report in page:
                    if text.rstrip().endswith(mark):
                        outcome, reason = _handled(report)
                        return Receipt(
                            reference=f"{name}:{report_id}", outcome=outcome, reason=reason
                        )
            except (TypeError, KeyError, ValueError):
                raise TransientError("unreadable reports", reason="unreadable_answer") from None
            if not page or page[-1][2] < since:
                return None
            params["max_id"] = page[-1][0]
        raise TransientError("too many reports to look through", reason="lookup")


def _handled(report: dict[str, Any]) -> tuple[Outcome, str | None]:
    """Moderators close a report without a word on what they did: that is all it says."""
    return (Outcome.ACKNOWLEDGED, "resolved") if report["action_taken"] else (Outcome.PENDING, None)


def _id(report: Any) -> str:
    found = report["id"]
    if not isinstance(found, str) or not found:
        raise KeyError("id")
    return found


def _when(text: str) -> datetime:
    when = datetime.fromisoformat(text)
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def _url(instance: Instance, path: str) -> str:
    return str(instance.base_url).rstrip("/") + path


def _auth(instance: Instance) -> dict[str, str]:
    return {"authorization": f"Bearer {instance.token.get_secret_value()}"}
