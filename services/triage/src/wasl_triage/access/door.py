# SPDX-License-Identifier: Apache-2.0
"""The desk's door: from a password, a code or another organisation's word to a session, and back.

Whoever asks, a try is counted before it is looked at and costs the same queries and the same hash;
what was wrong is never said, nor that a name waits after failures: whoever guesses would learn that
a guess was right. Every try and every way in is in the audit trail, under the name if there is one.
"""

import hmac
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response
from wasl_chassis.vault import key_of
from wasl_chassis.work import UnitOfWork

from wasl_triage import metrics as measure
from wasl_triage.access import accounts, kept, limits, sessions, totp
from wasl_triage.access.accounts import (
    ACCOUNTS,
    RESERVED,
    SUBJECTS,
    Account,
    Refused,
    State,
    Subject,
)
from wasl_triage.access.kept import KEPT_FORMS, Form
from wasl_triage.access.oidc import Asked, Identity, Oidc, ProviderFailure, named, read_provider
from wasl_triage.access.passwords import Passwords, Weakness, weakness
from wasl_triage.access.sessions import FLOWS, SESSIONS, Cookie, Flow, Lifetimes, Session, Stage
from wasl_triage.audit.trail import journal, watched
from wasl_triage.casework import Hub
from wasl_triage.domain.people import Permission, Person
from wasl_triage.settings import TriageSettings

#: After this long somebody is asked again who they are before what :data:`STEPPED_UP` names.
STEP_UP = timedelta(minutes=10)
#: :attr:`Permission.UNMASK` too, where the case is restricted.
STEPPED_UP = frozenset({Permission.PEOPLE, Permission.PROTECT})
#: How long the way over another organisation's service may take.
_JOURNEY = timedelta(minutes=10)
_BURST = 20
#: The secret of nobody: a code is computed for whoever does not exist, too.
_NOBODY = bytes(20)

How = Literal["password", "invitation", "second", "step_up", "provider"]
NEXT_MAX = 300


class Change(StrEnum):
    """What an administrator does to somebody's account."""

    INVITE = "invite"
    ROLES = "roles"
    DISABLE = "disable"
    ENABLE = "enable"
    RESET_TOTP = "reset_totp"
    END_SESSIONS = "end_sessions"


class Denied(Exception):  # noqa: N818
    """Nobody comes in. ``busy``: too many try at once; else something was wrong, or waits."""

    def __init__(self, *, busy: bool = False) -> None:
        super().__init__("busy" if busy else "denied")
        self.busy = busy


class Weak(Exception):  # noqa: N818
    """The new password is refused; nothing else was wrong."""

    def __init__(self, weakness: Weakness) -> None:
        super().__init__(weakness.value)
        self.weakness = weakness


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Somebody with a living session."""

    person: Person
    lang: str
    #: Must come with every form.
    csrf: str
    session_id: str
    #: The present code of conduct was read and accepted.
    accepted: bool
    stepped_up_at: datetime | None
    federated: bool
    #: What they can prove themselves with again.
    has_password: bool
    has_totp: bool


@dataclass(frozen=True, slots=True)
class Halfway:
    """Somebody who has proved one thing and has to set up or prove another."""

    name: str
    stage: Stage
    lang: str
    csrf: str
    session_id: str


@dataclass(frozen=True, slots=True)
class Entered:
    """A session begins: ``word`` goes into the cookie. ``recovery``: to be shown, this once."""

    word: str
    stage: Stage
    lang: str
    recovery: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Keeping:
    """A form was kept: the id it has in an address, and the word of the browser's cookie."""

    form_id: str
    word: str


@dataclass(frozen=True, slots=True)
class Departure:
    """Off to another organisation's service: the address, and the word of the flow's cookie."""

    address: str
    word: str


@dataclass(frozen=True, slots=True)
class Return:
    """Back from there. ``next``: the page that was wanted."""

    entered: Entered
    next: str


