# SPDX-License-Identifier: Apache-2.0
"""Accounts of the desk: invited, active, disabled; their factors and what was agreed to.

Every change ends with one put and one row of the audit stream ``people``, in the caller's commit.
A change of what somebody may do, or of how they prove who they are, moves the account's ``epoch``
on, and with it ends all its sessions at once. A name is taken for good: trails name it.
"""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError
from wasl_chassis.i18n import SOURCE
from wasl_chassis.store import Collection, Doc
from wasl_chassis.vault import key_of
from wasl_chassis.work import UnitOfWork
from wasl_schemas.base import Model, Sealed, Slug, Timestamp
from wasl_schemas.ids import uuid7

from wasl_triage.access.limits import TRIES, tries_id
from wasl_triage.audit.trail import Stream, journal
from wasl_triage.domain.case import CLOCK, MACHINE
from wasl_triage.domain.people import EVERY_QUEUE, Person, Role

INVITATION = timedelta(hours=72)
#: AAD field name of a sealed TOTP secret.
TOTP = "account.totp"
#: Names in the trail that no person has.
RESERVED = frozenset({CLOCK, MACHINE, "unknown"})

Queues = frozenset[Slug | Literal["*"]]
NAME: TypeAdapter[str] = TypeAdapter(Slug)
QUEUES: TypeAdapter[Queues] = TypeAdapter(Annotated[Queues, Field(min_length=1)])
ROLES: TypeAdapter[frozenset[Role]] = TypeAdapter(Annotated[frozenset[Role], Field(min_length=1)])


class Refused(Exception):  # noqa: N818
    """A change that cannot be. Text and ``fix`` are constant sentences of the catalogues."""

    def __init__(self, text: str, fix: str = "") -> None:
        super().__init__(text)
        self.fix = fix


class State(StrEnum):
    #: No password yet: an invitation is out, or was.
    INVITED = "invited"
    ACTIVE = "active"
    DISABLED = "disabled"


class Account(Model):
    """One person. Hashes and sealed texts only; nothing here signs anybody in."""

    name: Slug
    roles: frozenset[Role]
    queues: Queues = frozenset({EVERY_QUEUE})
    #: Of the pages; that of the page where the password was set, until it is changed.
    language: str
    state: State = State.INVITED
    created_at: Timestamp
    created_by: str
    #: SHA-256 of the invitation, which sets a password once.
    invitation: str | None = None
    invitation_until: Timestamp | None = None
    #: argon2id; None: by another organisation's sign-in service, or not set yet.
    password: str | None = None
    totp: Sealed | None = None
    #: Shown to be scanned, and not confirmed yet.
    totp_new: Sealed | None = None
    #: The last step whose code was used.
    totp_step: int = 0
    #: Hashes of the recovery codes that were not used.
    recovery: tuple[str, ...] = ()
    #: Sessions of an earlier one are over.
    epoch: int = 1
    #: The code of conduct that was accepted, and when.
    code_version: int | None = None
    code_at: Timestamp | None = None
    #: :func:`subject_id` at the other organisation's sign-in service.
    subject: str | None = None

    @property
    def person(self) -> Person:
        return Person(name=self.name, roles=self.roles, queues=self.queues)

    def invited(self, token: str, now: datetime) -> bool:
        """Whether this token opens the invitation now."""
        until = self.invitation_until
        return (
            self.state is not State.DISABLED
            and secrets.compare_digest(self.invitation or "", token_hash(token))
            and until is not None
            and now < until
        )


def _encode(a: Account) -> Doc:
    doc = a.model_dump(exclude={"name"})
    doc["state"] = a.state.value
    doc["roles"] = sorted(r.value for r in a.roles)
    doc["queues"] = sorted(a.queues)
    doc["recovery"] = list(a.recovery)
    return doc


def _decode(doc: Doc) -> Account:
    return Account.model_validate({**doc, "name": doc["_id"]}, extra="ignore")


ACCOUNTS: Collection[Account] = Collection("accounts", lambda a: a.name, _encode, _decode)


class Subject(Model):
    """Whose account a person of another organisation's sign-in service has."""

    id: str
    name: Slug


SUBJECTS: Collection[Subject] = Collection.of("account_subjects", Subject, "id")


def subject_id(issuer: str, subject: str) -> str:
    """The pair that OpenID Connect promises to be unique, hashed."""
    return hashlib.sha256(f"{issuer}|{subject}".encode()).hexdigest()


def token_hash(token: str) -> str:
    return hashlib.sha256(f"invitation|{token.strip()}".encode(errors="surrogatepass")).hexdigest()


# -- changes, each in the caller's unit of work ----------------------------------------------------


async def change(
    uow: UnitOfWork, account: Account, by: str, what: str, why: str = "", **values: Any
) -> Account:
    """Put the account with these values, and say so. ``why``: words and names, as audited."""
    changed = account.model_copy(update=values)
    uow.put(ACCOUNTS, changed)
    await journal(uow, Stream.PEOPLE.value, by, what, f"{account.name} {why}".strip())
    return changed


async def find(uow: UnitOfWork, name: str) -> Account | None:
    """The account of a name somebody typed; one query whatever was typed."""
    return await uow.get(ACCOUNTS, name if _is_name(name) else "-")


