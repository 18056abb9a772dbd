# SPDX-License-Identifier: Apache-2.0
"""The pages of coming in and going out, of one's own account, and of everybody's.

What a page says after a failed try is the same whatever was wrong. Secrets (an invitation, a TOTP
secret, recovery codes) are shown on the answer that makes them and nowhere again.
"""

import hmac
import re
from collections.abc import Mapping, Sequence

import segno
from fastapi import Response
from wasl_chassis.forms import Fields, first
from wasl_chassis.web import Problem

from wasl_triage.access import totp
from wasl_triage.access.accounts import INVITATION, Account, Refused
from wasl_triage.access.door import BACK, Access, Change, Denied, Entered, Halfway, SignedIn, Weak
from wasl_triage.access.oidc import ProviderFailure
from wasl_triage.access.passwords import SHORTEST, Weakness
from wasl_triage.access.sessions import Stage
from wasl_triage.console.site import FORM_KEY, Page, Site
from wasl_triage.domain.people import EVERY_QUEUE, Permission, Role

#: What authenticator apps show above the code.
ISSUER = "Wasl"
_NEXT = re.compile(r"[a-z0-9][a-z0-9/_.-]{0,299}")


class SigningInPages:
    """``public_url``: of the desk, for coming back from another organisation's service."""

    def __init__(self, site: Site, access: Access, public_url: str) -> None:
        self._access, self._public_url = access, public_url
        site.add("sign-in", get=self._ask, post=self._sign_in, open_to_all=True)
        site.add("sign-in/first", get=self._first, post=self._set_password, open_to_all=True)
        site.add("sign-in/authenticator", get=self._scan, post=self._confirm_app, open_to_all=True)
        site.add("sign-in/code", get=self._ask_code, post=self._second, open_to_all=True)
        site.add("sign-in/elsewhere", get=self._elsewhere, open_to_all=True)
        site.add(BACK, get=self._back, open_to_all=True)
        site.add("sign-out", post=self._sign_out, open_to_all=True)
        site.add("code", get=self._code, post=self._accept)
        site.add("confirm", get=self._ask_again, post=self._step_up)
        site.add("confirm/elsewhere", get=self._again_elsewhere)
        site.add("confirm/form/{form_id}", get=self._form)
        site.add("account", get=self._account)
        site.add("account/password", post=self._password)
        site.add("account/recovery", post=self._recovery)
        site.add("account/language", post=self._language)
        site.add("account/sessions", post=self._end_sessions)
        people = Permission.PEOPLE
        site.add("people", get=self._people, post=self._invite, needs=people)
        site.add("people/{name}", get=self._person, post=self._change, needs=people)

    # -- in --------------------------------------------------------------------------------------

    async def _ask(self, page: Page) -> Response:
        wanted = _next(page.request.query_params.get("next", ""))
        if page.signed is not None:
            return page.go(wanted)
        return self._sign_in_page(page, wanted)

    def _sign_in_page(
        self, page: Page, wanted: str, name: str = "", denied: Denied | None = None
    ) -> Response:
        provider = self._access.oidc.provider if self._access.oidc is not None else None
        return _tried(
            page, denied, "signing_in/sign_in.html", name=name, next=wanted, provider=provider
        )

    async def _sign_in(self, page: Page) -> Response:
        # Without a session there is no token: that the form is ours is told by Fetch Metadata.
        page.signed = None
        fields = await page.form(("name", "password", "code", "next"))
        name, wanted = first(fields, "name"), _next(first(fields, "next"))
        try:
            entered = await self._access.sign_in(
                name, first(fields, "password"), first(fields, "code")
            )
        except Denied as denied:
            return self._sign_in_page(page, wanted, name, denied)
        return self._on(page, entered, wanted)

    def _on(self, page: Page, entered: Entered, wanted: str = "") -> Response:
        """Further, with the session's cookie: to the wanted page, or to what is missing."""
        match entered.stage:
            case Stage.ENROL:
                response = page.go("sign-in/authenticator")
            case Stage.SECOND:
                response = page.go("sign-in/code")
            case Stage.FULL:
                response = page.go(wanted, entered.lang)
        return self._access.enter(response, entered)

    async def _first(self, page: Page) -> Response:
        return _tried(page, None, "signing_in/first.html", name="", weak="", least=SHORTEST)

    async def _set_password(self, page: Page) -> Response:
        page.signed = None
        fields = await page.form(("name", "invitation", "password"))
        name = first(fields, "name")
        denied: Denied | None = None
        weak = ""
        try:
            entered = await self._access.first(
                name, first(fields, "invitation"), first(fields, "password"), page.lang
            )
        except Weak as refused:
            weak = _weak(page, refused.weakness)
        except Denied as refused:
            denied = refused
        else:
            return self._on(page, entered)
        return _tried(
            page, denied, "signing_in/first.html", 422, name=name, weak=weak, least=SHORTEST
        )

    async def _scan(self, page: Page) -> Response:
        half = await self._access.halfway(page.request)
        if half is None or half.stage is not Stage.ENROL:
            return page.go("sign-in")
        return await self._scan_page(page, half)

    async def _scan_page(self, page: Page, half: Halfway, denied: Denied | None = None) -> Response:
        secret = await self._access.enrolment(half)
        code = segno.make(totp.address(secret, half.name, ISSUER), error="m", micro=False)
        return _tried(
            page,
            denied,
            "signing_in/authenticator.html",
            half=half,
            picture=code.svg_data_uri(scale=5, border=4, light="white"),
            secret=totp.typed(secret),
        )

    async def _confirm_app(self, page: Page) -> Response:
        half, fields = await self._halfway(page)
        if half is None or half.stage is not Stage.ENROL:
            return page.go("sign-in")
        try:
            entered = await self._access.enrol(half, first(fields, "code"))
        except Denied as denied:
            return await self._scan_page(page, half, denied)
        shown = page.show("signing_in/recovery.html", codes=entered.recovery, lang_of=entered.lang)
        return self._access.enter(shown, entered)

    async def _ask_code(self, page: Page) -> Response:
        half = await self._access.halfway(page.request)
        if half is None or half.stage is not Stage.SECOND:
            return page.go("sign-in")
        return _tried(page, None, "signing_in/code.html", half=half)

    async def _second(self, page: Page) -> Response:
        half, fields = await self._halfway(page)
        if half is None or half.stage is not Stage.SECOND:
            return page.go("sign-in")
        try:
            entered = await self._access.second(half, first(fields, "code"))
        except Denied as denied:
            return _tried(page, denied, "signing_in/code.html", half=half)
        return self._on(page, entered)

    async def _halfway(self, page: Page) -> tuple[Halfway | None, Fields]:
        """Who is halfway, and their form, seen to be ours. Raises Problem."""
        page.signed = None
        fields = await page.form(("code",))
        half = await self._access.halfway(page.request)
        if half is not None and not hmac.compare_digest(
            first(fields, FORM_KEY).encode(), half.csrf.encode()
        ):
            raise Problem(403, "The form is not of this session", "Open the page again.")
        return half, fields

    # -- over another organisation's service -----------------------------------------------------

    async def _elsewhere(self, page: Page) -> Response:
        return await self._depart(page, _next(page.request.query_params.get("next", "")), None)

    async def _again_elsewhere(self, page: Page) -> Response:
        wanted = _next(page.request.query_params.get("next", ""))
        return await self._depart(page, wanted, _me(page))

    async def _depart(self, page: Page, wanted: str, signed: SignedIn | None) -> Response:
        try:
            departure = await self._access.begin(page.lang, wanted, signed)
        except Denied as denied:
            return self._sign_in_page(page, wanted, denied=denied)
        except ProviderFailure as failure:
            return self._not_there(page, failure)
        response = Response(status_code=303, headers={"location": departure.address})
        return self._access.depart(response, departure)

    async def _back(self, page: Page) -> Response:
        # The browser was sent here by another site, so it brings no Strict cookie along, and would
        # bring none to where it is redirected; from a page of ours it does.
        page.signed = None
        try:
            found = await self._access.come_back(page.request)
        except ProviderFailure as failure:
            return self._access.arrive(self._not_there(page, failure))
        entered = found.entered
        path = {
            Stage.ENROL: "sign-in/authenticator",
            Stage.SECOND: "sign-in/code",
            Stage.FULL: _next(found.next),
        }[entered.stage]
        lang = entered.lang if entered.lang in page.site.languages else page.lang
        onward = f"/{lang}/{path}"
        response = page.show("signing_in/onward.html", onward=onward)
        response.headers["refresh"] = f"0;url={onward}"
        return self._access.arrive(self._access.enter(response, entered))

    def _not_there(self, page: Page, failure: ProviderFailure) -> Response:
        say = page.say
        text, fix = {
            "away": (
                say("Your organisation’s sign-in service does not answer."),
                say("Try again in a moment. Who has a password here can sign in with it."),
            ),
            "refused": (
                say("Your organisation’s sign-in service did not sign you in."),
                say("Try again, or ask whoever runs it."),
            ),
            "answer": (
                say("This answer is too old, or was used already."),
                say("Begin again on this device."),
            ),
            "token": (
                say("The answer of your organisation’s sign-in service cannot be trusted."),
                say("Tell the hub’s operator."),
            ),
            "not_mapped": (
                say("Your organisation gives you no role at this desk."),
                say("Ask whoever leads your team for one."),
            ),
            "name": (
                say("Your name at this desk is missing or taken."),
                say("Tell the hub’s operator."),
            ),
            "disabled": (
                say("Your account at this desk is disabled."),
                say("Ask whoever leads your team."),
            ),
        }[failure.why]
        status = 503 if failure.why == "away" else 403
        return page.show("signing_in/not_there.html", status, text=text, fix=fix)

    # -- out -------------------------------------------------------------------------------------

    async def _sign_out(self, page: Page) -> Response:
        await page.form(())
        federated = await self._access.sign_out(page.request)
        page.signed = None
        oidc = self._access.oidc
        back = f"{self._public_url}{page.href('sign-in')}"
        there = await oidc.way_out(back) if federated and oidc is not None else None
        return self._access.leave(page.show("signing_in/signed_out.html", there=there))

    # -- signed in -------------------------------------------------------------------------------

    async def _code(self, page: Page) -> Response:
        return page.show("signing_in/conduct.html", accepted=_me(page).accepted)

    async def _accept(self, page: Page) -> Response:
        await page.form(())
        await self._access.accept(_me(page))
        return page.go("")

    async def _ask_again(self, page: Page) -> Response:
        wanted = _next(page.request.query_params.get("next", ""))
        return self._again_page(page, wanted)

    def _again_page(self, page: Page, wanted: str, denied: Denied | None = None) -> Response:
        return _tried(page, denied, "signing_in/confirm.html", next=wanted, me=_me(page))

    async def _step_up(self, page: Page) -> Response:
        fields = await page.form(("password", "code"))
        wanted = _next(page.request.query_params.get("next", ""))
        try:
            entered = await self._access.step_up(
                _me(page), first(fields, "password"), first(fields, "code")
            )
        except Denied as denied:
            return self._again_page(page, wanted, denied)
        return self._access.enter(page.go(wanted), entered)

    async def _form(self, page: Page) -> Response:
        """What was kept while a proof was asked for, to be sent again by the person."""
        form = await self._access.kept(page.request, _me(page), page.request.path_params["form_id"])
        if form is None:
            text = page.say("What you typed is not kept any more, or not in this browser.")
            return page.trouble(410, text)
        back = page.site.page_of(form.path)
        return page.show("signing_in/kept.html", form=form, back=back)

    async def _account(self, page: Page) -> Response:
        return await self._account_page(page)

    async def _account_page(self, page: Page, status: int = 200, weak: str = "") -> Response:
        me = _me(page)
        account = await self._access.account(me.person.name)
        return page.show(
            "signing_in/account.html",
            status,
            me=me,
            account=account,
            sessions=await self._access.sessions_of(me.person.name),
            fresh=self._access.fresh(me),
            weak=weak,
            least=SHORTEST,
        )

    async def _password(self, page: Page) -> Response:
        fields = await page.form(("password",))
        try:
            entered = await self._access.change_password(_me(page), first(fields, "password"))
        except Weak as refused:
            return await self._account_page(page, 422, _weak(page, refused.weakness))
        except Denied:  # a password that is not in use yet is kept nowhere, not even sealed
            return page.go("confirm?next=account")
        return self._access.enter(page.go("account"), entered)

    async def _recovery(self, page: Page) -> Response:
        await page.form(())
        try:
            codes = await self._access.new_recovery_codes(_me(page))
        except Denied:
            return await page.prove()
        return page.show("signing_in/recovery.html", codes=codes, lang_of=page.lang)

    async def _language(self, page: Page) -> Response:
        wanted = first(await page.form(("language",)), "language")
        if wanted not in page.site.languages:
            raise Problem(422, "The language is not one of the desk's")
        await self._access.speak(_me(page), wanted)
        return page.go("account", wanted)

    async def _end_sessions(self, page: Page) -> Response:
        await page.form(())
        await self._access.sign_out_everywhere(_me(page))
        return self._access.leave(page.go("sign-in"))

    # -- everybody -------------------------------------------------------------------------------

    async def _people(self, page: Page) -> Response:
        if not self._access.fresh(_me(page)):
            return page.go("confirm?next=people")
        return await self._people_page(page)

    async def _people_page(
        self, page: Page, status: int = 200, refused: Refused | None = None
    ) -> Response:
        return page.show(
            "signing_in/people.html",
            status,
            accounts=await self._access.everybody(),
            roles=list(Role),
            wrong=_refusal(page, refused),
        )

    async def _invite(self, page: Page) -> Response:
        fields = await page.form(("name",), ("roles", "queues"))
        name = first(fields, "name").strip()
        try:
            token = await self._access.administer(_me(page), Change.INVITE, name, **_held(fields))
        except Denied:
            return await page.prove()
        except Refused as refused:
            return await self._people_page(page, 422, refused)
        return self._invited(page, name, token)

    def _invited(self, page: Page, name: str, token: str | None) -> Response:
        hours = int(INVITATION.total_seconds() // 3600)
        return page.show(
            "signing_in/invited.html",
            name=name,
            token=token,
            hours=hours,
            address=f"{self._public_url}{page.href('sign-in/first')}",
        )

    async def _person(self, page: Page) -> Response:
        name = page.request.path_params["name"]
        if not self._access.fresh(_me(page)):
            return page.go(f"confirm?next=people/{name}" if _NEXT.fullmatch(name) else "confirm")
        account = await self._access.account(name)
        if account is None:
            return page.trouble(404, page.say("There is no account of this name."))
        return self._person_page(page, account)

    def _person_page(
        self, page: Page, account: Account, status: int = 200, refused: Refused | None = None
    ) -> Response:
        return page.show(
            "signing_in/person.html",
            status,
            account=account,
            roles=list(Role),
            wrong=_refusal(page, refused),
        )

    async def _change(self, page: Page) -> Response:
        fields = await page.form(("change",), ("roles", "queues"))
        name = page.request.path_params["name"]
        account = await self._access.account(name)
        if account is None:
            return page.trouble(404, page.say("There is no account of this name."))
        try:
            change = Change(first(fields, "change"))
            token = await self._access.administer(_me(page), change, name, **_held(fields))
        except ValueError:
            raise Problem(422, "The change is not one of the list") from None
        except Denied:
            return await page.prove()
        except Refused as refused:
            return self._person_page(page, account, 422, refused)
        if token is not None:
            return self._invited(page, name, token)
        return page.go(f"people/{name}")


def _me(page: Page) -> SignedIn:
    assert isinstance(page.signed, SignedIn), "a page without a session has no person"
    return page.signed


def _next(typed: str) -> str:
    """A page of ours below the language; anything else is the first page."""
    return typed if _NEXT.fullmatch(typed) and ".." not in typed else ""


def _held(fields: Fields) -> Mapping[str, Sequence[str]]:
    queues = fields.get("queues", [])
    return {
        "roles": fields.get("roles", []),
        "queues": [EVERY_QUEUE] if EVERY_QUEUE in queues else queues,
    }


def _tried(
    page: Page, denied: Denied | None, template: str, status: int = 200, **values: object
) -> Response:
    """The page, and after a denied try that it was one, without a word on what was wrong."""
    text = ""
    if denied is not None and denied.busy:
        status, text = 429, page.say("Many people are signing in. Please try again in a moment.")
    elif denied is not None:
        status = 403
        text = page.say(
            "That was not right. After several failed tries an account waits, up to a quarter of"
            " an hour, and says nothing else meanwhile."
        )
    response = page.show(template, status, denied=text, **values)
    if status == 429:
        response.headers["retry-after"] = "5"
    return response


def _weak(page: Page, weakness: Weakness) -> str:
    return {
        Weakness.SHORT: page.say("Use at least {n} characters.", n=SHORTEST),
        Weakness.LONG: page.say("This is too long."),
        Weakness.NAME: page.say("This is little more than your name. Choose something else."),
        Weakness.COMMON: page.say("Too many people choose this. Put other words together."),
    }[weakness]


def _refusal(page: Page, refused: Refused | None) -> tuple[str, str] | None:
    if refused is None:
        return None
    return page.say(str(refused)), page.say(refused.fix) if refused.fix else ""
