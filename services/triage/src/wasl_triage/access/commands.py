# SPDX-License-Identifier: Apache-2.0
"""``wasl people``: the accounts of the desk, for the operator, who also makes the first one.

The operator is named in the audit trail by their login name, as ``operator:NAME``.
"""

import os
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from wasl_chassis.operating import Command, Commands, Desk, Option, Refused, Row
from wasl_chassis.store import Doc
from wasl_chassis.vault import Vault
from wasl_chassis.work import UnitOfWork

from wasl_triage.access import accounts
from wasl_triage.access.accounts import ACCOUNTS, Account, State
from wasl_triage.access.limits import FOR_EVER, TRIES, tries_id
from wasl_triage.access.sessions import SESSIONS
from wasl_triage.domain.people import EVERY_QUEUE, Role


def _who(desk: Desk) -> str:
    return f"operator:{desk.operator}"


async def _done(desk: Desk, work: Callable[[UnitOfWork], Awaitable[Account]]) -> Sequence[Row]:
    """Run one change and commit it. Raises Refused."""
    # Nothing is opened here, so no master key is asked for; a data key is destroyed without one.
    uow = UnitOfWork(desk.store, desk.clock, "/wasl/cli", Vault({"none": os.urandom(32)}))
    try:
        account = await work(uow)
    except accounts.Refused as error:
        raise Refused(f"{error} {error.fix}".strip()) from None
    await desk.store.commit(uow.changes())
    return await _rows(desk, [account])


async def invite(desk: Desk, name: str) -> Sequence[Row]:
    """The invitation is printed, once, and kept as a hash."""
    told: list[str] = []
    given = desk.options

    async def work(uow: UnitOfWork) -> Account:
        token = await accounts.invite(
            uow,
            name,
            by=_who(desk),
            roles=_list(given.get("roles", "")),
            queues=_list(given.get("queues", EVERY_QUEUE)),
        )
        told.append(token)
        return await accounts.existing(uow, name)

    (row,) = await _done(desk, work)
    until = (desk.clock.now() + accounts.INVITATION).replace(microsecond=0)
    return [
        {"what": "name", "value": row["name"]},
        {"what": "roles", "value": row["roles"]},
        {"what": "queues", "value": row["queues"]},
        {"what": "invitation", "value": told[0]},
        {"what": "valid until", "value": until},
    ]


async def list_(desk: Desk, _: str) -> Sequence[Row]:
    docs = await desk.store.find(ACCOUNTS, {}, sort=(("_id", 1),))
    return await _rows(desk, [ACCOUNTS.decode(doc) for doc in docs])


async def disable(desk: Desk, name: str) -> Sequence[Row]:
    return await _done(desk, lambda uow: accounts.disable(uow, name, by=_who(desk)))


async def enable(desk: Desk, name: str) -> Sequence[Row]:
    return await _done(desk, lambda uow: accounts.enable(uow, name, by=_who(desk)))


async def roles(desk: Desk, name: str) -> Sequence[Row]:
    given = desk.options
    wanted, seen = _list(given.get("roles", "")), _list(given.get("queues", EVERY_QUEUE))
    return await _done(desk, lambda uow: accounts.set_roles(uow, name, wanted, seen, by=_who(desk)))


async def reset_totp(desk: Desk, name: str) -> Sequence[Row]:
    return await _done(desk, lambda uow: accounts.reset_totp(uow, name, by=_who(desk)))


async def sign_out(desk: Desk, name: str) -> Sequence[Row]:
    return await _done(desk, lambda uow: accounts.end_sessions(uow, name, by=_who(desk)))


async def sessions(desk: Desk, name: str) -> Sequence[Row]:
    docs = await desk.store.read(ACCOUNTS, [name])
    if name not in docs:
        raise Refused(f"no account '{name}' exists; see 'wasl people list'")
    account = ACCOUNTS.decode(docs[name])
    found = await desk.store.find(SESSIONS, {"name": name}, sort=(("started_at", 1),))
    now = desk.clock.now()
    return [
        {
            "session": s.id[:12],
            "stage": s.stage.value,
            "started_at": s.started_at,
            "seen_at": s.seen_at,
            "ends_at": s.ends_at,
        }
        for s in map(SESSIONS.decode, found)
        if s.epoch == account.epoch and now < s.ends_at and account.state is State.ACTIVE
    ]


async def _rows(desk: Desk, found: Sequence[Account]) -> list[Row]:
    tried = await desk.store.read(TRIES, [tries_id(a.name) for a in found])
    now = desk.clock.now()
    return [_row(a, tried.get(tries_id(a.name)), now) for a in found]


def _row(a: Account, doc: Doc | None, now: datetime) -> Row:
    factors = "elsewhere" if a.subject is not None else "password" if a.password else "none"
    if a.totp is not None:
        factors += f", code, {len(a.recovery)} recovery codes"
    tries = TRIES.decode(doc) if doc is not None else None
    until = tries.locked_until if tries is not None and tries.locked(now) else None
    return {
        "name": a.name,
        "state": a.state.value,
        "roles": sorted(r.value for r in a.roles),
        "queues": sorted(a.queues),
        "factors": factors,
        "waits_until": "enabled" if until == FOR_EVER else until,
        "code_of_conduct": a.code_version,
    }


def _list(text: str) -> list[str]:
    return [part for piece in text.split(",") if (part := piece.strip())]


_ROLES = Option("roles", "ROLE,ROLE", f"Of: {', '.join(Role)}.")
_QUEUES = Option("queues", "QUEUE,QUEUE", "Queues of the country pack; default: all (*).")

PEOPLE: Commands = (
    Command(
        "invite",
        "Make an account, or let somebody set a new password. The invitation is shown once and"
        " is valid for 72 hours: give it to the person by a way nobody else reads. They open"
        " the desk's page 'sign-in/first'.",
        invite,
        "NAME",
        (_ROLES, _QUEUES),
    ),
    Command("list", "All accounts.", list_),
    Command("disable", "Let nobody sign in with an account; its sessions end.", disable, "NAME"),
    Command(
        "enable",
        "Let a disabled account sign in again, or end the wait after failed tries.",
        enable,
        "NAME",
    ),
    Command(
        "roles",
        "Say what somebody may do; replaces all they had, and their sessions end.",
        roles,
        "NAME",
        (_ROLES, _QUEUES),
    ),
    Command(
        "reset-totp",
        "Forget a lost authenticator and its recovery codes: the next sign-in, with the"
        " password alone, sets up another. Make sure who asks.",
        reset_totp,
        "NAME",
    ),
    Command("sessions", "The living sessions of an account.", sessions, "NAME"),
    Command("sign-out", "End all sessions of an account.", sign_out, "NAME"),
)
