# SPDX-License-Identifier: Apache-2.0
"""In and out: every state of an account, every way in, and what nobody learns on the way."""

import asyncio
import itertools
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from argon2 import extract_parameters
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response
from wasl_triage.access import accounts, totp
from wasl_triage.access.accounts import Refused, State
from wasl_triage.access.door import Access, Change, Denied, Entered, Weak
from wasl_triage.access.limits import FREE, MOST, wait_after
from wasl_triage.access.passwords import Passwords, Weakness
from wasl_triage.access.sessions import Stage
from wasl_triage.domain.people import Permission, Role

PASSWORD = "tournesol vif, canard lent"
OTHER = "orage doux sur colline"
Ask = Callable[..., Request]


async def _denied(work: Any) -> None:
    with pytest.raises(Denied) as caught:
        await work
    assert not caught.value.busy


# -- the way in ------------------------------------------------------------------------------------


async def test_from_the_invitation_to_a_session(people: Any) -> None:
    entered = await people.first("amal", "analyst", "child_safety")
    signed = await people.signed(entered)
    assert signed.person.name == "amal"
    assert signed.person.roles == {Role.ANALYST, Role.CHILD_SAFETY}
    assert (signed.lang, signed.accepted, signed.has_totp) == ("fr", False, True)
    assert len(entered.recovery) == 10
    account = people.account()
    assert (account.state, account.invitation, account.totp_new) == (State.ACTIVE, None, None)
    assert people.told("people") == [
        ("operator:x", "invited", "amal analyst,child_safety *"),
        ("amal", "totp_set", "amal"),
    ]
    assert [what for _, what, _ in people.told("sign_in|amal")] == [
        "tried_invitation", "invitation_enrol", "tried_second", "second_full",
    ]  # fmt: skip
    assert await people.is_in(await people.sign_in())


async def test_an_invitation_is_used_once_by_the_person_it_names_within_three_days(
    people: Any,
) -> None:
    token, other = await people.invite("amal"), await people.invite("badr")
    await _denied(people.access.first("badr", token, PASSWORD, "fr"))
    await _denied(people.access.first("amal", "", PASSWORD, "fr"))
    await _denied(people.access.first("nobody", token, PASSWORD, "fr"))
    await people.access.first("amal", token, PASSWORD, "fr")
    await _denied(people.access.first("amal", token, OTHER, "fr"))
    people.later(hours=72)
    await _denied(people.access.first("badr", other, PASSWORD, "fr"))
    assert people.account("badr").state is State.INVITED


async def test_a_weak_password_is_refused_only_after_the_invitation_held(people: Any) -> None:
    token = await people.invite("amal")
    await _denied(people.access.first("amal", "wrong", "short", "fr"))
    for _ in range(MOST):  # choosing is no guessing
        people.later(seconds=1)
        with pytest.raises(Weak) as caught:
            await people.access.first("amal", token, "short", "fr")
        assert caught.value.weakness is Weakness.SHORT
    await people.access.first("amal", token, PASSWORD, "fr")


async def test_nobody_is_in_before_the_second_factor_is_set(people: Any, asking: Ask) -> None:
    entered = await people.access.first("amal", await people.invite(), PASSWORD, "fr")
    assert entered.stage is Stage.ENROL
    assert not await people.is_in(entered)
    half = await people.half(entered)
    secret = await people.access.enrolment(half)
    assert await people.access.enrolment(half) == secret  # the page can be reloaded
    await _denied(people.access.enrol(half, "000000"))
    people.later(minutes=10)
    assert await people.access.halfway(asking(people.access, entered)) is None
    await _denied(people.access.enrolment(half))
    again = await people.access.sign_in("amal", PASSWORD, "")
    done = await people.enrol("amal", again)
    assert await people.is_in(done)
    # What was halfway is over, also for somebody who kept it.
    assert await people.access.halfway(asking(people.access, again)) is None
    await _denied(people.access.enrol(half, people.code()))


