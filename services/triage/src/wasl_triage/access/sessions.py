# SPDX-License-Identifier: Apache-2.0
"""Sessions: a random word in a cookie, its SHA-256 in the database, and when each is over.

A session ends with silence, with its day, and with its account's epoch. It is never prolonged by
what a page fetches on its own, only by :func:`touch`. The word of a session changes when its rights
do. ``__Host-`` binds the cookie to this host and to TLS (RFC 6265bis); Strict keeps it home.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from starlette.requests import Request
from starlette.responses import Response
from wasl_chassis.store import Collection, Doc, Index
from wasl_chassis.vault import derive
from wasl_chassis.work import UnitOfWork
from wasl_schemas.base import Model, Slug, Timestamp

from wasl_triage.access.accounts import Account, State

#: A session that is not all there yet has this long to become one.
HALFWAY = timedelta(minutes=10)
#: Prolonging is written this often at most.
_TOUCH = timedelta(minutes=1)


class Stage(StrEnum):
    """How far somebody has come."""

    #: Proved by a password that nothing else is set up yet.
    ENROL = "enrol"
    #: Proved elsewhere without a second factor: our own is asked for.
    SECOND = "second"
    FULL = "full"


class Session(Model):
    id: str
    name: Slug
    epoch: int
    stage: Stage
    started_at: Timestamp
    seen_at: Timestamp
    ends_at: Timestamp
    stepped_up_at: Timestamp | None = None
    #: By another organisation's sign-in service, which has a session of its own.
    federated: bool = False


def _encode(s: Session) -> Doc:
    return {**s.model_dump(exclude={"id"}), "stage": s.stage.value}


SESSIONS: Collection[Session] = Collection(
    "sessions",
    lambda s: s.id,
    _encode,
    lambda d: Session.model_validate({**d, "id": d["_id"]}, extra="ignore"),
    (Index((("name", 1),)), Index((("ends_at", 1),), ttl=0)),
)


class Flow(Model):
    """A journey to another organisation's service and back; used once."""

    id: str
    #: SHA-256 of the word in the browser that set out.
    browser: str
    nonce: str
    verifier: str
    started_at: Timestamp
    ends_at: Timestamp
    lang: str
    next: str
    #: The session that is asked again who it is.
    session: str | None = None


FLOWS: Collection[Flow] = Collection.of(
    "sign_in_flows", Flow, "id", (Index((("ends_at", 1),), ttl=0),)
)


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """``idle``: of silence; ``whole``: whatever is done."""

    idle: timedelta = timedelta(minutes=20)
    whole: timedelta = timedelta(hours=10)


def session_id(word: str) -> str:
    return hashlib.sha256(word.encode(errors="surrogatepass")).hexdigest()


def csrf(word: str) -> str:
    """The token of a session's forms: follows from its word, and does not tell it."""
    return derive(word.encode(errors="surrogatepass"), "desk-csrf").hex()


def start(
    uow: UnitOfWork, account: Account, stage: Stage, lifetimes: Lifetimes, *, federated: bool
) -> str:
    """A new session. Returns its word. A full one begins as if just asked again who it is."""
    word, now = secrets.token_urlsafe(32), uow.now()
    full = stage is Stage.FULL
    uow.put(
        SESSIONS,
        Session(
            id=session_id(word),
            name=account.name,
            epoch=account.epoch,
            stage=stage,
            started_at=now,
            seen_at=now,
            ends_at=now + (lifetimes.whole if full else HALFWAY),
            stepped_up_at=now if full else None,
            federated=federated,
        ),
    )
    return word


def alive(session: Session, account: Account | None, now: datetime, idle: timedelta) -> bool:
    return (
        account is not None
        and account.state is State.ACTIVE
        and session.epoch == account.epoch
        and now < session.ends_at
        and now < session.seen_at + idle
    )


def touched(session: Session, now: datetime) -> Session | None:
    """The session, prolonged; None where that is not worth a write."""
    if now - session.seen_at < _TOUCH:
        return None
    return session.model_copy(update={"seen_at": now})


async def rotate(uow: UnitOfWork, session: Session) -> str:
    """The same session under another word, asked again who it is just now. Returns the word."""
    word, now = secrets.token_urlsafe(32), uow.now()
    await uow.delete(SESSIONS, session.id)
    changed = {"id": session_id(word), "seen_at": now, "stepped_up_at": now}
    uow.put(SESSIONS, session.model_copy(update=changed))
    return word


class Cookie:
    """One cookie of ours. ``secure``: the desk is reached over TLS."""

    def __init__(self, name: str, *, secure: bool, same_site: str = "strict") -> None:
        self.name = f"__Host-{name}" if secure else name
        self._secure, self._same_site = secure, same_site

    def read(self, request: Request) -> str | None:
        return request.cookies.get(self.name) or None

    def write(self, response: Response, word: str) -> None:
        """Until the browser is closed, at the longest."""
        response.headers.append("set-cookie", self._line(word))

    def clear(self, response: Response) -> None:
        response.headers.append("set-cookie", f"{self._line('')}; Max-Age=0")

    def _line(self, word: str) -> str:
        secure = "; Secure" if self._secure else ""
        return (
            f"{self.name}={word}; Path=/; HttpOnly; SameSite={self._same_site.capitalize()}{secure}"
        )
