# SPDX-License-Identifier: Apache-2.0
"""Reports events, rooms and users to the moderators of a Matrix homeserver.

Two connectors, because abilities are types: ``matrix`` has any account, gets ``{}`` for an answer,
and can find out nothing afterwards; ``matrix_admin`` may also read Synapse's lists of reports, so
it finds a report again by the key in its reason, and proves that it was stored.
Facts: Matrix client-server API 1.18, "Reporting content" (since 1.18 a server may answer 200 to
what it does not know); Synapse admin API, "Show reported events" and "Show reported users".
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Generic, Self, TypeVar
from urllib.parse import quote, urlencode

from pydantic import Field, SecretStr
from wasl_connector_sdk import (
    AmbiguousOutcome,
    Connector,
    ConnectorConfig,
    ConnectorError,
    Idempotency,
    InvalidSubmission,
    Manifest,
    Measure,
    RateLimit,
    Receipt,
    Runtime,
    Submission,
    SubmissionRefused,
    TransientError,
)
from wasl_connector_sdk.http import Answer, exchange, json_bytes
from wasl_connector_sdk.urls import PartnerUrl

from wasl_platform_gateway.connectors.matrix.mapping import (
    SERVER_NAME,
    Target,
    fault_of,
    is_identifier,
    marker,
    reason_of,
    target_of,
)

PAGE, PAGES = 100, 50
#: A page of reasons of 1000 characters, each written as \\uXXXX at worst.
MAX_PAGE = 2 << 20

EVENTS, USERS = "event_reports", "user_reports"


class MatrixConfig(ConnectorConfig):
    homeserver: PartnerUrl = Field(description="Client-server API of the homeserver")
    token: SecretStr = Field(min_length=1, description="Access token of the account that reports")
    join: bool = Field(
        default=False,
        description="enter the room of an event the account cannot see, and report again",
    )


class MatrixAdminConfig(MatrixConfig):
    admin_token: SecretStr = Field(
        min_length=1, description="Access token of a server administrator; only lists our reports"
    )


ConfigT = TypeVar("ConfigT", bound=MatrixConfig)


class _Matrix(Connector[ConfigT], Generic[ConfigT]):
    """What both connectors do."""

    def __init__(self, config: ConfigT, rt: Runtime) -> None:
        self._base = str(config.homeserver).rstrip("/")
        self._headers = {"authorization": f"Bearer {config.token.get_secret_value()}"}
        self._join = config.join
        self._rt = rt

    @classmethod
    @asynccontextmanager
    async def open(cls, config: ConfigT, rt: Runtime) -> AsyncIterator[Self]:
        yield cls(config, rt)

    async def check(self) -> None:
        await self._whoami()

    async def _whoami(self) -> str:
        url = f"{self._base}/_matrix/client/v3/account/whoami"
        answer = await exchange(self._rt.http, "GET", url, headers=self._headers)
        me = _field(self._expect(answer, about_item=False), "user_id")
        if not isinstance(me, str) or not me:
            raise TransientError("whoami names no user", reason="unreadable_answer")
        return me

    async def _report(self, target: Target, reason: str) -> None:
        if target.user:
            return await self._post_report(f"users/{_part(target.user)}/report", reason)
        room, via = target.room, target.via
        if room[0] == "#":
            room, via = await self._resolve(room)
        path = f"rooms/{_part(room)}/report"
        if not target.event:
            return await self._post_report(path, reason)
        path = f"{path}/{_part(target.event)}"
        try:
            return await self._post_report(path, reason)
        except SubmissionRefused as error:
            if not (self._join and error.code == "not_found"):
                raise
        await self._enter(room, via)
        return await self._post_report(path, reason)

    async def _post_report(self, path: str, reason: str) -> None:
        answer = await self._post(path, {"reason": reason})
        # All of the specified answer. Something else answered 200: a portal, a proxy's page.
        if self._expect(answer).json() != {}:
            raise AmbiguousOutcome("accepted without a readable answer", reason="unreadable_answer")

    async def _resolve(self, alias: str) -> tuple[str, tuple[str, ...]]:
        """The room an alias stands for now, and servers that know it."""
        url = f"{self._base}/_matrix/client/v3/directory/room/{_part(alias)}"
        answer = self._expect(await exchange(self._rt.http, "GET", url, headers=self._headers))
        room, servers = _field(answer, "room_id"), _field(answer, "servers")
        if not isinstance(room, str) or not is_identifier(room, "!"):
            raise TransientError("an alias without a room", reason="unreadable_answer")
        known = servers if isinstance(servers, list) else []
        return room, tuple(s for s in known if isinstance(s, str) and SERVER_NAME.fullmatch(s))[:3]

    async def _enter(self, room: str, via: tuple[str, ...]) -> None:
        """Join. Repeating it is harmless, and until it is done nothing has been reported."""
        query = f"?{urlencode([('via', server) for server in via])}" if via else ""
        try:
            self._expect(await self._post(f"join/{_part(room)}{query}", {}))
        except AmbiguousOutcome as error:
            raise TransientError("joining did not end", reason=error.reason) from None

    async def _post(self, path: str, body: dict[str, str]) -> Answer:
        return await exchange(
            self._rt.http,
            "POST",
            f"{self._base}/_matrix/client/v3/{path}",
            headers={**self._headers, "content-type": "application/json"},
            content=json_bytes(body),
        )

    def _expect(self, answer: Answer, *, about_item: bool = True) -> Answer:
        error = fault_of(answer, self._rt.clock.now(), about_item=about_item)
        if error is not None:
            raise error
        return answer


class MatrixConnector(_Matrix[MatrixConfig]):
    manifest: ClassVar[Manifest] = Manifest(
        name="matrix",
        title="Matrix homeserver",
        docs="docs/connectors/matrix.md",
        measures=frozenset(Measure),
        owner="Wasl maintainers",
        idempotency=Idempotency.NONE,
        production=frozenset({"matrix.org"}),
        rate=RateLimit(per_second=1, burst=5),  # Synapse's rc_reports
    )
    Config: ClassVar[type[ConnectorConfig]] = MatrixConfig

    async def submit(self, submission: Submission) -> Receipt:
        """The answer has no id, so the reference is our key; 200 is no proof that it was stored."""
        await self._report(_required(submission), reason_of(submission, self._rt.hub))
        return Receipt(reference=submission.idempotency_key)


class MatrixAdminConnector(_Matrix[MatrixAdminConfig]):
    manifest: ClassVar[Manifest] = Manifest(
        name="matrix_admin",
        title="Matrix homeserver, with its lists of reports",
        docs="docs/connectors/matrix.md",
        measures=frozenset(Measure),
        owner="Wasl maintainers",
        idempotency=Idempotency.LOOKUP,
        production=frozenset({"matrix.org"}),
        rate=RateLimit(per_second=1, burst=5),
    )
    Config: ClassVar[type[ConnectorConfig]] = MatrixAdminConfig

    def __init__(self, config: MatrixAdminConfig, rt: Runtime) -> None:
        super().__init__(config, rt)
        self._admin = {"authorization": f"Bearer {config.admin_token.get_secret_value()}"}
        self._me = ""

    async def check(self) -> None:
        self._me = await self._whoami()
        for listed in (EVENTS, USERS):
            await self._page(listed, 0, limit=1)

    async def submit(self, submission: Submission) -> Receipt:
        """Report, then read it back: the reference is the server's own, and proves it is stored."""
        target = _required(submission)
        if not (target.user or target.event):
            # No list holds reports of rooms, so a lost answer could never be cleared up.
            raise InvalidSubmission("a room needs connector 'matrix'", reason="room_not_listed")
        await self._report(target, reason_of(submission, self._rt.hub))
        try:
            found = await self._search(USERS if target.user else EVENTS, submission.idempotency_key)
        except ConnectorError:
            raise AmbiguousOutcome("accepted, but not read back", reason="not_confirmed") from None
        if found is not None:
            return found
        if target.user:  # Synapse answers 200 and drops reports of users that are not its own
            raise SubmissionRefused("accepted and not stored", code="not_recorded")
        # The list lacks rooms without statistics yet, so it is no proof of the contrary.
        raise AmbiguousOutcome("accepted and not listed", reason="not_listed")

    async def find(self, idempotency_key: str) -> Receipt | None:
        return await self._search(EVENTS, idempotency_key) or await self._search(
            USERS, idempotency_key
        )

    async def _search(self, listed: str, key: str) -> Receipt | None:
        """Our newest report with this key. Only reports of our own account are asked for."""
        self._me = self._me or await self._whoami()
        start, wanted = 0, marker(key)
        for _ in range(PAGES):
            answer = await self._page(listed, start)
            rows, following = _field(answer, listed), _field(answer, "next_token")
            if not isinstance(rows, list) or not all(_is_row(row) for row in rows):
                raise TransientError("no list of reports", reason="unreadable_answer")
            for row in rows:
                if row.get("user_id") == self._me and str(row.get("reason")).startswith(wanted):
                    return Receipt(reference=f"{listed}/{row['id']}")
            if not isinstance(following, int):
                return None
            start = following
        raise TransientError("too many reports to search", reason="list_too_long")

    async def _page(self, listed: str, start: int, *, limit: int = PAGE) -> Answer:
        answer = await exchange(
            self._rt.http,
            "GET",
            f"{self._base}/_synapse/admin/v1/{listed}",
            headers=self._admin,
            params={"user_id": self._me, "from": str(start), "limit": str(limit), "dir": "b"},
            max_body=MAX_PAGE,
        )
        return self._expect(answer, about_item=False)


def _required(submission: Submission) -> Target:
    target = target_of(submission.location)
    if target is None:
        raise InvalidSubmission(
            "expected a user, a room, or an event in a room", reason="not_a_matrix_location"
        )
    return target


def _is_row(row: Any) -> bool:
    return isinstance(row, dict) and isinstance(row.get("id"), int)


def _field(answer: Answer, name: str) -> Any:
    body = answer.json()
    return body.get(name) if isinstance(body, dict) else None


def _part(identifier: str) -> str:
    return quote(identifier, safe="")