@pytest.mark.parametrize(
    ("name", "password", "code"),
    [
        ("amal", "wrong password!", None),
        ("amal", PASSWORD, "000000"),
        ("amal", PASSWORD, ""),
        ("amal", "", None),
        ("nobody", PASSWORD, None),
        ("", "", ""),
        ("-", PASSWORD, None),
        ("amal\0", PASSWORD, None),
        ("\ud800", "\ud800", "\ud800"),
        ("a" * 10_000, "b" * 10_000, "1" * 10_000),
    ],
)
async def test_whatever_is_wrong_the_answer_is_the_same(
    people: Any, name: str, password: str, code: str | None
) -> None:
    await people.first()
    given = people.code() if code is None else code
    with pytest.raises(Denied) as caught:
        await people.access.sign_in(name, password, given)
    assert str(caught.value) == "denied"
    assert people.count("password", "denied") == 1
    assert people.trail("sign_in|")[-1].what == "tried_password"


async def test_whoever_does_not_exist_costs_the_same_queries_and_the_same_hash(
    people: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await people.first("amal")
    await people.first("badr")
    await people.disable("badr")
    token = await people.invite("chadi")
    calls: list[str] = []
    store = people.hub.store
    for method in ("read", "find", "commit"):
        plain = getattr(store, method)

        def counted(*args: Any, plain: Any = plain, method: str = method, **more: Any) -> Any:
            calls.append(method if method == "commit" else f"{method} {args[0].name}")
            return plain(*args, **more)

        monkeypatch.setattr(store, method, counted)
    verify = Passwords._verify

    def hashed(self: Any, stored: str, password: bytes) -> bool:
        calls.append("hash")
        return verify(self, stored, password)

    monkeypatch.setattr(Passwords, "_verify", hashed)
    seen = []
    for name in ("amal", "badr", "chadi", "nobody", "-"):
        calls.clear()
        await _denied(people.access.sign_in(name, "wrong password!", "000000"))
        seen.append(list(calls))
    assert all(calls == seen[0] for calls in seen), seen
    assert seen[0].count("hash") == 1
    assert token not in people.stored()


async def test_names_are_read_as_people_type_them(people: Any) -> None:
    await people.first("amal")
    code = people.code()
    assert await people.is_in(await people.access.sign_in("  Amal ", PASSWORD, code))


# -- codes -----------------------------------------------------------------------------------------


async def test_a_code_opens_once(people: Any) -> None:
    await people.first()
    code = people.code()
    await people.access.sign_in("amal", PASSWORD, code)
    await _denied(people.access.sign_in("amal", PASSWORD, code))


async def test_a_code_used_twice_at_once_opens_once(people: Any) -> None:
    await people.first()
    code = people.code()
    both = await asyncio.gather(
        *(people.access.sign_in("amal", PASSWORD, code) for _ in range(2)), return_exceptions=True
    )
    assert {type(r) for r in both} == {Denied, Entered}


async def test_a_recovery_code_opens_once_instead_of_the_app(people: Any) -> None:
    await people.first()
    code = people.codes["amal"][3]
    assert await people.is_in(await people.access.sign_in("amal", PASSWORD, code.lower()))
    await _denied(people.access.sign_in("amal", PASSWORD, code))
    assert len(people.account().recovery) == 9
    # The password is needed all the same.
    await _denied(people.access.sign_in("amal", "wrong password!", people.codes["amal"][4]))


async def test_new_recovery_codes_void_the_old_ones(people: Any) -> None:
    signed = await people.signed(await people.first())
    fresh = await people.access.new_recovery_codes(signed)
    await _denied(people.access.sign_in("amal", PASSWORD, people.codes["amal"][0]))
    assert await people.is_in(await people.access.sign_in("amal", PASSWORD, fresh[0]))


async def test_a_lost_authenticator_is_replaced_and_its_key_destroyed(people: Any) -> None:
    entered = await people.first()
    sealed = people.account().totp
    await people.run(lambda uow: accounts.reset_totp(uow, "amal", by="operator:x"))
    assert not await people.is_in(entered)
    await _denied(people.access.sign_in("amal", "wrong password!", ""))
    again = await people.access.sign_in("amal", PASSWORD, "")
    assert again.stage is Stage.ENROL
    old = people.apps["amal"]
    await people.enrol("amal", again)
    assert people.apps["amal"] != old
    key = people.hub.store.docs["keys"][sealed.split(".")[1]]
    assert key["wrapped"] is None


# -- waits -----------------------------------------------------------------------------------------


async def test_a_name_waits_after_failures_and_says_so_to_nobody(people: Any) -> None:
    await people.first()
    for _ in range(FREE + 1):
        await _denied(people.access.sign_in("amal", "wrong password!", "000000"))
    # Right, and still told the same: else guessing would go on through the wait.
    await _denied(people.sign_in())
    people.later(seconds=59 - totp.STEP_SECONDS)
    tries = len(people.trail("sign_in|amal"))
    await _denied(people.access.sign_in("amal", PASSWORD, people.codes["amal"][0]))
    assert len(people.trail("sign_in|amal")) == tries  # not looked at, not counted
    people.later(minutes=1)
    assert await people.is_in(await people.sign_in())
    # And it begins anew.
    await _denied(people.access.sign_in("amal", "wrong password!", "000000"))
    assert await people.is_in(await people.sign_in())


async def test_tries_at_once_are_counted_before_they_are_looked_at(people: Any) -> None:
    await people.first()
    guesses = [people.access.sign_in("amal", f"wrong password {n}", "") for n in range(40)]
    assert {type(r) for r in await asyncio.gather(*guesses, return_exceptions=True)} <= {
        Denied, Exception, *_conflicts(),
    }  # fmt: skip
    looked_at = [r for r in people.trail("sign_in|amal") if r.what == "tried_password"]
    assert len(looked_at) == FREE + 1


def _conflicts() -> tuple[type[Exception], ...]:
    from wasl_chassis.failures import Conflict

    return (Conflict,)


@settings(max_examples=30, deadline=None)
@given(pauses=st.lists(st.floats(0, 3600), min_size=1, max_size=130))
async def test_however_they_are_spread_few_guesses_are_looked_at(pauses: list[float]) -> None:
    from triage_world import Hub
    from wasl_triage.access import limits

    hub = Hub()
    looked_at: list[float] = []
    for pause in pauses:
        hub.clock.advance(timedelta(seconds=pause))
        uow = hub.unit()
        if await limits.count(uow, "amal") is not None:
            looked_at.append(hub.clock.monotonic())
        await hub.commit(uow)
    assert len(looked_at) <= MOST
    for number, (before, after) in enumerate(itertools.pairwise(looked_at), 1):
        wait = wait_after(number)
        assert wait is not None
        assert after - before >= wait.total_seconds() - 0.01
    if len(looked_at) < len(pauses):
        assert len(looked_at) > FREE


async def test_after_a_hundred_failures_only_an_administrator_lets_in(people: Any) -> None:
    await people.first()
    for _ in range(MOST):
        people.later(minutes=16)
        await _denied(people.access.sign_in("amal", "wrong password!", "000000"))
    people.later(days=365)
    await _denied(people.sign_in())
    await people.run(lambda uow: accounts.enable(uow, "amal", by="operator:x"))
    assert await people.is_in(await people.sign_in())


async def test_a_process_looks_at_so_many_a_second_whoever_asks(people: Any) -> None:
    await people.first()
    access, code = people.door(rate=1), people.code()
    for n in range(20):
        await _denied(access.sign_in(f"nobody-{n}", "wrong password!", ""))
    tries = len(people.trail("sign_in|"))
    with pytest.raises(Denied) as caught:
        await access.sign_in("amal", PASSWORD, code)
    assert caught.value.busy
    assert len(people.trail("sign_in|")) == tries  # not counted against the name
    assert people.count("password", "busy") == 1
    people.later(seconds=1)
    assert await people.is_in(await access.sign_in("amal", PASSWORD, code))


# -- sessions --------------------------------------------------------------------------------------


async def test_a_session_ends_with_silence(people: Any) -> None:
    entered = await people.first()
    for _ in range(5):
        people.later(minutes=15)
        await people.access.touch(await people.signed(entered))
    people.later(minutes=19)
    assert await people.is_in(entered)  # looking does not prolong
    people.later(minutes=1)
    assert not await people.is_in(entered)


async def test_a_session_ends_with_its_day_whatever_is_done(people: Any) -> None:
    entered = await people.first()
    for _ in range(39):
        people.later(minutes=15)
        await people.access.touch(await people.signed(entered))
    people.later(minutes=15)
    assert not await people.is_in(entered)


async def test_prolonging_writes_once_a_minute(people: Any) -> None:
    signed = await people.signed(await people.first())
    before = people.hub.store.docs["sessions"][signed.session_id]["_rev"]
    for _ in range(6):
        people.later(seconds=20)
        await people.access.touch(signed)
    assert people.hub.store.docs["sessions"][signed.session_id]["_rev"] == before + 2


@pytest.mark.parametrize(
    "change",
    [
        lambda uow: accounts.disable(uow, "amal", by="operator:x"),
        lambda uow: accounts.set_roles(uow, "amal", ["auditor"], ["*"], by="operator:x"),
        lambda uow: accounts.reset_totp(uow, "amal", by="operator:x"),
        lambda uow: accounts.end_sessions(uow, "amal", by="operator:x"),
    ],
)
async def test_every_session_ends_where_rights_change(people: Any, change: Any) -> None:
    one, two = await people.first(), await people.sign_in()
    await people.first("badr")
    other = await people.sign_in("badr")
    await people.run(change)
    assert not await people.is_in(one)
    assert not await people.is_in(two)
    assert await people.is_in(other)
    assert await people.access.sessions_of("amal") == []


async def test_a_disabled_account_stays_out_until_it_is_enabled(people: Any) -> None:
    await people.first()
    await people.disable()
    await _denied(people.sign_in())
    with pytest.raises(Refused, match="disabled"):
        await people.invite("amal")
    await people.run(lambda uow: accounts.enable(uow, "amal", by="operator:x"))
    assert await people.is_in(await people.sign_in())


async def test_disabling_voids_an_invitation(people: Any) -> None:
    token = await people.invite()
    await people.disable()
    await _denied(people.access.first("amal", token, PASSWORD, "fr"))
    await people.run(lambda uow: accounts.enable(uow, "amal", by="operator:x"))
    await _denied(people.access.first("amal", token, PASSWORD, "fr"))


async def test_signing_out_ends_this_session_and_everywhere_all(people: Any, asking: Ask) -> None:
    one, two, three = await people.first(), await people.sign_in(), await people.sign_in()
    assert await people.access.sign_out(asking(people.access, one)) is False
    assert not await people.is_in(one)
    assert len(await people.access.sessions_of("amal")) == 2
    await people.access.sign_out_everywhere(await people.signed(two))
    assert not await people.is_in(three)
    assert await people.access.sign_out(asking(people.access)) is False


async def test_what_the_database_holds_opens_no_session(people: Any, asking: Ask) -> None:
    entered = await people.first()
    stored = people.stored()
    assert entered.word not in stored
    (session_id,) = list(people.hub.store.docs["sessions"])
    assert (
        await people.access.signed_in(asking(people.access, Entered(session_id, Stage.FULL, "fr")))
        is None
    )
    signed = await people.signed(entered)
    assert signed.csrf not in stored


@pytest.mark.parametrize(
    ("secure", "expected"),
    [
        (True, "__Host-wasl-desk=w; Path=/; HttpOnly; SameSite=Strict; Secure"),
        (False, "wasl-desk=w; Path=/; HttpOnly; SameSite=Strict"),
    ],
)
def test_the_cookie_is_ours_alone(people: Any, secure: bool, expected: str) -> None:
    access: Access = people.door(secure=secure)
    response = access.enter(Response(), Entered("w", Stage.FULL, "fr"))
    assert response.headers["set-cookie"] == expected
    assert (
        access.leave(Response()).headers["set-cookie"]
        == expected.replace("=w;", "=;") + "; Max-Age=0"
    )


async def test_a_cookie_under_the_plain_name_is_nothing_over_tls(people: Any, asking: Ask) -> None:
    entered = await people.first()
    assert (
        await people.access.signed_in(asking(people.access, **{"wasl-desk": entered.word})) is None
    )


# -- asked again -----------------------------------------------------------------------------------


async def test_some_rights_want_a_recent_proof(people: Any) -> None:
    entered = await people.first("amal", "administrator")
    signed = await people.signed(entered)
    assert people.access.fresh(signed, Permission.PEOPLE)
    people.later(minutes=10)
    signed = await people.signed(entered)
    for permission in (Permission.PEOPLE, Permission.PROTECT):
        assert not people.access.fresh(signed, permission)
    assert people.access.fresh(signed, Permission.UNMASK)
    assert not people.access.fresh(signed, Permission.UNMASK, restricted=True)
    assert people.access.fresh(signed, Permission.READ)
    assert not people.access.fresh(signed)
    await _denied(people.access.step_up(signed, "wrong password!", ""))
    await _denied(people.access.step_up(signed, "", ""))
    await _denied(people.access.step_up(signed, "", "000000"))
    again = await people.access.step_up(signed, "", people.code())
    assert not await people.is_in(entered)  # the word changed
    assert people.access.fresh(await people.signed(again), Permission.PEOPLE)
    people.later(minutes=10)
    by_password = await people.access.step_up(await people.signed(again), PASSWORD, "")
    assert people.access.fresh(await people.signed(by_password), Permission.PEOPLE)


async def test_a_session_asked_again_lives_no_longer(people: Any) -> None:
    entered = await people.first()
    for _ in range(30):
        people.later(minutes=18)
        entered = await people.access.step_up(await people.signed(entered), PASSWORD, "")
    people.later(minutes=18)
    assert await people.is_in(entered)
    for _ in range(3):
        people.later(minutes=15)
        if await people.is_in(entered):
            await people.access.touch(await people.signed(entered))
    assert not await people.is_in(entered)


async def test_guessing_at_the_second_question_is_counted_like_at_the_first(people: Any) -> None:
    signed = await people.signed(await people.first())
    for _ in range(FREE + 1):
        await _denied(people.access.step_up(signed, "wrong password!", ""))
    await _denied(people.access.step_up(signed, PASSWORD, ""))
    await _denied(people.sign_in())


async def test_a_new_password_needs_a_recent_proof_and_ends_other_sessions(people: Any) -> None:
    entered, other = await people.first(), None
    other = await people.sign_in()
    signed = await people.signed(entered)
    with pytest.raises(Weak):
        await people.access.change_password(signed, "amal amal amal")
    again = await people.access.change_password(signed, OTHER)
    assert await people.is_in(again)
    assert not await people.is_in(entered)
    assert not await people.is_in(other)
    await _denied(people.sign_in())
    assert await people.is_in(await people.sign_in(password=OTHER))
    people.later(minutes=10)
    with pytest.raises(Denied):
        await people.access.change_password(await people.signed(again), PASSWORD)
    with pytest.raises(Denied):
        await people.access.new_recovery_codes(await people.signed(again))


async def test_a_forgotten_password_is_replaced_by_an_invitation_and_the_second_factor(
    people: Any,
) -> None:
    entered = await people.first()
    token = await people.invite("amal")
    assert await people.is_in(entered)
    half = await people.access.first("amal", token, OTHER, "ar")
    assert half.stage is Stage.SECOND
    assert not await people.is_in(entered)
    await _denied(people.access.second(await people.half(half), "000000"))
    await _denied(people.access.enrol(await people.half(half), people.code()))
    done = await people.access.second(await people.half(half), people.code())
    assert await people.is_in(done)
    assert people.account().roles == {Role.ANALYST}


async def test_hashes_follow_the_parameters_at_the_next_sign_in(people: Any) -> None:
    await people.first()
    old = people.account().password
    stronger = Access(
        people.hub, Passwords(memory_kib=128, passes=2), code_version=3, secure=True, rate=1000
    )
    await stronger.sign_in("amal", PASSWORD, people.code())
    new = people.account().password
    assert (new != old, extract_parameters(new).memory_cost) == (True, 128)
    await stronger.sign_in("amal", PASSWORD, people.code())
    assert people.account().password == new


# -- the code of conduct, and what people prefer ---------------------------------------------------


async def test_a_new_code_of_conduct_is_asked_for_again(people: Any) -> None:
    entered = await people.first()
    signed = await people.signed(entered)
    assert not signed.accepted
    await people.access.accept(signed)
    assert (await people.signed(entered)).accepted
    assert ("amal", "code_accepted", "amal 3") in people.told("people")
    newer = people.door(code_version=4)
    found = await newer.signed_in(_as(newer, entered))
    assert found is not None
    assert not found.accepted


def _as(access: Access, entered: Entered) -> Request:
    line = access.enter(Response(), entered).headers["set-cookie"].partition(";")[0]
    return Request({"type": "http", "headers": [(b"cookie", line.encode())]})


async def test_the_language_is_that_of_the_first_page_until_it_is_changed(people: Any) -> None:
    entered = await people.first()
    signed = await people.signed(entered)
    assert signed.lang == "fr"
    await people.access.speak(signed, "ar")
    assert (await people.signed(entered)).lang == "ar"


# -- administrators --------------------------------------------------------------------------------


async def test_an_administrator_changes_others_and_never_themselves(people: Any) -> None:
    boss = await people.signed(await people.first("badr", "administrator"))
    token = await people.access.administer(
        boss, Change.INVITE, "amal", roles=["analyst"], queues=["*"]
    )
    entered = await people.enrol("amal", await people.access.first("amal", token, PASSWORD, "fr"))
    await people.access.administer(
        boss, Change.ROLES, "amal", roles=["auditor"], queues=["general"]
    )
    assert not await people.is_in(entered)
    account = people.account()
    assert (account.roles, account.queues) == ({Role.AUDITOR}, {"general"})
    for change in (Change.RESET_TOTP, Change.END_SESSIONS, Change.DISABLE, Change.ENABLE):
        assert await people.access.administer(boss, change, "amal") is None
    assert [(who, what) for who, what, _ in people.told("people")][-5:] == [
        ("badr", "roles_changed"), ("badr", "totp_reset"), ("badr", "sessions_ended"),
        ("badr", "disabled"), ("badr", "enabled"),
    ]  # fmt: skip
    for change in Change:
        with pytest.raises(Refused, match="own account"):
            await people.access.administer(boss, change, "badr", roles=["analyst"], queues=["*"])
    assert people.account("badr").roles == {Role.ADMINISTRATOR}


async def test_nobody_else_administers_and_nobody_without_a_recent_proof(people: Any) -> None:
    await people.first("chadi")
    for role in Role:
        if role is Role.ADMINISTRATOR:
            continue
        name = f"p-{role.value}"
        signed = await people.signed(await people.first(name, role.value))
        for change in Change:
            await _denied(
                people.access.administer(
                    signed, change, "chadi", roles=["administrator"], queues=["*"]
                )
            )
    boss = await people.signed(await people.first("badr", "administrator"))
    people.later(minutes=10)
    await _denied(people.access.administer(boss, Change.DISABLE, "chadi"))
    assert people.account("chadi").state is State.ACTIVE


# -- names and roles -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["", "Amal", "a b", "clock", "country_pack", "unknown", "../x", "é"]
)
async def test_names_that_are_none(people: Any, name: str) -> None:
    with pytest.raises(Refused):
        await people.invite(name)


