# SPDX-License-Identifier: Apache-2.0
"""Every sentence a reporter reads: the portal's own, by :mod:`wasl_intake.i18n`, and the pack's.

The portal says what the portal does; statuses, timelines, categories, numbers and advice are the
country's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_datetime
from wasl_chassis.i18n import Catalogue
from wasl_schemas.country_pack import AdviceCard, CountryPack, HelpContact
from wasl_schemas.events.common import Risk
from wasl_schemas.lifecycle import ReporterStatus
from wasl_schemas.taxonomy import Words as Label
from wasl_schemas.taxonomy import signals_from_answers
from wasl_schemas.timeline import TimelineEntry

from wasl_intake.domain.submission import ReportRequest
from wasl_intake.i18n import TEXTS


@dataclass(frozen=True, slots=True)
class Number:
    """A number or page to turn to, as shown."""

    id: str
    title: str
    phone: str | None
    href: str
    hours: str
    checked: str


@dataclass(frozen=True, slots=True)
class Card:
    """An advice card, as shown."""

    id: str
    title: str
    steps: tuple[str, ...]
    contacts: tuple[Number, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the timeline, in words."""

    time: datetime
    kind: str
    text: str


class Words:
    """The texts of one deployment, in every language both the portal and the pack have."""

    def __init__(self, pack: CountryPack) -> None:
        self.pack = pack
        self._zone = ZoneInfo(pack.info.timezone)
        own = TEXTS.languages()
        self._languages = [t for t, x in pack.languages.items() if x.complete and t in own]
        if pack.info.default_language not in self._languages:
            raise ValueError(
                f"the portal has no texts in the default language of country pack '{pack.info.id}';"
                f" add locale/{pack.info.default_language}/*.po"
            )
        fallbacks = {t: pack.languages[t].fallback for t in self._languages}
        self.catalogue = Catalogue(TEXTS, fallbacks)
        self._locales = {
            t: Locale.parse(pack.languages[t].locale, sep="-") for t in self._languages
        }
        self._numbers = {
            tag: [self._number(tag, c) for c in pack.shown_contacts()] for tag in self._languages
        }

    @property
    def languages(self) -> Sequence[str]:
        return list(self._languages)

    def language_for(self, tag: str) -> str:
        """A language of the portal for a reader of ``tag``."""
        found = self.pack.language_for(tag)
        return found if found in self._languages else self.pack.info.default_language

    def say(self, lang: str, sentence: str, /, **values: str | int) -> str:
        """One of the portal's own sentences, written here in English."""
        return self.catalogue.gettext(lang, sentence, **values)

    def status(self, lang: str, status: ReporterStatus) -> str:
        return self.pack.text(lang, f"status_{status.value}")

    def lines(
        self,
        lang: str,
        received_at: datetime,
        entries: Sequence[TimelineEntry],
        withdrawn_at: datetime | None,
    ) -> list[Line]:
        """The whole timeline in words, oldest first: received, what happened, withdrawn."""
        told = self.pack.text
        out = [Line(received_at, "received", told(lang, "timeline_received"))]
        for entry in entries:
            party = self._party(lang, entry.party) if entry.party else ""
            kind = entry.kind.value
            text = told(lang, f"timeline_{kind}", partner=party, authority=party)
            out.append(Line(entry.time, kind, text))
        if withdrawn_at is not None:
            out.append(Line(withdrawn_at, "withdrawn", told(lang, "timeline_withdrawn")))
        return out

    def _party(self, lang: str, party: str) -> str:
        known = self.pack.partners.get(party) or self.pack.authorities.get(party)
        return self.pack.words(known.title, lang) if known else party

    def label(self, lang: str, label: Label) -> str:
        return self.pack.words(label, lang)

    def _checked(self, lang: str, contact: HelpContact) -> str:
        """The day, month or year in which a contact was last seen to be true."""
        parts = [int(part) for part in contact.checked.split("-")]
        known = date(*[*parts, 1, 1][:3])
        form = ("y", "MMMM y", "d MMMM y")[len(parts) - 1]
        text = format_date(known, form, locale=self._locales[lang])
        if contact.phone is None:
            return self.say(lang, "Address checked: {date}", date=text)
        return self.say(lang, "Number checked: {date}", date=text)

    def moment(self, lang: str, time: datetime) -> str:
        """In the country's time zone."""
        local = time.astimezone(self._zone)
        return format_datetime(local, "d MMMM y · HH:mm", locale=self._locales[lang])

    def day(self, lang: str, time: datetime) -> str:
        """In the country's time zone."""
        local = time.astimezone(self._zone)
        return format_date(local.date(), "d MMMM y", locale=self._locales[lang])

    def weekday(self, lang: str, day: int) -> str:
        """0: Monday."""
        return str(self._locales[lang].days["stand-alone"]["wide"][day])

    def weekday_time(self, lang: str, time: datetime) -> str:
        """In the country's time zone: "Monday 10:00"."""
        local = time.astimezone(self._zone)
        return format_datetime(local, "EEEE HH:mm", locale=self._locales[lang])

    def numbers(self, lang: str, *, phones_only: bool = False) -> list[Number]:
        """Emergency and help numbers that may be shown, in the pack's order."""
        return [n for n in self._numbers[lang] if n.phone or not phones_only]

    def _number(self, lang: str, contact: HelpContact) -> Number:
        return Number(
            id=contact.id,
            title=self.label(lang, contact.title),
            phone=contact.phone,
            href=contact.tel or str(contact.link),
            hours=self.label(lang, contact.hours),
            checked=self._checked(lang, contact),
        )

    def contact(self, lang: str, contact: str) -> Number:
        """One contact of the pack, as shown. Raises UnknownEntry."""
        return self._number(lang, self.pack.contact(contact))

    def card(self, lang: str, card: AdviceCard) -> Card:
        contacts = (self.pack.contacts[c] for c in card.contacts)
        return Card(
            id=card.id,
            title=self.label(lang, card.title),
            steps=tuple(self.label(lang, step) for step in card.steps),
            contacts=tuple(self._number(lang, c) for c in contacts if c.shown),
        )

    def advice(self, lang: str, given: Sequence[str], category: str | None) -> list[Card]:
        """The cards the analysts gave; before that, those of the reporter's own category."""
        cards = [self.pack.advice_cards[g] for g in given if g in self.pack.advice_cards]
        if not cards and category is not None:
            cards = list(self.pack.advice_for(category))
        return [self.card(lang, c) for c in cards]

    def first_look(self, lang: str, request: ReportRequest) -> str:
        """How soon somebody should look, from the reporter's own answers alone."""
        signals = signals_from_answers(
            request.danger_now,
            request.under_18,
            request.under_13,
            tuple(Risk(r) for r in request.risk),
        )
        severity = self.pack.severity(request.category, signals).severity
        return self.pack.span_text(lang, self.pack.clock(severity).first_look)
