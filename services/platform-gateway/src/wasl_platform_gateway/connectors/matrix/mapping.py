# SPDX-License-Identifier: Apache-2.0
"""What a location means in Matrix, what a report says, what an answer means. Pure.

Facts: Matrix specification 1.18, appendices "Identifier Grammar" and "URIs", client-server API
"Standard error response" and "Reporting content".
"""

import re
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qs, unquote, urlsplit

from wasl_connector_sdk import (
    ConnectorError,
    CredentialsRejected,
    HubIdentity,
    InvalidSubmission,
    RateLimited,
    Submission,
    SubmissionRefused,
)
from wasl_connector_sdk.asking import asked
from wasl_connector_sdk.http import MAX_RETRY_AFTER, Answer, fault, retry_after

#: Synapse refuses longer reasons for users.
MAX_REASON = 1000

_SERVER = r"(?:[A-Za-z0-9.-]{1,230}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?"
SERVER_NAME = re.compile(_SERVER)
_PLAIN = r"\s\x00-\x1f\x7f\ud800-\udfff"
_IDENTIFIER = {
    "!": re.compile(rf"![^{_PLAIN}/]+"),
    "#": re.compile(rf"#[^{_PLAIN}:]+:{_SERVER}"),
    "@": re.compile(rf"@[^{_PLAIN}:]+:{_SERVER}"),
    "$": re.compile(rf"\$[^{_PLAIN}]+"),
}
_SIGIL = {"roomid": "!", "r": "#", "room": "#", "u": "@", "user": "@"}
_ACCOUNT = frozenset(
    {
        "M_UNKNOWN_TOKEN", "M_MISSING_TOKEN", "M_UNAUTHORIZED", "M_USER_DEACTIVATED",
        "M_USER_LOCKED", "M_USER_SUSPENDED", "M_GUEST_ACCESS_FORBIDDEN", "M_CONSENT_NOT_GIVEN",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Target:
    """A user, a room (id or alias), or an event in a room. ``via``: servers that know the room."""

    user: str = ""
    room: str = ""
    event: str = ""
    via: tuple[str, ...] = ()


def target_of(location: str) -> Target | None:
    """What a location names; None where it is nothing of Matrix that can be reported.

    Reads plain ids (``!room:server/$event``), ``matrix:`` URIs, matrix.to links and those of web
    clients (``…/#/room/…``), encoded or not. An event without its room cannot be reported.
    """
    text = location.strip()
    if text[:7].lower() == "matrix:":
        path, _, query = text[7:].partition("#")[0].partition("?")
        kind, _, rest = path.lstrip("/").partition("/")
        if kind not in _SIGIL:  # matrix://authority/…
            kind, _, rest = rest.partition("/")
        name, _, tail = rest.partition("/")
        what, _, event = tail.partition("/")
        event = f"${event}" if what in ("e", "event") else tail
        return _target(_SIGIL.get(kind, "") + unquote(name), unquote(event), query)
    if text[:7].lower() == "http://" or text[:8].lower() == "https://":
        try:
            fragment = urlsplit(text).fragment
        except ValueError:
            return None
        path, _, query = fragment.partition("?")
        path = path.removeprefix("/").removeprefix("room/").removeprefix("user/")
        name, _, event = path.partition("/")
        return _target(unquote(name), unquote(event), query)
    if text[:1] == "@":
        return _target(text, "", "")  # a user name may hold a slash
    name, _, event = text.replace(" ", "/", 1).partition("/")
    return _target(name, event, "")


def _target(name: str, event: str, query: str) -> Target | None:
    if is_identifier(name, "@"):
        return None if event else Target(user=name)
    if not is_identifier(name, "!#") or (event and not is_identifier(event, "$")):
        return None
    via = (server for server in parse_qs(query).get("via", ()) if SERVER_NAME.fullmatch(server))
    return Target(room=name, event=event, via=tuple(via)[:3])


def is_identifier(name: str, sigils: str) -> bool:
    """Of one of these kinds, and well formed."""
    return (
        name[:1] in tuple(sigils)
        and _IDENTIFIER[name[0]].fullmatch(name) is not None
        and len(name.encode()) <= 255
    )


def marker(key: str) -> str:
    """How a reason of ours begins; what a report is found by."""
    return f"[wasl:{key}]"


def reason_of(submission: Submission, hub: HubIdentity) -> str:
    """The report's only field: all that the moderators learn. The marker always survives."""
    law = f"{submission.ground.kind} {submission.ground.ref}"
    lines = [
        f"{marker(submission.idempotency_key)} {submission.category}, {submission.severity}",
        "THIS IS A TEST. Nothing is asked for." if submission.test else "",
        asked(submission),
        f"Ground: {law}" + (f": {submission.ground.text}" if submission.ground.text else ""),
        f"Scope: {submission.scope}",
        f"From: {hub.name}" + (f", {hub.contact}" if hub.contact else ""),
        submission.explanation,
    ]
    text = "\n".join(line for line in lines if line)
    return text if len(text) <= MAX_REASON else text[: MAX_REASON - 1] + "…"


def fault_of(answer: Answer, now: datetime, *, about_item: bool) -> ConnectorError | None:
    """What an answer means, by ``errcode`` first; None for 2xx.

    ``about_item``: M_FORBIDDEN is about the room asked for, and no word about our account.
    """
    if answer.ok:
        return None
    body = answer.json()
    body = body if isinstance(body, dict) else {}
    code, detail = body.get("errcode"), f"HTTP {answer.status}"
    if code in _ACCOUNT:
        return CredentialsRejected(detail)
    if code == "M_LIMIT_EXCEEDED":
        wait = retry_after(answer.headers.get("retry-after"), now)
        told = body.get("retry_after_ms")
        if wait is None and isinstance(told, int | float) and told >= 0:
            wait = min(told, MAX_RETRY_AFTER * 1000) / 1000
        return RateLimited(detail, retry_after=wait)
    if code == "M_NOT_FOUND":
        return SubmissionRefused(detail, code="not_found")
    if code == "M_FORBIDDEN" and about_item:
        return SubmissionRefused(detail, code="forbidden")
    if code == "M_UNRECOGNIZED":  # an older server, without this kind of report
        return InvalidSubmission(detail, reason="m_unrecognized")
    return fault(answer, now)