class Access:
    """Everything the pages need of accounts and sessions. ``secure``: reached over TLS."""

    def __init__(
        self,
        hub: Hub,
        passwords: Passwords,
        *,
        code_version: int,
        secure: bool,
        lifetimes: Lifetimes | None = None,
        rate: float = 2,
        oidc: Oidc | None = None,
    ) -> None:
        self._hub, self._passwords = hub, passwords
        self._code_version = code_version
        self._lifetimes = lifetimes or Lifetimes()
        self._rate = limits.Rate(hub.clock, rate, _BURST)
        self.oidc = oidc
        self._cookie = Cookie("wasl-desk", secure=secure)
        # Lax: it must come along when the browser is sent back from elsewhere.
        self._flow = Cookie("wasl-desk-flow", secure=secure, same_site="lax")
        self._kept = Cookie("wasl-desk-kept", secure=secure)

    async def close(self) -> None:
        """Let go of the connections to the provider."""
        if self.oidc is not None:
            await self.oidc.close()

    # -- who is there ----------------------------------------------------------------------------

    async def signed_in(self, request: Request) -> SignedIn | None:
        """Whose living session the request comes with; two reads, no write."""
        found = await self._found(request, Stage.FULL)
        if found is None:
            return None
        session, account, word = found
        return SignedIn(
            person=account.person,
            lang=account.language,
            csrf=sessions.csrf(word),
            session_id=session.id,
            accepted=account.code_version == self._code_version,
            stepped_up_at=session.stepped_up_at,
            federated=session.federated,
            has_password=account.password is not None,
            has_totp=account.totp is not None,
        )

    async def halfway(self, request: Request) -> Halfway | None:
        """Who is between the first factor and the second."""
        found = await self._found(request, Stage.ENROL, Stage.SECOND)
        if found is None:
            return None
        session, account, word = found
        return Halfway(
            account.name, session.stage, account.language, sessions.csrf(word), session.id
        )

    async def _found(self, request: Request, *stages: Stage) -> tuple[Session, Account, str] | None:
        word = self._cookie.read(request)
        if word is None:
            return None
        uow = self._hub.unit()
        session = await uow.get(SESSIONS, sessions.session_id(word))
        if session is None or session.stage not in stages:
            return None
        account = await uow.get(ACCOUNTS, session.name)
        if account is None or not self._alive(session, account):
            return None
        return session, account, word

    def _alive(self, session: Session, account: Account | None) -> bool:
        return sessions.alive(session, account, self._hub.clock.now(), self._lifetimes.idle)

    async def touch(self, signed: SignedIn) -> None:
        """The person did something. Not for what a page fetches by itself."""

        async def work(uow: UnitOfWork) -> None:
            session = await uow.get(SESSIONS, signed.session_id)
            later = sessions.touched(session, uow.now()) if session is not None else None
            if later is not None:
                uow.put(SESSIONS, later)

        await self._hub.transact(work)

    def fresh(
        self,
        signed: SignedIn,
        permission: Permission | None = None,
        *,
        restricted: bool = False,
    ) -> bool:
        """Whether they proved lately who they are, where ``permission`` takes that; without one,
        always. ``restricted``: it is about a case of child safety.
        """
        unmask = restricted and permission is Permission.UNMASK
        if permission is not None and permission not in STEPPED_UP and not unmask:
            return True
        at = signed.stepped_up_at
        return at is not None and self._hub.clock.now() - at < STEP_UP

    async def keep(self, request: Request, signed: SignedIn, form: Form) -> Keeping:
        """Keep a form that was sent, until its sender has proved again who they are."""
        word = self._kept.read(request) or kept.new_word()
        one = kept.keep(word, signed.person.name, form, self._hub.clock.now())
        uow = self._hub.unit()
        uow.put(KEPT_FORMS, one)
        await self._hub.commit(uow)
        return Keeping(one.id, word)

    async def kept(self, request: Request, signed: SignedIn, form_id: str) -> Form | None:
        """The form this person kept in this browser; None where there is none (any more)."""
        word = self._kept.read(request)
        if word is None:
            return None
        one = await self._hub.unit().get(KEPT_FORMS, form_id)
        if one is None:
            return None
        return kept.opened(word, signed.person.name, one, self._hub.clock.now())

    # -- cookies ---------------------------------------------------------------------------------

    def enter(self, response: Response, entered: Entered) -> Response:
        self._cookie.write(response, entered.word)
        return response

    def leave(self, response: Response) -> Response:
        self._cookie.clear(response)
        self._kept.clear(response)
        return response

    def remember(self, response: Response, keeping: Keeping) -> Response:
        self._kept.write(response, keeping.word)
        return response

    def depart(self, response: Response, departure: Departure) -> Response:
        self._flow.write(response, departure.word)
        return response

    def arrive(self, response: Response) -> Response:
        self._flow.clear(response)
        return response

    # -- in --------------------------------------------------------------------------------------

    async def sign_in(self, name: str, password: str, code: str) -> Entered:
        """``code``: of the authenticator app, or a recovery code; empty where none is set up yet,
        which leads to :attr:`Stage.ENROL`. Raises Denied.
        """
        name = _name(name)
        tried = await self._try(name, "password")
        uow = self._hub.unit()
        account = await accounts.find(uow, name)
        there = account is not None and account.state is State.ACTIVE and tried
        known = account if there else None
        right = await self._passwords.matches(known.password if known else None, password)
        proof = await self._second(uow, known, code)
        if known is None or not right or (known.totp is not None and proof is None):
            raise self._denied("password")
        changes: dict[str, object] = dict(proof or {})
        if known.password is not None and self._passwords.outdated(known.password):
            changes["password"] = await self._passwords.hash(password)
        stage = Stage.ENROL if known.totp is None else Stage.FULL
        return await self._begin(known, stage, changes, "password")

    async def first(self, name: str, invitation: str, password: str, lang: str) -> Entered:
        """Set the password an invitation is for. Raises Denied, and Weak where that is all."""
        name = _name(name)
        tried = await self._try(name, "invitation")
        account = await accounts.find(self._hub.unit(), name)
        now = self._hub.clock.now()
        if account is None or not tried or not account.invited(invitation, now):
            # As slow as where there is one.
            await self._passwords.matches(None, password)
            raise self._denied("invitation")
        if weak := weakness(password, account.name):
            await self._forgive(account.name)
            raise Weak(weak)
        changes: dict[str, object] = {
            "password": await self._passwords.hash(password),
            "invitation": None,
            "invitation_until": None,
            "state": State.ACTIVE,
            "language": lang,
            "epoch": account.epoch + 1,
        }
        stage = Stage.ENROL if account.totp is None else Stage.SECOND
        return await self._begin(account, stage, changes, "invitation")

    async def enrolment(self, half: Halfway) -> bytes:
        """The secret to be scanned; the same until it is confirmed."""

        async def work(uow: UnitOfWork) -> bytes:
            account = await self._half(uow, half)
            if account.totp_new is not None:
                return await accounts.open_totp(uow, account.totp_new)
            secret = totp.new_secret()
            sealed = await accounts.seal_totp(uow, secret)
            uow.put(ACCOUNTS, account.model_copy(update={"totp_new": sealed}))
            return secret

        return await self._hub.transact(work)

    async def enrol(self, half: Halfway, code: str) -> Entered:
        """Confirm the scanned secret by a code of it; recovery codes come with the session. Raises
        Denied.
        """
        tried = await self._try(half.name, "second")
        uow = self._hub.unit()
        account = await self._half(uow, half)
        sealed = account.totp_new
        secret = await accounts.open_totp(uow, sealed) if sealed is not None else _NOBODY
        step = totp.matching_step(secret, code, self._hub.clock.now(), account.totp_step)
        if half.stage is not Stage.ENROL or not tried or sealed is None or step is None:
            raise self._denied("second")
        codes = tuple(totp.new_recovery_codes())

        async def work(uow: UnitOfWork) -> Entered:
            present = await self._half(uow, half)
            if present != account:
                raise self._denied("second")
            changed = await accounts.change(
                uow,
                present,
                present.name,
                "totp_set",
                totp=sealed,
                totp_new=None,
                totp_step=step,
                recovery=tuple(totp.recovery_hash(c) for c in codes),
                epoch=present.epoch + 1,
            )
            federated = await self._end(uow, half.session_id)
            return await self._open(uow, changed, Stage.FULL, "second", codes, federated=federated)

        return self._in(await self._hub.transact(work), "second")

    async def second(self, half: Halfway, code: str) -> Entered:
        """The second factor of somebody whose first was proved elsewhere. Raises Denied."""
        tried = await self._try(half.name, "second")
        uow = self._hub.unit()
        account = await self._half(uow, half)
        proof = await self._second(uow, account, code)
        if half.stage is not Stage.SECOND or not tried or proof is None:
            raise self._denied("second")
        return await self._begin(account, Stage.FULL, proof, "second", half=half)

    async def step_up(self, signed: SignedIn, password: str, code: str) -> Entered:
        """Prove again who one is, by the password or a code. The session goes on under another
        word. Raises Denied.
        """
        name = signed.person.name
        tried = await self._try(name, "step_up")
        uow = self._hub.unit()
        account = await accounts.find(uow, name)
        right = await self._passwords.matches(
            account.password if account and tried and password else None, password
        )
        proof = await self._second(uow, account if tried else None, code)
        if account is None or not (right or proof is not None):
            raise self._denied("step_up")

        async def work(uow: UnitOfWork) -> Entered:
            present = await accounts.find(uow, name)
            session = await uow.get(SESSIONS, signed.session_id)
            if present != account or session is None or not self._alive(session, present):
                raise self._denied("step_up")
            return await self._again(uow, session, present, dict(proof or {}))

        return self._in(await self._hub.transact(work), "step_up")

    # -- over another organisation's service -----------------------------------------------------

    async def begin(self, lang: str, next_: str, signed: SignedIn | None = None) -> Departure:
        """Off to the provider; with ``signed``, to prove again who they are. Raises Denied and
        ProviderFailure.
        """
        if self.oidc is None:
            raise ProviderFailure("away", "no sign-in service is configured")
        if not self._rate.take():
            measure.record_sign_in(self._hub.metrics, "provider", "busy")
            raise Denied(busy=True)
        state, browser = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        address, asked = await self.oidc.ask(state, lang, again=signed is not None)
        flow = Flow(
            id=sessions.session_id(state),
            browser=sessions.session_id(browser),
            nonce=asked.nonce,
            verifier=asked.verifier,
            started_at=asked.started_at,
            ends_at=asked.started_at + _JOURNEY,
            lang=lang,
            next=next_[:NEXT_MAX],
            session=signed.session_id if signed is not None else None,
        )
        uow = self._hub.unit()
        uow.put(FLOWS, flow)
        await self._hub.commit(uow)
        return Departure(address, browser)

    async def come_back(self, request: Request) -> Return:
        """What the provider sent the browser back with. Each journey once. Raises
        ProviderFailure.
        """
        try:
            return await self._come_back(request.query_params, self._flow.read(request) or "")
        except ProviderFailure:
            measure.record_sign_in(self._hub.metrics, "provider", "denied")
            raise

    async def _come_back(self, answer: Mapping[str, str], browser: str) -> Return:
        if self.oidc is None:
            raise ProviderFailure("away", "no sign-in service is configured")

        async def take(uow: UnitOfWork) -> Flow | None:
            flow = await uow.get(FLOWS, sessions.session_id(answer.get("state", "")))
            if flow is not None:
                await uow.delete(FLOWS, flow.id)
            return flow

        flow = await self._hub.transact(take)
        same = flow is not None and hmac.compare_digest(flow.browser, sessions.session_id(browser))
        if flow is None or not same or self._hub.clock.now() >= flow.ends_at:
            raise ProviderFailure("answer", "the answer is of no journey of this browser")
        asked = Asked(flow.nonce, flow.verifier, flow.started_at, again=flow.session is not None)
        who = await self.oidc.identify(answer, asked)
        entered = await (
            self._welcome(who, flow.lang) if flow.session is None else self._still(who, flow)
        )
        return Return(entered, flow.next)

    async def _still(self, who: Identity, flow: Flow) -> Entered:
        """The same person, proved again."""

        async def work(uow: UnitOfWork) -> Entered:
            session = await uow.get(SESSIONS, flow.session or "-")
            account = await accounts.find(uow, session.name if session is not None else "-")
            mine = account is not None and account.subject == accounts.subject_id(
                who.issuer, who.subject
            )
            if session is None or account is None or not mine or not self._alive(session, account):
                raise ProviderFailure("answer", "the session is over, or somebody else's")
            return await self._again(uow, session, account, {})

        return self._in(await self._hub.transact(work), "provider")

    async def _welcome(self, who: Identity, lang: str) -> Entered:
        """Their account as their claims are today; made at the first sign-in."""
        provider = self.oidc.provider if self.oidc is not None else None
        if provider is None:
            raise ProviderFailure("away", "no sign-in service is configured")
        grant = provider.granted(who.claims)
        subject = accounts.subject_id(who.issuer, who.subject)
        by = "provider"

        async def work(uow: UnitOfWork) -> Entered | None:
            held = await uow.get(SUBJECTS, subject)
            account = await accounts.find(uow, held.name) if held is not None else None
            if account is None:
                if grant is None:
                    return None
                name = named(provider, who.claims)
                taken = name is None or await accounts.find(uow, name) is not None
                if name is None or taken or name in RESERVED:
                    raise ProviderFailure("name", "the name is missing or taken")
                fresh = Account(
                    name=name,
                    roles=grant.roles,
                    queues=grant.queues,
                    language=lang,
                    state=State.ACTIVE,
                    created_at=uow.now(),
                    created_by=by,
                    subject=subject,
                )
                uow.put(SUBJECTS, Subject(id=subject, name=name))
                account = await accounts.change(uow, fresh, by, "made", accounts.held(fresh))
            elif account.state is State.DISABLED:
                raise ProviderFailure("disabled", "the account is disabled")
            roles = grant.roles if grant is not None else frozenset()
            queues = grant.queues if grant is not None else account.queues
            if (roles, queues) != (account.roles, account.queues):
                account = account.model_copy(update={"roles": roles, "queues": queues})
                account = await accounts.change(
                    uow, account, by, "roles_followed", accounts.held(account),
                    epoch=account.epoch + 1,
                )  # fmt: skip
            if grant is None:
                return None
            if provider.second_factor(who.claims):
                stage = Stage.FULL
            else:
                stage = Stage.ENROL if account.totp is None else Stage.SECOND
            return await self._open(uow, account, stage, "provider", federated=True)

        entered = await self._hub.transact(work)
        if entered is None:
            raise ProviderFailure("not_mapped", "no value of the claim gives a role")
        return self._in(entered, "provider")

    # -- what people do to their own account -----------------------------------------------------

    async def sign_out(self, request: Request) -> bool:
        """End the session the request comes with. True: the provider has one of its own."""
        word = self._cookie.read(request)
        if word is None:
            return False

        async def work(uow: UnitOfWork) -> bool:
            session = await uow.get(SESSIONS, sessions.session_id(word))
            if session is None:
                return False
            await self._row(uow, session.name, "signed_out")
            return await self._end(uow, session.id)

        return await self._hub.transact(work)

    async def sign_out_everywhere(self, signed: SignedIn) -> None:
        name = signed.person.name

        async def work(uow: UnitOfWork) -> None:
            await accounts.end_sessions(uow, name, by=name)

        await self._hub.transact(work)

    async def accept(self, signed: SignedIn) -> None:
        """The code of conduct, as it is today, was read and accepted."""

        async def work(uow: UnitOfWork) -> None:
            account = await accounts.existing(uow, signed.person.name)
            await accounts.change(
                uow,
                account,
                account.name,
                "code_accepted",
                str(self._code_version),
                code_version=self._code_version,
                code_at=uow.now(),
            )

        await self._hub.transact(work)

    async def speak(self, signed: SignedIn, language: str) -> None:
        """The language of the pages from now on."""

        async def work(uow: UnitOfWork) -> None:
            account = await accounts.existing(uow, signed.person.name)
            uow.put(ACCOUNTS, account.model_copy(update={"language": language}))

        await self._hub.transact(work)

    async def change_password(self, signed: SignedIn, password: str) -> Entered:
        """A new password, for somebody :meth:`fresh`; other sessions end. Raises Denied, Weak."""
        name = signed.person.name
        if not self.fresh(signed) or not signed.has_password:
            raise Denied
        if weak := weakness(password, name):
            raise Weak(weak)
        hashed = await self._passwords.hash(password)

        async def work(uow: UnitOfWork) -> Entered:
            account = await accounts.existing(uow, name)
            changed = await accounts.change(
                uow, account, name, "password_changed", password=hashed, epoch=account.epoch + 1
            )
            federated = await self._end(uow, signed.session_id)
            return await self._open(uow, changed, Stage.FULL, "password", federated=federated)

        return await self._hub.transact(work)

    async def new_recovery_codes(self, signed: SignedIn) -> tuple[str, ...]:
        """Ten new codes, for somebody :meth:`fresh`; the old ones are void. Raises Denied."""
        if not self.fresh(signed) or not signed.has_totp:
            raise Denied
        codes = tuple(totp.new_recovery_codes())

        async def work(uow: UnitOfWork) -> None:
            account = await accounts.existing(uow, signed.person.name)
            hashes = tuple(totp.recovery_hash(c) for c in codes)
            await accounts.change(uow, account, account.name, "recovery_codes", recovery=hashes)

        await self._hub.transact(work)
        return codes

    async def account(self, name: str) -> Account | None:
        return await accounts.find(self._hub.unit(), name)

    async def sessions_of(self, name: str) -> list[Session]:
        """The living sessions of an account, the newest first."""
        account = await self.account(name)
        docs = await self._hub.store.find(SESSIONS, {"name": name}, sort=(("started_at", -1),))
        return [s for s in map(SESSIONS.decode, docs) if self._alive(s, account)]

    # -- what administrators do ------------------------------------------------------------------

    async def everybody(self) -> list[Account]:
        docs = await self._hub.store.find(ACCOUNTS, {}, sort=(("_id", 1),))
        return [ACCOUNTS.decode(doc) for doc in docs]

    async def administer(
        self,
        signed: SignedIn,
        change: Change,
        name: str,
        *,
        roles: Iterable[str] = (),
        queues: Iterable[str] = (),
    ) -> str | None:
        """Change somebody else's account, for a person with the permission who is :meth:`fresh`.
        Returns the invitation, where one was made. Raises Denied and Refused.
        """
        if not signed.person.may(Permission.PEOPLE) or not self.fresh(signed):
            raise Denied
        by = signed.person.name
        if name == by:
            raise Refused("Nobody changes their own account here.", "Ask another administrator.")

        async def work(uow: UnitOfWork) -> str | None:
            match change:
                case Change.INVITE:
                    return await accounts.invite(uow, name, by=by, roles=roles, queues=queues)
                case Change.ROLES:
                    await accounts.set_roles(uow, name, roles, queues, by=by)
                case Change.DISABLE:
                    await accounts.disable(uow, name, by=by)
                case Change.ENABLE:
                    await accounts.enable(uow, name, by=by)
                case Change.RESET_TOTP:
                    await accounts.reset_totp(uow, name, by=by)
                case Change.END_SESSIONS:
                    await accounts.end_sessions(uow, name, by=by)
            return None

        return await self._hub.transact(work)

    # -- pieces ----------------------------------------------------------------------------------

    async def _try(self, name: str, how: How) -> bool:
        """Count a try, before anything is looked at. False: the name waits. Raises Denied."""
        if not self._rate.take():
            measure.record_sign_in(self._hub.metrics, how, "busy")
            raise Denied(busy=True)

        async def work(uow: UnitOfWork) -> bool:
            account = await accounts.find(uow, name)
            if await limits.count(uow, name) is None:
                return False
            await self._row(uow, account.name if account else "unknown", f"tried_{how}")
            return True

        return await self._hub.transact(work)

    async def _second(
        self, uow: UnitOfWork, account: Account | None, code: str
    ) -> dict[str, object] | None:
        """What a right code changes in the account, which uses it up; None: it is wrong."""
        sealed = account.totp if account is not None else None
        # One query for the key, whether there is one or not.
        await uow.keys.load([key_of(sealed) if sealed else "-"])
        secret = await accounts.open_totp(uow, sealed) if sealed else _NOBODY
        after = account.totp_step if account is not None else 0
        step = totp.matching_step(secret, code, self._hub.clock.now(), after)
        mark = totp.recovery_hash(code)
        if account is None or sealed is None:
            return None
        if step is not None:
            return {"totp_step": step}
        if mark in account.recovery:
            return {"recovery": tuple(r for r in account.recovery if r != mark)}
        return None

    async def _begin(
        self,
        account: Account,
        stage: Stage,
        changes: Mapping[str, object],
        how: How,
        half: Halfway | None = None,
    ) -> Entered:
        """A session for an account that is still as it was when its proof was looked at."""

        async def work(uow: UnitOfWork) -> Entered:
            present = await accounts.find(uow, account.name)
            if present != account:
                raise self._denied(how)
            changed = account.model_copy(update=changes)
            uow.put(ACCOUNTS, changed)
            federated = await self._end(uow, half.session_id) if half is not None else False
            return await self._open(uow, changed, stage, how, federated=federated)

        return self._in(await self._hub.transact(work), how)

    async def _open(
        self,
        uow: UnitOfWork,
        account: Account,
        stage: Stage,
        how: How,
        codes: tuple[str, ...] = (),
        *,
        federated: bool,
    ) -> Entered:
        word = sessions.start(uow, account, stage, self._lifetimes, federated=federated)
        if stage is Stage.FULL:
            await accounts.forgive(uow, account.name)
        await self._row(uow, account.name, f"{how}_{stage}")
        return Entered(word, stage, account.language, codes)

    async def _again(
        self, uow: UnitOfWork, session: Session, account: Account, changes: Mapping[str, object]
    ) -> Entered:
        if changes:
            uow.put(ACCOUNTS, account.model_copy(update=changes))
        await accounts.forgive(uow, account.name)
        await self._row(uow, account.name, "stepped_up")
        return Entered(await sessions.rotate(uow, session), Stage.FULL, account.language)

    async def _half(self, uow: UnitOfWork, half: Halfway) -> Account:
        """The account of a session that is still halfway. Raises Denied."""
        session = await uow.get(SESSIONS, half.session_id)
        account = await accounts.find(uow, half.name)
        if session is None or account is None or not self._alive(session, account):
            raise self._denied("second")
        return account

    async def _end(self, uow: UnitOfWork, session_id: str) -> bool:
        """Forget a session; whether it was federated."""
        session = await uow.get(SESSIONS, session_id)
        await uow.delete(SESSIONS, session_id)
        return session is not None and session.federated

    async def _forgive(self, name: str) -> None:
        async def work(uow: UnitOfWork) -> None:
            await accounts.forgive(uow, name)

        await self._hub.transact(work)

    async def _row(self, uow: UnitOfWork, who: str, what: str) -> None:
        await journal(uow, watched("sign_in", who, uow.now()), who, what)

    def _denied(self, how: How) -> Denied:
        measure.record_sign_in(self._hub.metrics, how, "denied")
        return Denied()

    def _in(self, entered: Entered, how: How) -> Entered:
        measure.record_sign_in(self._hub.metrics, how, "in")
        return entered


def _name(typed: str) -> str:
    return typed.strip().casefold()[:80]


def open_access(
    hub: Hub, settings: TriageSettings, *, code_version: int, default_language: str
) -> Access:
    """The door as the settings want it. Raises SettingsError."""
    oidc: Oidc | None = None
    if settings.triage_oidc is not None:
        back = f"{settings.triage_public_url}/{default_language}/{BACK}"
        oidc = Oidc(read_provider(settings.triage_oidc), hub.clock, back=back)
    return Access(
        hub,
        Passwords(
            memory_kib=settings.triage_argon2_memory_kib, passes=settings.triage_argon2_passes
        ),
        code_version=code_version,
        secure=settings.triage_public_url.startswith("https://"),
        lifetimes=Lifetimes(
            idle=timedelta(minutes=settings.triage_idle_minutes),
            whole=timedelta(hours=settings.triage_session_hours),
        ),
        rate=settings.triage_sign_in_rate,
        oidc=oidc,
    )


#: The page a provider sends people back to, below the pack's default language.
BACK = "sign-in/back"
