# SPDX-License-Identifier: Apache-2.0
"""The pages that say what this service is: help, advice, about, privacy, accessibility.

They are put together from the country pack, so they say what is configured and nothing else: who is
not named is said to be missing, and hours nobody set are not promised.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from fastapi import FastAPI, Response
from wasl_schemas.country_pack import (
    Authority,
    ContactHours,
    Partner,
    PartnerKind,
    ReferWhen,
    Retention,
    StaffedHours,
    Weekday,
)
from wasl_schemas.events.common import Severity
from wasl_schemas.taxonomy import Category, Safeguard

from wasl_intake.portal.site import Page, Site
from wasl_intake.portal.state import TTL
from wasl_intake.words import Card, Number

_AGREED = ("formal", "trusted_partner")


@dataclass(frozen=True, slots=True)
class Door:
    """A number or page, and what to go there for."""

    number: Number
    about: str


@dataclass(frozen=True, slots=True)
class Staffed:
    """When people answer on one channel. ``opens``: None while somebody does."""

    title: str
    hours: tuple[str, ...]
    opens: str | None
    note: str


@dataclass(frozen=True, slots=True)
class FirstLook:
    """How soon somebody should look at what is this urgent, and the categories that are."""

    name: str
    span: str
    always: bool
    categories: tuple[str, ...]


class InfoPages:
    def __init__(self, site: Site) -> None:
        self._site = site

    def register(self, app: FastAPI) -> None:
        add = self._site.add
        for name in ("help", "advice", "about", "privacy", "accessibility"):
            add(app, name, get=getattr(self, name))

    async def help(self, page: Page) -> Response:
        numbers = page.words.numbers(page.lang)
        about = {r.contact: page.words.label(page.lang, r.about) for r in page.pack.portal.routes}
        doors = {n.id: Door(n, about.get(n.id, "")) for n in numbers}
        return page.show(
            "info/help.html",
            numbers=numbers,
            listen=[d for d in doors.values() if d.number.hours],
            doors=[doors[c] for c in about if not doors[c].number.hours],
            staffed=[self._staffed(page, s) for s in page.pack.portal.staffed],
        )

    async def advice(self, page: Page) -> Response:
        """Every card once, under the first group one of its categories is in."""
        pack, groups = page.pack, {g: list[Card]() for g in page.pack.groups}
        for card in pack.advice_cards.values():
            groups[pack.categories[card.categories[0]].group].append(
                page.words.card(page.lang, card)
            )
        shown = [(page.words.label(page.lang, pack.groups[g].label), c) for g, c in groups.items()]
        return page.show("info/advice.html", groups=[(g, cards) for g, cards in shown if cards])

    async def about(self, page: Page) -> Response:
        pack, lang, label = page.pack, page.lang, page.words.label
        partners = _active(pack.partners.values(), self._site.clock.now().date())
        return page.show(
            "info/about.html",
            looks=_first_looks(page),
            automatic=[
                (
                    label(lang, pack.category(r.category).label),
                    label(lang, pack.partner(r.partner).title),
                )
                for r in pack.routing.automatic
            ],
            delicate=_labels(page, (c for c in pack.categories.values() if _delicate(c))),
            told=_labels(page, (c for c in pack.categories.values() if _always_told(page, c))),
            agreed=_titles(page, [p for p in partners if p.agreement.basis in _AGREED]),
            others=_titles(page, [p for p in partners if p.agreement.basis not in _AGREED]),
            authorities=_titles(page, pack.authorities.values()),
        )

    async def privacy(self, page: Page) -> Response:
        pack = page.pack
        return page.show(
            "info/privacy.html",
            retention=[_kept(page, r) for r in pack.clocks.retention],
            proposal=any(r.basis == "proposal" for r in pack.clocks.retention),
            law=pack.laws[pack.portal.rights_law].title if pack.portal.rights_law else None,
            answer_within=answer_within(page),
            minutes=max(TTL["draft"], TTL["feedback"]) // 60,
            source_minutes=TTL["source"] // 60,
            onion=self._site.addresses.onion,
        )

    async def accessibility(self, page: Page) -> Response:
        return page.show("info/accessibility.html")

    # -- hours -----------------------------------------------------------------------------------

    def _staffed(self, page: Page, staffed: StaffedHours) -> Staffed:
        now = self._site.clock.now()
        nexts = [h.next_open(now) for h in staffed.hours]
        soonest = min(nexts, default=now)
        return Staffed(
            title=page.words.label(page.lang, staffed.title),
            hours=tuple(_hours(page, h) for h in staffed.hours),
            opens=None if soonest <= now else page.words.weekday_time(page.lang, soonest),
            note=page.words.label(page.lang, staffed.note),
        )


def _hours(page: Page, hours: ContactHours) -> str:
    """As in "Monday to Friday, 10:00–16:00"; another zone than the country's is named."""
    week = list(Weekday)
    days = sorted({week.index(d) for d in hours.days})
    names = [page.words.weekday(page.lang, d) for d in days]
    text = page.say(", ").join(names)
    if len(days) > 2 and days[-1] - days[0] == len(days) - 1:
        text = page.say("{first} to {last}", first=names[0], last=names[-1])
    text = page.say("{days}, {opens}–{closes}", days=text, opens=hours.opens, closes=hours.closes)
    return text if hours.timezone == page.pack.info.timezone else f"{text} ({hours.timezone})"


