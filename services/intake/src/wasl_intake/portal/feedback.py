# SPDX-License-Identifier: Apache-2.0
"""Feedback about the hub itself: a form, a receipt of its own, and what the receipt opens."""

import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Response
from pydantic import ValidationError
from wasl_chassis.failures import Overloaded, Retryable
from wasl_chassis.forms import first

from wasl_intake.domain import receipt
from wasl_intake.domain.flood import Lane
from wasl_intake.domain.slips import hidden, slips
from wasl_intake.domain.submission import MESSAGE
from wasl_intake.feedback import TEXT_MAX, FeedbackBox
from wasl_intake.gate import Gate, Wait
from wasl_intake.handlers import RepeatDiffers, UnknownReceipt
from wasl_intake.portal.forms import FormError, plain
from wasl_intake.portal.info import answer_within
from wasl_intake.portal.site import Page, Site
from wasl_intake.repository import FeedbackKind, FeedbackState

Draft = dict[str, Any]
_FIELDS = ("token", "kind", "text", "hide", "keep", "challenge", "answer", "website")
#: As the form gives it: pressing send twice, or again after going back, is one message.
_TOKEN = re.compile(r"[A-Za-z0-9_-]{32}")
_RECEIPT_MAX = 200


class FeedbackPages:
    def __init__(self, site: Site, box: FeedbackBox, gate: Gate) -> None:
        self._site, self._box, self._gate = site, box, gate

    def register(self, app: FastAPI) -> None:
        add = self._site.add
        add(app, "feedback", get=self.form, post=self.send)
        add(app, "feedback/receipt", get=self.receipt, post=self.done)
        add(app, "feedback/follow", get=self.follow, post=self.act)

    # -- writing ---------------------------------------------------------------------------------

    async def form(self, page: Page) -> Response:
        return self._form(page, page.state.get("feedback"))

    def _form(
        self,
        page: Page,
        draft: Draft,
        errors: Sequence[FormError] = (),
        *,
        status: int = 200,
        **more: Any,
    ) -> Response:
        values: dict[str, Any] = {
            "slips": (),
            "wait": 0,
            "challenge": self._gate.challenge(Lane.MESSAGES),
        }
        return page.show(
            "info/feedback.html",
            status,
            draft=draft,
            token=draft.get("token") or secrets.token_urlsafe(24),
            errors=errors,
            kinds=_kinds(page),
            text_max=TEXT_MAX,
            answer_within=answer_within(page),
            **(values | more),
        )

    async def send(self, page: Page) -> Response:
        fields = await page.form(_FIELDS)
        token = first(fields, "token")
        if not _TOKEN.fullmatch(token):
            token = secrets.token_urlsafe(24)
        text = plain(first(fields, "text"))
        if "hide" in fields and len(text) <= TEXT_MAX:
            text = hidden(text, slips(text))
        draft = {"token": token, "kind": first(fields, "kind"), "text": text}
        page.state.put("feedback", draft)
        if other := page.switched(fields):
            return page.go("feedback", other)
        if errors := _errors(page, draft):
            return self._form(page, draft, errors, status=422)
        if "keep" not in fields and (found := slips(text)):
            # Not an error: a question, asked once, that both buttons answer.
            return self._form(page, draft, status=422, slips=found)
        verdict = self._gate.judge(
            Lane.MESSAGES,
            first(fields, "challenge"),
            first(fields, "answer"),
            trap=first(fields, "website"),
            repeat_key=token,
        )
        if isinstance(verdict, Wait):
            more: dict[str, Any] = {"challenge": verdict.challenge, "wait": verdict.seconds}
            return self._form(page, draft, status=429, **more)
        return await self._store(page, draft)

    async def _store(self, page: Page, draft: Draft) -> Response:
        kind, token = FeedbackKind(draft["kind"]), draft["token"]
        try:
            await self._box.send(kind, page.lang, draft["text"], token)
        except RepeatDiffers:
            draft = {**draft, "token": secrets.token_urlsafe(24)}
            page.state.put("feedback", draft)
            said = page.say(
                "This form was already sent with other words. If you press send now, it becomes a"
                " second message."
            )
            return self._form(page, draft, [FormError("text", said)], status=422)
        except (Overloaded, Retryable):
            said = page.say("It could not be stored. Please send it again in a moment.")
            return self._form(page, draft, [FormError("text", said)], status=503)
        page.state.put("feedback", {"sent": token})
        return page.go("feedback/receipt")

    async def receipt(self, page: Page) -> Response:
        token = page.state.get("feedback").get("sent")
        if not token:
            return page.go("feedback/follow")
        code = self._box.receipt_of(token)
        return page.show(
            "info/feedback_receipt.html",
            spoken=receipt.words(code, page.lang).split(),
            letters=receipt.grouped(code),
            digits=receipt.digits(code),
            answer_within=answer_within(page),
        )

    async def done(self, page: Page) -> Response:
        """From the receipt on: to the message itself, or away."""
        fields = await page.form(("action",))
        token = page.state.get("feedback").get("sent")
        page.state.drop("feedback")
        if token and first(fields, "action") == "follow":
            page.state.put("feedback", {"code": self._box.receipt_of(token)})
            return page.go("feedback/follow")
        return page.go("")

    # -- following -------------------------------------------------------------------------------

    async def follow(self, page: Page) -> Response:
        code = page.state.get("feedback").get("code")
        return await self._followed(page, code) if code else self._ask(page)

    def _ask(self, page: Page, errors: Sequence[FormError] = (), status: int = 200) -> Response:
        return page.show("info/feedback_open.html", status, errors=errors)

    async def _followed(
        self, page: Page, code: str, errors: Sequence[FormError] = (), status: int = 200
    ) -> Response:
        try:
            opened = await self._box.follow(code)
        except UnknownReceipt:
            page.state.drop("feedback")
            return self._ask(page)
        held = opened.feedback
        return page.show(
            "info/feedback_thread.html",
            status,
            opened=opened,
            kind=_kinds(page)[held.kind],
            received=page.words.moment(page.lang, held.received_at),
            answered=page.words.moment(page.lang, held.answered_at) if held.answered_at else "",
            answer_by=page.words.day(page.lang, held.answer_by) if held.answer_by else "",
            withdrawn=held.state is FeedbackState.WITHDRAWN,
            errors=errors,
        )

    async def act(self, page: Page) -> Response:
        """Open by a receipt, close, or take back."""
        fields = await page.form(("code", "action", "sure"))
        if other := page.switched(fields):
            return page.go("feedback/follow", other)
        held, action = page.state.get("feedback").get("code"), first(fields, "action")
        if action == "open":
            return await self._opened(page, first(fields, "code")[:_RECEIPT_MAX])
        if action == "withdraw" and held:
            if first(fields, "sure") != "yes":
                said = page.say("Tick the box if you want it erased.")
                return await self._followed(page, held, [FormError("sure", said)], 422)
            await self._box.withdraw(held)
            return page.go("feedback/follow")
        page.state.drop("feedback")
        return page.go("")

    async def _opened(self, page: Page, typed: str) -> Response:
        try:
            await self._box.follow(typed)
        except UnknownReceipt as error:
            self._gate.failed_receipt()
            said = (
                page.say("There is a slip in it. Compare it with what you wrote down.")
                if error.typo
                else page.say(
                    "No message about this service belongs to this receipt. The receipt of a report"
                    " opens the report only."
                )
            )
            return self._ask(page, [FormError("code", said)], 422)
        page.state.put("feedback", {"code": receipt.read(typed)})
        return page.go("feedback/follow")


def _kinds(page: Page) -> Mapping[str, str]:
    return {
        FeedbackKind.COMPLAINT: page.say("A complaint: you did something wrong or late"),
        FeedbackKind.APPEAL: page.say("I disagree with a decision you took"),
        FeedbackKind.DATA_RIGHTS: page.say("My personal data: see, correct, object"),
        FeedbackKind.SUGGESTION: page.say("A suggestion"),
        FeedbackKind.THANKS: page.say("A word of thanks"),
    }


def _errors(page: Page, draft: Draft) -> list[FormError]:
    errors = []
    if draft["kind"] not in list(FeedbackKind):
        errors.append(FormError("kind", page.say("Choose what it is about.")))
    text = draft["text"]
    try:
        MESSAGE.validate_python({"body": text})
    except ValidationError:
        errors.append(FormError("text", page.say("Write a few words, without special signs.")))
    if len(text) > TEXT_MAX:
        errors = [FormError("text", page.pack.text(page.lang, "error_too_long", max=TEXT_MAX))]
    return errors
