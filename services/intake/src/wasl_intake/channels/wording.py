# SPDX-License-Identifier: Apache-2.0
"""What a channel answers, in the reader's language. Nothing of what the person wrote is in it.

A discreet channel (mail: it stays in a mailbox others may open) gets the receipt and what must be
said, without numbers, addresses of the portal or a word about what was sent.
"""

from wasl_chassis.i18n import Catalogue
from wasl_schemas.country_pack import CountryPack

from wasl_intake.channels.contract import Answer
from wasl_intake.domain import receipt
from wasl_intake.i18n import TEXTS

#: More numbers than that nobody reads in a message; the pack's order says which matter most.
NUMBERS = 5


class Wording:
    """The answers of one deployment. ``portal``: its address as people open it."""

    def __init__(self, pack: CountryPack, portal: str) -> None:
        self._pack = pack
        self._portal = portal
        fallbacks = {t: language.fallback for t, language in pack.languages.items()}
        self._say = Catalogue(TEXTS, fallbacks)

    def language(self, tag: str) -> str:
        """The language to answer a reader of ``tag`` in."""
        return self._pack.language_for(tag)

    def subject(self, lang: str) -> str:
        return self._pack.text(lang, "notification_subject")

    def sender(self, lang: str) -> str:
        return self._pack.text(lang, "notification_sender")

    def received(
        self, lang: str, code: str, key: str, *, media: int, cut: int, discreet: bool
    ) -> Answer:
        """A report was made. ``code``: its receipt; ``cut``: characters that were kept, 0: all."""
        say = self._say.gettext
        canonical = receipt.read(code)
        out = [
            "" if discreet else say(lang, "We have received your message."),
            say(lang, "Your receipt:") + f"\n{receipt.grouped(canonical)}",
            say(lang, "The same receipt in words:") + f"\n{receipt.words(canonical, lang)}",
            say(
                lang,
                "Keep it and show it to nobody. Whoever has it can read our answers, and we cannot"
                " find it again for you.",
            ),
        ]
        if not discreet:
            out += [
                say(
                    lang,
                    "To read our answers or to add something, open this page and enter the"
                    " receipt:",
                )
                + f"\n{self._portal}",
                say(
                    lang,
                    "If somebody else uses this device or this account, delete this conversation"
                    " once you have kept the receipt.",
                ),
                self._numbers(lang),
            ]
        return self._answer(lang, key, out, media, cut)

    def added(self, lang: str, key: str, *, media: int, cut: int) -> Answer:
        text = self._say.gettext(lang, "Your message was added to your report.")
        return self._answer(lang, key, [text], media, cut)

    def status(self, lang: str, key: str, words: str, *, media: int, discreet: bool) -> Answer:
        """``words``: the status as intake puts it."""
        out = [words]
        if not discreet:
            out.append(
                self._say.gettext(lang, "To read more, open this page and enter your receipt:")
                + f"\n{self._portal}"
            )
        return self._answer(lang, key, out, media, 0)

    def unknown(self, lang: str, key: str, *, media: int) -> Answer:
        say = self._say.gettext
        text = say(
            lang, "No report has this receipt. Compare it with what you kept, and send it again."
        )
        return self._answer(lang, key, [text], media, 0)

    def guide(self, lang: str, key: str, *, media: int) -> Answer:
        """How to report, for who greets, sends a picture only, or nothing."""
        say = self._say.gettext
        out = [
            say(
                lang,
                "Here you can report harm on the internet. Write what happened, and copy the link"
                " or the name of the account. You need not say who you are.",
            ),
            say(
                lang,
                "Send no pictures, videos or voice messages, not even as proof. They are never"
                " opened.",
            ),
            say(
                lang,
                "The company that carries this message can see that you wrote to us. You can also"
                " report here, without an account:",
            )
            + f"\n{self._portal}",
            self._numbers(lang),
        ]
        return self._answer(lang, key, out, media, 0)

    def _answer(self, lang: str, key: str, paragraphs: list[str], media: int, cut: int) -> Answer:
        if media:
            paragraphs.append(
                self._say.ngettext(
                    lang,
                    "One file came with your message. It was dropped unopened.",
                    "{n} files came with your message. They were dropped unopened.",
                    media,
                )
            )
        if cut:
            paragraphs.append(
                self._say.gettext(
                    lang,
                    "Your text was too long: its first {n} characters were kept. Send the rest in"
                    " a new message, with the receipt.",
                    n=cut,
                )
            )
        return Answer(lang, tuple(p for p in paragraphs if p), key)

    def _numbers(self, lang: str) -> str:
        """The numbers people can call, as the pack orders them; "" where it shows none."""
        lines = [
            f"{self._pack.words(c.title, lang)} – {c.phone}"
            for c in self._pack.shown_contacts()
            if c.phone
        ][:NUMBERS]
        head = self._say.gettext(lang, "Is somebody in danger now? Call:")
        return "\n".join([head, *lines]) if lines else ""