# -- about -----------------------------------------------------------------------------------


def _first_looks(page: Page) -> list[FirstLook]:
    names: Mapping[Severity, str] = {
        Severity.CRITICAL: page.say("Most urgent"),
        Severity.HIGH: page.say("Urgent"),
        Severity.MEDIUM: page.say("Ordinary"),
        Severity.LOW: page.say("Can wait"),
    }
    return [
        FirstLook(
            name=name,
            span=page.pack.span_text(page.lang, page.pack.clock(severity).first_look),
            always=page.pack.clock(severity).round_the_clock,
            categories=_labels(
                page, (c for c in page.pack.categories.values() if c.base_severity is severity)
            ),
        )
        for severity, name in names.items()
    ]


def _delicate(category: Category) -> bool:
    """Nothing leaves before a second person agreed, because it may be somebody's opinion."""
    return category.expression_safeguard is Safeguard.FE3 and category.dispatchable


def _always_told(page: Page, category: Category) -> bool:
    """An authority is told whatever the person who reports agrees to."""
    found = (page.pack.route(category.id, service) for service in page.pack.services)
    return any(when is ReferWhen.ALWAYS for r in found if r for _, when in r.authorities)


def _active(partners: Iterable[Partner], day: date) -> list[Partner]:
    """Those requests may go to today, other countries' hubs left out."""
    return [p for p in partners if p.agreement.valid_on(day) and p.kind is not PartnerKind.HUB]


def _labels(page: Page, categories: Iterable[Category]) -> tuple[str, ...]:
    return tuple(page.words.label(page.lang, c.label) for c in categories)


def _titles(page: Page, entries: Iterable[Partner | Authority]) -> Sequence[str]:
    return [page.words.label(page.lang, e.title) for e in entries]


# -- privacy ---------------------------------------------------------------------------------


def _kept(page: Page, kept: Retention) -> tuple[str, str]:
    """What, and how long from when, in words."""
    what: Mapping[str, str] = {
        "report-text": page.say("What you wrote and the links"),
        "contact": page.say("Your e-mail address, if you gave one"),
        "case-metadata": page.say("The file without your words: kind of harm, steps, times"),
        "helpline-case": page.say("What somebody told the helpline"),
        "audit-log": page.say("Who of us did what"),
        "network-log": page.say("Technical records of connections, never joined to a report"),
    }
    span = page.pack.span_text(page.lang, kept.keep)
    since: Mapping[str, str] = {
        "received": page.say("{span} after we received it", span=span),
        "closed": page.say("{span} after the report is closed", span=span),
        "written": page.say("{span} after it was written", span=span),
    }
    return what.get(kept.data, kept.data), since[kept.starts]


def answer_within(page: Page) -> str:
    """The limit for answers about this service, in words; empty: the country sets none."""
    named = page.pack.portal.feedback_answer
    span = page.pack.deadlines[named].span if named else None
    return page.pack.span_text(page.lang, span) if span else ""
