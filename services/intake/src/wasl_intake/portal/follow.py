# SPDX-License-Identifier: Apache-2.0
"""Behind the receipt: what happened, the thread, how we may write, withdrawing, rating.

The receipt is typed once and then kept in the sealed cookie for twenty minutes after the last use,
so it is in no address and reload and back work. Every form goes on with 303; what is refused comes
back with what was typed. A receipt that is unknown, or no longer opens, costs and says the same
whoever asks.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fastapi import FastAPI, Response
from pydantic import ValidationError
from wasl_chassis.failures import Overloaded, Retryable
from wasl_chassis.forms import Fields, first
from wasl_chassis.web import field_errors
from wasl_schemas.lifecycle import ReporterStatus

from wasl_intake.domain import receipt
from wasl_intake.domain.flood import Lane
from wasl_intake.domain.slips import Slip, hidden, slips
from wasl_intake.domain.submission import MESSAGE, MESSAGE_MAX, ContactRequest
from wasl_intake.following import ANSWERS, Correspondence, happened, unsafe
from wasl_intake.gate import Gate, Wait
from wasl_intake.handlers import (
    AlreadyWithdrawn,
    Following,
    IntakeHandlers,
    ThreadFull,
    UnknownReceipt,
)
from wasl_intake.portal.forms import FormError, plain
from wasl_intake.portal.site import Page, Site
from wasl_intake.portal.state import TTL

PART = "thread"
MESSAGE_FIELDS = ("action", "token", "of", "message", "hide", "keep")


# -- the part of the state that opens one report ---------------------------------------------------


def enter(page: Page, code: str, **values: Any) -> None:
    """Keep the receipt, and ``values`` with it, for twenty minutes from now."""
    kept = {"code": code, "at": int(page.site.clock.now().timestamp()), **values}
    page.state.put(PART, {name: value for name, value in kept.items() if value})


def wait(page: Page, fields: Fields) -> None:
    """Keep a message that came too late until its own receipt is typed, and no other's."""
    page.state.put(PART, {"typed": first(fields, "message"), "of": first(fields, "of")})


def again(page: Page, **changes: Any) -> None:
    """The person did something: twenty minutes from now, and ``changes`` to what is kept."""
    kept = page.state.get(PART)
    kept.pop("at", None)
    enter(page, **{**kept, **changes})


def seconds_left(page: Page) -> float:
    """For how long the receipt is still kept if nothing is done."""
    at = float(page.state.get(PART).get("at", 0))
    return max(0.0, TTL[PART] - (page.site.clock.now().timestamp() - at))


async def opened(page: Page, handlers: IntakeHandlers) -> Following | None:
    """What the kept receipt opens; None when none is kept, or it opens nothing any more."""
    code = page.state.get(PART).get("code")
    if not code:
        return None
    try:
        return await handlers.follow(code)
    except UnknownReceipt:
        page.state.drop(PART)
        return None


# -- writing ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Draft:
    """A message that is not stored: what was typed, and what is wrong or asked."""

    text: str = ""
    #: Of the form; the same words sent twice with it are one message.
    token: str = ""
    errors: tuple[FormError, ...] = ()
    slips: tuple[Slip, ...] = ()
    status: int = 422


async def write(page: Page, handlers: IntakeHandlers, fields: Fields) -> Draft | None:
    """Add a message to the thread; None when it is stored. Raises UnknownReceipt."""
    text = plain(first(fields, "message"))
    token = first(fields, "token") or secrets.token_urlsafe()
    # What is too long to be kept is not searched: that would cost seconds of everybody's time.
    found = slips(text) if len(text) <= MESSAGE_MAX else []
    if found and first(fields, "hide"):
        text = hidden(text, found)
    elif found and not first(fields, "keep"):
        # Not an error: a question, which either button answers.
        return Draft(text, token, slips=tuple(found))
    return await _store(page, handlers, text, token)


async def _store(page: Page, handlers: IntakeHandlers, text: str, token: str) -> Draft | None:
    def refused(sentence: str, status: int = 422) -> Draft:
        return Draft(text, token, (FormError("message", sentence),), status=status)

    try:
        body = MESSAGE.validate_python({"body": text}).body
        # With the words: a form from the browser's history, sent with others, is another message.
        key = hashlib.sha256(f"{token}|{body}".encode()).hexdigest()
        await handlers.write(page.state.get(PART)["code"], body, key)
    except ValidationError as error:
        match field_errors(error)[0]["code"]:
            case "message_empty":
                return refused(page.say("Write a few words first."))
            case "string_too_long":
                return refused(page.pack.text(page.lang, "error_too_long", max=MESSAGE_MAX))
            case _:
                return refused(
                    page.say("The text holds characters that cannot be kept. Please type it again.")
                )
    except AlreadyWithdrawn:
        return refused(page.say("This report was taken back. Nothing can be added to it."), 409)
    except ThreadFull:
        return refused(
            page.say(
                "There is no room for more messages. Send a new report and say what is missing."
            ),
            409,
        )
    except Overloaded:
        return refused(
            page.say("Many people are writing to us. Please try again in a moment."), 503
        )
    except Retryable:
        return refused(
            page.say("Your message is not saved. It is still here: send it again in a moment."),
            503,
        )
    return None