@pytest.mark.parametrize(
    ("roles", "queues"), [([], ["*"]), (["boss"], ["*"]), (["analyst"], []), (["analyst"], ["A B"])]
)
async def test_roles_and_queues_that_are_none(
    people: Any, roles: list[str], queues: list[str]
) -> None:
    with pytest.raises(Refused):
        await people.run(
            lambda uow: accounts.invite(uow, "amal", by="x", roles=roles, queues=queues)
        )
    await people.first()
    with pytest.raises(Refused):
        await people.run(lambda uow: accounts.set_roles(uow, "amal", roles, queues, by="x"))


async def test_nothing_is_done_to_whoever_does_not_exist(people: Any) -> None:
    for change in (accounts.disable, accounts.enable, accounts.reset_totp, accounts.end_sessions):
        with pytest.raises(Refused, match="no account"):
            await people.run(lambda uow, change=change: change(uow, "nobody", by="x"))


# -- secrets ---------------------------------------------------------------------------------------


async def test_no_secret_is_stored_logged_or_counted(
    people: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = await people.invite()
    entered = await people.access.first("amal", token, PASSWORD, "fr")
    done = await people.enrol("amal", entered)
    code = people.code()
    await people.access.sign_in("amal", PASSWORD, code)
    await _denied(people.access.sign_in("zqcanary-name", "zqcanary password", "zqcanarycode"))
    secret = people.apps["amal"]
    secrets = {
        token, PASSWORD, entered.word, done.word, *done.recovery, secret.hex(),
        totp.typed(secret).replace(" ", ""), "zqcanary",
    }  # fmt: skip
    places = {
        "database": people.stored(),
        "log": " ".join(str(r.__dict__) for r in caplog.records),
        "metrics": people.hub.metrics.exposition().decode(),
    }
    for place, text in places.items():
        found = {s for s in secrets if s.lower() in text.lower()}
        assert not found, place