async def existing(uow: UnitOfWork, name: str) -> Account:
    """Raises Refused."""
    account = await find(uow, name)
    if account is None:
        raise Refused("There is no account of this name.", "Take a name from the list.")
    return account


async def invite(
    uow: UnitOfWork,
    name: str,
    *,
    by: str,
    roles: Iterable[str] = (),
    queues: Iterable[str] = (EVERY_QUEUE,),
) -> str:
    """A one-time token with which the person sets a password, within :data:`INVITATION`.

    A new name needs roles; one that exists gets a new invitation, keeps its roles and second
    factor, and its old password until the invitation is used. Raises Refused.
    """
    token = secrets.token_urlsafe(24)
    until = uow.now() + INVITATION
    out: dict[str, Any] = {"invitation": token_hash(token), "invitation_until": until}
    account = await find(uow, name)
    if account is not None:
        if account.state is State.DISABLED:
            raise Refused("The account is disabled.", "Enable it first.")
        if account.subject is not None:
            raise Refused(
                "This person signs in elsewhere and has no password here.",
                "Their organisation’s sign-in service helps them.",
            )
        await change(uow, account, by, "invited_again", **out)
        return token
    if not _is_name(name) or name in RESERVED:
        raise Refused(
            "This name cannot be used.",
            "Use a-z, 0-9, '.', '-' and '_', for example amal.idrissi.",
        )
    fresh = Account(
        name=name,
        roles=_roles(roles),
        queues=_queues(queues),
        language=SOURCE,
        created_at=uow.now(),
        created_by=by,
    )
    await change(uow, fresh, by, "invited", held(fresh), **out)
    return token


async def set_roles(
    uow: UnitOfWork, name: str, roles: Iterable[str], queues: Iterable[str], *, by: str
) -> Account:
    """Change what somebody may do and sees; their sessions end. Raises Refused."""
    account = await existing(uow, name)
    if account.subject is not None:
        raise Refused(
            "The roles of this person come from their organisation’s sign-in service.",
            "Change their groups there.",
        )
    wanted = account.model_copy(update={"roles": _roles(roles), "queues": _queues(queues)})
    return await change(uow, wanted, by, "roles_changed", held(wanted), epoch=account.epoch + 1)


async def disable(uow: UnitOfWork, name: str, *, by: str) -> Account:
    """Nobody signs in with it any more, and its sessions end. Raises Refused."""
    account = await existing(uow, name)
    return await change(
        uow,
        account,
        by,
        "disabled",
        state=State.DISABLED,
        invitation=None,
        invitation_until=None,
        epoch=account.epoch + 1,
    )


async def enable(uow: UnitOfWork, name: str, *, by: str) -> Account:
    """Let a disabled account sign in again, and end the wait after failures. Raises
    Refused.
    """
    account = await existing(uow, name)
    await forgive(uow, name)
    state = account.state
    if state is State.DISABLED:
        local = account.password is not None or account.subject is not None
        state = State.ACTIVE if local else State.INVITED
    return await change(uow, account, by, "enabled", state=state)


async def reset_totp(uow: UnitOfWork, name: str, *, by: str) -> Account:
    """Forget the second factor and the recovery codes; the next sign-in sets new ones. Raises
    Refused.
    """
    account = await existing(uow, name)
    for sealed in (account.totp, account.totp_new):
        if sealed is not None:
            await uow.keys.destroy(key_of(sealed))
    return await change(
        uow,
        account,
        by,
        "totp_reset",
        totp=None,
        totp_new=None,
        recovery=(),
        epoch=account.epoch + 1,
    )


async def end_sessions(uow: UnitOfWork, name: str, *, by: str) -> Account:
    """End every session of an account. Raises Refused."""
    account = await existing(uow, name)
    return await change(uow, account, by, "sessions_ended", epoch=account.epoch + 1)


async def forgive(uow: UnitOfWork, name: str) -> None:
    """Forget the failed tries of a name."""
    await uow.delete(TRIES, tries_id(name))


async def seal_totp(uow: UnitOfWork, secret: bytes) -> Sealed:
    """A TOTP secret under a data key of its own: destroying the key destroys every copy."""
    key_id = f"totp-{uuid7()}"
    uow.keys.create(key_id)
    return await uow.keys.seal(key_id, TOTP, secret.hex())


async def open_totp(uow: UnitOfWork, sealed: Sealed) -> bytes:
    return bytes.fromhex(await uow.keys.open(sealed, TOTP))


def _is_name(name: str) -> bool:
    try:
        NAME.validate_python(name)
    except ValidationError:
        return False
    return True


def _roles(roles: Iterable[str]) -> frozenset[Role]:
    try:
        return ROLES.validate_python(frozenset(roles))
    except ValidationError:
        raise Refused("Choose at least one role.") from None


def _queues(queues: Iterable[str]) -> Queues:
    try:
        return QUEUES.validate_python(frozenset(queues))
    except ValidationError:
        raise Refused("Choose at least one queue.") from None


def held(account: Account) -> str:
    """Roles and queues, for the trail."""
    roles = ",".join(sorted(r.value for r in account.roles))
    return f"{roles} {','.join(sorted(account.queues))}"