def presence(page: Page, now: datetime) -> str:
    """When people answer, as far as the country pack knows; never that somebody is there."""
    staffed = [s for s in page.pack.portal.staffed if s.channel == "chat"]
    if not staffed:
        return page.say(
            "People read what you write, at no fixed hours. Nobody is guaranteed to be here."
        )
    if any(not s.hours for s in staffed):
        return page.say("A person may answer at any hour. Nobody is guaranteed to be here.")
    opens = min(h.next_open(now) for s in staffed for h in s.hours)
    if opens <= now:
        return page.say(
            "A person usually answers in working hours, and it is one now. Nobody is guaranteed to"
            " be here."
        )
    return page.say(
        "Outside working hours nobody usually answers. They begin again: {when}. You can write now,"
        " and it is kept.",
        when=page.words.moment(page.lang, opens),
    )


class FollowPages:
    def __init__(self, site: Site, handlers: IntakeHandlers, gate: Gate) -> None:
        self._site, self._handlers, self._gate = site, handlers, gate
        self._letters = Correspondence(handlers)

    def register(self, app: FastAPI) -> None:
        add = self._site.add
        add(app, "follow", get=self.follow, post=self.act)
        add(app, "follow/withdraw", get=self.withdraw, post=self.withdraw_now)
        add(app, "follow/contact", get=self.contact, post=self.change_contact)
        add(app, "follow/rate", get=self.rating, post=self.rate)

    # -- the receipt -----------------------------------------------------------------------------

    async def follow(self, page: Page) -> Response:
        kept = page.state.get(PART)
        following = await opened(page, self._handlers)
        if following is None:
            return self._ask(page, lost="code" in kept, waits="typed" in kept)
        again(page, said=None, typed=None)
        draft = Draft(text=kept.get("typed", ""))
        return self._report(page, following, draft, said=kept.get("said", ""), status=200)

    def _ask(
        self,
        page: Page,
        error: str = "",
        *,
        lost: bool = False,
        waits: bool = False,
        status: int = 200,
        asked: Wait | None = None,
        typed: str = "",
    ) -> Response:
        """``lost``: the receipt that was kept opens nothing any more. ``waits``: a message that
        could not be sent without the receipt does. ``asked``: the gate's answer to ``typed``.
        """
        return page.show(
            "follow/ask.html",
            status,
            error=error,
            lost=lost,
            waits=waits,
            challenge=asked.challenge if asked else self._gate.challenge(Lane.RECEIPTS),
            wait=asked.seconds if asked else 0,
            typed=typed,
        )

    async def _open(self, page: Page, fields: Fields) -> Response:
        typed = first(fields, "receipt")
        waits = page.state.get(PART).get("typed")
        verdict = self._gate.judge(
            Lane.RECEIPTS, first(fields, "challenge"), first(fields, "answer"), at_rest=False
        )
        if isinstance(verdict, Wait):
            return self._ask(page, waits=bool(waits), status=429, asked=verdict, typed=typed)
        if not typed.strip():
            return self._ask(page, page.say("Type your receipt."), waits=bool(waits), status=422)
        try:
            await self._handlers.follow(typed)
        except UnknownReceipt as unknown:
            self._gate.failed_receipt()
            wrong = (
                page.say("This receipt has a typing mistake. Compare it with what you kept.")
                if unknown.typo
                else page.say("No report has this receipt. Compare it with what you kept.")
            )
            return self._ask(page, wrong, waits=bool(waits), status=404)
        code = receipt.read(typed)
        mine = page.state.get(PART).get("of") == page.site.sealer.mark(code)
        enter(page, code, typed=waits if mine else None)
        return page.go("follow")

    async def act(self, page: Page) -> Response:
        """Every form of the page: the receipt, a message, a request for review, closing."""
        fields = await page.form((*MESSAGE_FIELDS, "receipt", "reason", "challenge", "answer"))
        action = first(fields, "action")
        if action == "close":
            page.state.drop(PART)
            return page.go("")
        kept = page.state.get(PART)
        if "receipt" in fields:
            if other := page.switched(fields):
                return page.go("follow", other)
            return await self._open(page, fields)
        following = await opened(page, self._handlers)
        if following is None:
            text = first(fields, "message")
            if text:
                wait(page, fields)
            return self._ask(page, lost="code" in kept, waits=bool(text), status=404)
        again(page)
        if other := page.switched(fields):
            again(page, typed=first(fields, "message"))
            return page.go("follow", other)
        if action == "review":
            return await self._review(page, following, fields)
        draft = await write(page, self._handlers, fields)
        if draft is not None:
            return self._report(page, following, draft)
        again(page, said="message")
        return page.go("follow")

    async def _review(self, page: Page, following: Following, fields: Fields) -> Response:
        """A message whose first line says what it is; staff find it like every other message."""
        if following.status is not ReporterStatus.NO_GROUND:
            return page.go("follow")
        reason = first(fields, "reason").strip()
        text = page.say("Request for a review of the decision")
        sent = {
            "message": [f"{text}\n\n{reason}" if reason else text],
            "token": fields.get("token", [""]),
            "keep": ["yes"],
        }
        draft = await write(page, self._handlers, sent)
        if draft is not None:
            errors = tuple(FormError("reason", e.text) for e in draft.errors)
            refused = Draft("", draft.token, errors, status=draft.status)
            return self._report(page, following, refused, reason=reason)
        again(page, said="review")
        return page.go("follow")

    def _report(
        self,
        page: Page,
        following: Following,
        draft: Draft,
        *,
        said: str = "",
        reason: str = "",
        status: int | None = None,
    ) -> Response:
        report, words = following.report, page.words
        danger = bool(report.danger_now)
        more: dict[str, Any] = {"form_id": "write"} if following.can_withdraw else {}
        return page.show(
            "follow/report.html",
            draft.status if status is None else status,
            following=following,
            lines=words.lines(
                page.lang, report.received_at, following.timeline, report.withdrawn_at
            ),
            cards=words.advice(page.lang, following.advice, report.category),
            numbers=words.numbers(page.lang, phones_only=True) if danger else (),
            draft=draft,
            errors=draft.errors,
            reason=reason,
            said=said,
            message_max=MESSAGE_MAX,
            can_review=following.status is ReporterStatus.NO_GROUND,
            can_rate=happened(following),
            **more,
        )

    # -- withdrawing -----------------------------------------------------------------------------

    async def withdraw(self, page: Page) -> Response:
        following = await opened(page, self._handlers)
        if following is None or not following.can_withdraw:
            return page.go("follow")
        again(page)
        return page.show("follow/withdraw.html")

    async def withdraw_now(self, page: Page) -> Response:
        await page.form(("action",))
        code = page.state.get(PART).get("code")
        if code:
            try:
                await self._handlers.withdraw(code)
            except UnknownReceipt:
                page.state.drop(PART)
            else:
                again(page, said="withdrawn")
        return page.go("follow")

    # -- contact ---------------------------------------------------------------------------------

    async def contact(self, page: Page) -> Response:
        typed = page.state.get(PART).get("address", "")
        return await self._contact(page, {"email": [typed]}, ())

    async def _contact(
        self, page: Page, fields: Fields, errors: tuple[FormError, ...], status: int = 200
    ) -> Response:
        following = await opened(page, self._handlers)
        if following is None or not following.can_withdraw:
            return page.go("follow")
        again(page, address=None)
        return page.show(
            "follow/contact.html",
            status,
            form_id="contact",
            contact=await self._letters.contact(page.state.get(PART)["code"]),
            unsafe=unsafe(following.report),
            email=first(fields, "email"),
            safe=bool(first(fields, "email_safe")),
            errors=errors,
        )

    async def change_contact(self, page: Page) -> Response:
        fields = await page.form(("action", "email", "email_safe"))
        code = page.state.get(PART).get("code")
        if not code:
            return page.go("follow")
        if other := page.switched(fields):
            again(page, address=first(fields, "email"))
            return page.go("follow/contact", other)
        letters, lang = self._letters, page.lang
        try:
            match first(fields, "action"):
                case "remove":
                    await letters.remove_contact(code, lang)
                case "safe" | "unsafe" as word:
                    await letters.mark_safe(code, safe=word == "safe", language=lang)
                case _:
                    # Safe is what the person says here and now, whatever was said before.
                    wanted = ContactRequest(
                        channel="email",
                        address=first(fields, "email"),
                        safe=first(fields, "email_safe") == "yes",
                    )
                    await letters.change_contact(code, wanted, lang)
        except ValidationError:
            wrong = FormError("email", page.say("This is not a complete e-mail address."))
            return await self._contact(page, fields, (wrong,), 422)
        except UnknownReceipt:
            page.state.drop(PART)
        except AlreadyWithdrawn:
            again(page)
        else:
            again(page, said="contact")
        return page.go("follow")

    # -- rating ----------------------------------------------------------------------------------

    async def rating(self, page: Page) -> Response:
        following = await opened(page, self._handlers)
        if following is None or not happened(following):
            return page.go("follow")
        again(page)
        held = await self._letters.rating(page.state.get(PART)["code"])
        return page.show("follow/rate.html", held=held)

    async def rate(self, page: Page) -> Response:
        fields = await page.form(("helped", "recommend"))
        following = await opened(page, self._handlers)
        if following is None or not happened(following):
            return page.go("follow")
        given = {name: first(fields, name) for name in ("helped", "recommend")}
        known = {name: value if value in ANSWERS else None for name, value in given.items()}
        await self._letters.rate(page.state.get(PART)["code"], **known)
        again(page, said="rated")
        return page.go("follow")
