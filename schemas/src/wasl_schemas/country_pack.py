# SPDX-License-Identifier: Apache-2.0
"""A country as versioned data: law, clocks, partners, routes, numbers and words.

``load_country_pack`` reads a directory, checks every file and every reference between files, and
either returns a pack in which all lookups are safe or raises one error that lists everything wrong
by file, entry and field. Nothing in a pack is executed; what a rule may do is bounded by the
vocabularies here.
"""

import calendar
import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from wasl_schemas.base import LanguageTag, Model, Slug
from wasl_schemas.desk import DeskRules, Question, Queue
from wasl_schemas.events.common import Channel, Ground, GroundKind, Severity
from wasl_schemas.lexicon import Lexicon
from wasl_schemas.platforms import ItemFinder, Platforms, Service
from wasl_schemas.rules import RulesFile
from wasl_schemas.taxonomy import (
    Category,
    FourEyes,
    Group,
    Safeguard,
    SeverityResult,
    Signal,
    Taxonomy,
    Words,
)


class CountryPackError(ValueError):
    """The pack is not usable. ``problems``: lines ``file: entry.field: what was expected``."""

    def __init__(self, path: Path, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        lines = "\n".join(f"  {p}" for p in self.problems)
        super().__init__(f"country pack {path} has {len(self.problems)} problem(s):\n{lines}")


class UnknownEntry(LookupError):  # noqa: N818  reads as what it is at the call site
    """No such id in the pack. The message names the pack, the kind and the nearest ids."""


class Weekday(StrEnum):
    MONDAY = "monday"
    TUESDAY = "tuesday"
    WEDNESDAY = "wednesday"
    THURSDAY = "thursday"
    FRIDAY = "friday"
    SATURDAY = "saturday"
    SUNDAY = "sunday"


class PluralRule(StrEnum):
    """CLDR cardinal rules for whole numbers, by the family that shares them."""

    ARABIC = "arabic"
    FRENCH = "french"
    ONE_OTHER = "one_other"
    OTHER = "other"

    @property
    def forms(self) -> tuple[str, ...]:
        match self:
            case PluralRule.ARABIC:
                return ("zero", "one", "two", "few", "many", "other")
            case PluralRule.FRENCH | PluralRule.ONE_OTHER:
                return ("one", "other")
            case PluralRule.OTHER:
                return ("other",)

    def form(self, n: int) -> str:
        match self:
            case PluralRule.ARABIC:
                if n < 3:
                    return ("zero", "one", "two")[max(0, n)]
                if 3 <= n % 100 <= 10:
                    return "few"
                return "many" if n % 100 >= 11 else "other"
            case PluralRule.FRENCH:
                return "one" if n < 2 else "other"
            case PluralRule.ONE_OTHER:
                return "one" if n == 1 else "other"
            case PluralRule.OTHER:
                return "other"


class Confidence(StrEnum):
    """How sure the pack is. SOURCED: read in a public source, dated; the rest is memory."""

    SOURCED = "sourced"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class PartnerKind(StrEnum):
    PLATFORM = "platform"
    HOTLINE = "hotline"
    HOST = "host"
    CERT = "cert"
    HELPLINE = "helpline"
    FACT_CHECKER = "fact_checker"
    AUTHORITY = "authority"
    #: Another country's hub. The partner's id is that hub's own: the id of its pack.
    HUB = "hub"


class ReferWhen(StrEnum):
    """What must hold before a case goes to an authority."""

    ALWAYS = "always"
    ON_CONSENT = "on_consent"
    ON_CONSENT_OR_CHILD_AT_RISK = "on_consent_or_child_at_risk"
    ON_DANGER = "on_danger"
    ON_LEGAL_GROUND = "on_legal_ground"


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(
            "not an IANA time zone known to this machine (is tzdata installed?)"
        ) from error
    return name


def _iso(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else value


def _is_day(value: str) -> str:
    date.fromisoformat(value + "-01" * (2 - value.count("-")))
    return value


def _known(channel: Channel) -> Channel:
    """An open enum forgives readers what they do not know; a pack must name what exists."""
    if channel is Channel.UNKNOWN:
        known = ", ".join(c.value for c in Channel if c is not Channel.UNKNOWN)
        raise ValueError(f"a known channel: {known}")
    return channel


KnownChannel = Annotated[Channel, AfterValidator(_known)]
#: The day, month or year of the source in which a fact was last seen to be true.
CheckedOn = Annotated[
    str,
    BeforeValidator(_iso),
    StringConstraints(pattern=r"^\d{4}(-\d{2}(-\d{2})?)?$"),
    AfterValidator(_is_day),
]
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
#: A host name or the end of one, ASCII (``xn--…``), without a dot at either end.
HostSuffix = Annotated[
    str,
    StringConstraints(
        pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$",
        max_length=253,
    ),
]
ConnectorName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{1,30}$")]
ClockTime = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
Link = Annotated[str, StringConstraints(pattern=r"^https://[^\s]+$", max_length=300)]
#: Hubs one report may come through; the last of them hands it to no further one.
MAX_HOPS = 5
#: "*" stands for all.
Any_ = Literal["*"]


class Span(Model):
    """A length of time in exactly one unit. Working days follow the pack's weekend and holidays."""

    minutes: int | None = Field(default=None, ge=1)
    hours: int | None = Field(default=None, ge=1)
    days: int | None = Field(default=None, ge=1)
    working_days: int | None = Field(default=None, ge=1)
    months: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _one_unit(self) -> "Span":
        if sum(v is not None for v in self.__dict__.values()) != 1:
            raise ValueError("exactly one of minutes, hours, days, working_days, months")
        return self

    @property
    def unit(self) -> str:
        return next(name for name, v in self.__dict__.items() if v is not None)

    @property
    def amount(self) -> int:
        amount: int = next(v for v in self.__dict__.values() if v is not None)
        return amount


@lru_cache(maxsize=256)
def _fixed(span: Span) -> timedelta | None:
    """The span as a fixed length; None where it depends on the calendar."""
    if span.unit == "minutes":
        return timedelta(minutes=span.amount)
    return timedelta(hours=span.amount) if span.unit == "hours" else None


class Language(Model):
    tag: LanguageTag
    #: The full locale for dates and numbers, such as ar-MA.
    locale: LanguageTag
    name: str
    direction: Literal["ltr", "rtl"]
    plural: PluralRule
    digits: Literal["latn", "arab"] = "latn"
    #: False: shown as a slot; texts it lacks come from ``fallback``.
    complete: bool = True
    fallback: LanguageTag | None = None
    #: Other languages whose speakers read this one, such as ary for ar.
    serves: tuple[LanguageTag, ...] = ()


class PackInfo(Model):
    id: Slug
    version: Annotated[str, StringConstraints(pattern=r"^\d+\.\d+\.\d+$")]
    country: Country
    title: Words
    timezone: Annotated[str, AfterValidator(_zone)]
    weekend: tuple[Weekday, ...] = Field(max_length=6)
    #: ``MM-DD`` every year, or ``YYYY-MM-DD`` once (moon-sighted days are added each year).
    holidays: tuple[Annotated[str, StringConstraints(pattern=r"^(\d{4}-)?\d{2}-\d{2}$")], ...] = ()
    default_language: LanguageTag
    languages: tuple[Language, ...] = Field(min_length=1)


class LegalRef(Model):
    """A ground in law. ``checked`` is required when the confidence is ``sourced``."""

    id: Slug
    instrument: str
    articles: tuple[str, ...] = ()
    title: Words
    confidence: Confidence
    checked: CheckedOn | None = None
    in_force: bool = True
    categories: tuple[Slug, ...]
    #: Questions of the assessment that must be answered "yes" before it may be cited.
    elements: tuple[Slug, ...] = ()
    note: str = ""

    @model_validator(mode="after")
    def _sourced_has_a_date(self) -> "LegalRef":
        if self.confidence is Confidence.SOURCED and self.checked is None:
            raise ValueError("checked: a date, because confidence is 'sourced'")
        return self


class TermsRef(Model):
    """A ground in a partner's own rules, named by its subject."""

    id: Slug
    title: Words
    categories: tuple[Slug, ...]


class LegalFile(Model):
    laws: tuple[LegalRef, ...]
    terms: tuple[TermsRef, ...] = ()


class SeverityClock(Model):
    first_look: Span
    #: True: someone is paged at any hour; the first look must then be in minutes or hours.
    round_the_clock: bool
    #: From the first look to the request leaving.
    dispatch: Span
    #: None: an authority is only told on request.
    authority: Span | None = None
    #: To the first message with content; the receipt does not count.
    feedback: Span
    reminders: tuple[Span, ...] = Field(min_length=1)
    then_every: Span | None = None
    #: After this the ledger says "no reply"; a late answer is still taken.
    no_reply_after: Span

    @model_validator(mode="after")
    def _paged_clocks_run_at_night(self) -> "SeverityClock":
        if self.round_the_clock and self.first_look.unit not in {"minutes", "hours"}:
            raise ValueError("first_look: minutes or hours, because round_the_clock is true")
        return self


class Deadline(Model):
    """An outer limit. ``law`` binds, ``target`` is promised, ``observed`` is what partners take."""

    id: Slug
    title: Words
    #: None: at once.
    span: Span | None = None
    kind: Literal["law", "target", "observed"]
    source: Slug | None = None
    confidence: Confidence
    checked: CheckedOn | None = None
    note: str = ""


class Retention(Model):
    data: Slug
    keep: Span
    starts: Literal["received", "closed", "written"]
    basis: Literal["proposal", "law"]
    note: str = ""


class Following(Model):
    """How an item is looked at after a request: until it is gone, then in case it comes back."""

    #: Waits between looks while it is online; the last one repeats.
    check: tuple[Span, ...] = Field(min_length=1)
    #: A second look must agree before it counts as gone, or as back.
    confirm_after: Span
    #: How long it is looked at while it does not go; then a person is asked.
    give_up_after: Span
    #: When it is looked at again, counted from when it was seen gone; the last look ends the watch.
    reappearance: tuple[Span, ...] = Field(min_length=1)


class Clocks(Model):
    severities: dict[Severity, SeverityClock]
    #: Time for the second person where four_eyes is ``post``.
    confirm_within: Span
    #: From an appeal to its answer.
    appeal_within: Span = Span(working_days=10)
    #: From a question put to another body to its answer, where the severity's ``feedback`` is not
    #: sooner: the reporter is told something by then.
    opinion_within: Span = Span(working_days=3)
    #: Without it no item is ever looked at.
    following: Following | None = None
    deadlines: tuple[Deadline, ...] = ()
    retention: tuple[Retention, ...] = ()


class Agreement(Model):
    """On what footing the partner takes requests. Outside ``since`` .. ``until`` it is not used."""

    basis: Literal["formal", "trusted_partner", "published_channel", "none_recorded"]
    since: CheckedOn | None = None
    until: CheckedOn | None = None
    source: str = ""
    confidence: Confidence

    def valid_on(self, day: date) -> bool:
        text = day.isoformat()
        return not (
            (self.since and text < self.since)
            or (self.until and text[: len(self.until)] > self.until)
        )


class EscalationStep(Model):
    """Whom to turn to next, as a role, and how long after the request."""

    role: Slug
    after: Span


class ContactHours(Model):
    """When somebody reads what is sent. Outside, only what is urgent is sent."""

    timezone: Annotated[str, AfterValidator(_zone)]
    days: tuple[Weekday, ...] = Field(min_length=1)
    opens: ClockTime
    closes: ClockTime

    @model_validator(mode="after")
    def _opens_first(self) -> "ContactHours":
        if self.opens >= self.closes:
            raise ValueError("opens must be earlier than closes, both on the same day")
        return self

    def next_open(self, at: datetime) -> datetime:
        """``at`` where it is within the hours, else when they begin next; in UTC."""
        zone, open_days = ZoneInfo(self.timezone), [list(Weekday).index(d) for d in self.days]
        opens, closes = time.fromisoformat(self.opens), time.fromisoformat(self.closes)
        local = at.astimezone(zone)
        day = local.date()
        if day.weekday() not in open_days or local.time() >= closes:
            day += timedelta(days=1)
        elif local.time() >= opens:
            return at.astimezone(UTC)
        while day.weekday() not in open_days:
            day += timedelta(days=1)
        return datetime.combine(day, opens, zone).astimezone(UTC)


class Partner(Model):
    id: Slug
    title: Words
    kind: PartnerKind
    connector: ConnectorName
    #: Where the partner is, for the register of transfers.
    country: Country
    language: LanguageTag
    #: Whose items it answers for; empty for one that is only named in routes.
    services: tuple[Slug, ...] = ()
    categories: tuple[Slug | Any_, ...]
    agreement: Agreement
    escalation: tuple[EscalationStep, ...] = ()
    hours: ContactHours | None = None
    #: Requests that are not urgent wait this long for others to the same contact, and leave as one.
    group: Span | None = None


class Authority(Model):
    """The address packages go to is a setting of the deployment, never in the pack."""

    id: Slug
    title: Words
    kind: Literal[
        "police", "prosecution", "data_protection", "cert", "child_protection", "administration"
    ]
    territory: Literal["national", "urban", "rural"]
    categories: tuple[Slug, ...]
    delivery: Literal["webhook", "email", "portal", "file"]
    #: The body's own public page, for a person.
    portal: Link | None = None
    language: LanguageTag
    confidence: Confidence
    note: str = ""


class AuthorityRoute(Model):
    id: Slug
    when: ReferWhen


class RouteRule(Model):
    """Who is told. ``@platform`` stands for every partner that serves the item's service and takes
    the category, ``@hosting-hub`` for every hub of the country where the item is hosted that takes
    it. Rules are tried in order; the first match wins.
    """

    id: Slug
    categories: tuple[Slug, ...]
    services: tuple[Slug | Any_, ...] = ("*",)
    partners: tuple[Slug | Literal["@platform", "@hosting-hub"], ...] = ()
    authorities: tuple[AuthorityRoute, ...] = ()
    scope: Literal["global", "country"]


class AutomaticExample(Model):
    category: Slug
    channel: KnownChannel
    signals: tuple[Signal, ...] = ()
    acts: bool


class AutomaticRule(Model):
    """A request that leaves before a person looks. Never for speech; the loader checks."""

    id: Slug
    category: Slug
    partner: Slug
    ground: Ground
    #: Empty: any channel. One of ``channels`` and ``signals`` must be given.
    channels: tuple[KnownChannel, ...] = ()
    #: All must be present.
    signals: tuple[Signal, ...] = ()
    confirm: Literal["none", "post"]
    examples: tuple[AutomaticExample, ...] = Field(min_length=2)

    def acts(self, category: str, channel: Channel, signals: Collection[Signal]) -> bool:
        return (
            category == self.category
            and (not self.channels or channel in self.channels)
            and all(s in signals for s in self.signals)
        )


class RoutingFile(Model):
    routes: tuple[RouteRule, ...]
    automatic: tuple[AutomaticRule, ...] = ()


class Hosting(Model):
    """Where hosts are, as far as an operator knows better than their top-level domain tells."""

    #: Country by host; a name covers all names below it, and the longest one that fits wins.
    countries: dict[HostSuffix, Country] = Field(default_factory=dict)


class HelpContact(Model):
    """A number or page people can turn to. Unverified ones are kept, and not shown."""

    id: Slug
    title: Words
    phone: Annotated[str, StringConstraints(pattern=r"^[0-9+ ]{2,20}$")] | None = None
    link: Link | None = None
    hours: Words = Field(default_factory=dict)
    status: Literal["sourced", "unverified"]
    checked: CheckedOn
    source: str
    note: str = ""

    @model_validator(mode="after")
    def _reachable(self) -> "HelpContact":
        if not (self.phone or self.link):
            raise ValueError("phone or link: at least one of them")
        return self

    @property
    def shown(self) -> bool:
        return self.status == "sourced"

    @property
    def tel(self) -> str | None:
        """The ``tel:`` link of the phone number."""
        return f"tel:{self.phone.replace(' ', '')}" if self.phone else None


class AdviceCard(Model):
    id: Slug
    title: Words
    categories: tuple[Slug, ...]
    steps: tuple[Words, ...] = Field(min_length=1)
    contacts: tuple[Slug, ...] = ()


class Notice(Model):
    id: Slug
    title: Words
    paragraphs: tuple[Words, ...] = Field(min_length=1)


class StaffedHours(Model):
    """When people answer on one channel. ``hours`` empty: at any hour."""

    channel: KnownChannel
    title: Words
    hours: tuple[ContactHours, ...] = ()
    note: Words = Field(default_factory=dict)


class OtherRoute(Model):
    """A contact that is the right door for something this hub does not do, or not alone."""

    contact: Slug
    about: Words


#: What visits of unknown campaigns are counted as; no campaign may have this id.
OTHER_CAMPAIGN = "other"


class Campaign(Model):
    """A poster, a school, a site that links here; its visits and reports are counted."""

    id: Slug
    title: Words


class Portal(Model):
    """What the reporters' pages say about this deployment, and where they lead."""

    #: Neutral, well-known pages a person may be looking at: where the quick exit goes.
    exits: dict[LanguageTag, Link] = Field(default_factory=dict)
    #: The category of the short path: a link, and send.
    quick_category: Slug | None = None
    #: Categories in which the reporter may own the image: fingerprints are made on the device.
    own_image: tuple[Slug, ...] = ()
    #: Contacts that match fingerprints with platforms, for adults and for minors.
    own_image_help: tuple[Slug, ...] = ()
    controller: Words = Field(default_factory=dict)
    #: Number of the authorisation or declaration; None until it is granted, and the page says so.
    authorisation: str | None = None
    #: Where rights are exercised: an address or a page.
    rights_contact: str = ""
    #: The law that grants them.
    rights_law: Slug | None = None
    staffed: tuple[StaffedHours, ...] = ()
    routes: tuple[OtherRoute, ...] = ()
    statistics: Link | None = None
    #: Legal clocks of feedback about the hub itself, ids of ``clocks.deadlines``.
    feedback_first: Slug | None = None
    feedback_answer: Slug | None = None
    campaigns: tuple[Campaign, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """Who is told about an item of one category on one service."""

    rule: str
    partners: tuple[Partner, ...]
    authorities: tuple[tuple[Authority, ReferWhen], ...]
    #: ISO country code or "global".
    scope: str


Text = str | dict[str, str]
T = TypeVar("T")
#: The group of everything that concerns a child's safety, in every pack.
CHILDREN = "children"
PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
# Embeddings, overrides, isolates, marks: inside a value they could reorder the sentence.
_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_ARABIC_DIGITS = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")


class CountryPack:
    """A checked pack. Lookups are dictionaries; an unknown id raises :class:`UnknownEntry`."""

    def __init__(
        self,
        *,
        info: PackInfo,
        taxonomy: Taxonomy,
        legal: LegalFile,
        clocks: Clocks,
        platforms: Platforms,
        partners: Iterable[Partner],
        authorities: Iterable[Authority],
        routing: RoutingFile,
        contacts: Iterable[HelpContact],
        advice: Iterable[AdviceCard],
        notices: Iterable[Notice],
        texts: Mapping[str, Mapping[str, Text]],
        hosting: Hosting | None = None,
        portal: Portal | None = None,
        desk: DeskRules | None = None,
        rules: RulesFile | None = None,
        lexicon: Lexicon | None = None,
    ) -> None:
        self.info, self.taxonomy, self.clocks = info, taxonomy, clocks
        self.hosting = hosting or Hosting()
        self.portal = portal or Portal()
        self.desk = desk or DeskRules()
        #: The desk compiles them; see ``wasl_triage.rules``.
        self.rules = rules or RulesFile()
        #: Compiled there too; see ``wasl_triage.domain.suggesting``.
        self.lexicon = lexicon or Lexicon()
        self.platforms, self.routing, self.texts = platforms, routing, texts
        self.groups: Mapping[str, Group] = {g.id: g for g in taxonomy.groups}
        self.categories: Mapping[str, Category] = {c.id: c for c in taxonomy.categories}
        self.languages: Mapping[str, Language] = {x.tag: x for x in info.languages}
        self.laws: Mapping[str, LegalRef] = {x.id: x for x in legal.laws}
        self.terms: Mapping[str, TermsRef] = {x.id: x for x in legal.terms}
        self.services: Mapping[str, Service] = {s.id: s for s in platforms.services}
        self.partners: Mapping[str, Partner] = {p.id: p for p in partners}
        self.authorities: Mapping[str, Authority] = {a.id: a for a in authorities}
        self.contacts: Mapping[str, HelpContact] = {c.id: c for c in contacts}
        self.advice_cards: Mapping[str, AdviceCard] = {a.id: a for a in advice}
        self.notices: Mapping[str, Notice] = {n.id: n for n in notices}
        self.deadlines: Mapping[str, Deadline] = {d.id: d for d in clocks.deadlines}
        self.queues: Mapping[str, Queue] = {q.id: q for q in self.desk.queues}
        self.questions: Mapping[str, Question] = {q.id: q for q in self.desk.questions}
        self.items = ItemFinder(platforms)
        self._zone = ZoneInfo(info.timezone)
        self._weekend = frozenset(list(Weekday).index(d) for d in info.weekend)
        self._holidays = frozenset(info.holidays)
        # Every report asks for clocks, and all reports of a day ask for the same few.
        self._day_after = lru_cache(maxsize=1024)(self._shifted)
        self._served = {
            served: x.tag for x in reversed(info.languages) for served in (*x.serves, x.tag)
        }

    # -- entries ---------------------------------------------------------------------------------

    def _get(self, kind: str, entries: Mapping[str, T], key: str) -> T:
        try:
            return entries[key]
        except KeyError:
            near = difflib.get_close_matches(key, entries, n=3)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise UnknownEntry(
                f"country pack '{self.info.id}' {self.info.version} has no {kind} '{key}'{hint}"
            ) from None

    def category(self, category: str) -> Category:
        return self._get("category", self.categories, category)

    def group(self, group: str) -> Group:
        return self._get("group", self.groups, group)

    def partner(self, partner: str) -> Partner:
        return self._get("partner", self.partners, partner)

    def authority(self, authority: str) -> Authority:
        return self._get("authority", self.authorities, authority)

    def service(self, service: str) -> Service:
        return self._get("service", self.services, service)

    def contact(self, contact: str) -> HelpContact:
        return self._get("contact", self.contacts, contact)

    def advice(self, card: str) -> AdviceCard:
        return self._get("advice card", self.advice_cards, card)

    def notice(self, notice: str) -> Notice:
        return self._get("notice", self.notices, notice)

    def law(self, ref: str) -> LegalRef:
        return self._get("legal reference", self.laws, ref)

    def clock(self, severity: Severity) -> SeverityClock:
        return self.clocks.severities[severity]

    def shown_contacts(self) -> tuple[HelpContact, ...]:
        """Numbers and pages that may be shown: only those seen in a source."""
        return tuple(c for c in self.contacts.values() if c.shown)

    # -- law -------------------------------------------------------------------------------------

    def ground(self, ground: Ground) -> LegalRef | TermsRef:
        """What a ground refers to. Raises UnknownEntry."""
        if ground.kind is GroundKind.LAW:
            return self._get("legal reference", self.laws, ground.ref)
        if ground.kind is GroundKind.TERMS:
            return self._get("terms reference", self.terms, ground.ref)
        raise UnknownEntry(f"ground kind '{ground.kind}' is not one of law, terms")

    def ground_fits(self, ground: Ground, category: str) -> bool:
        """True when the ground may be cited for the category: it exists, names the category and,
        for a law, is in force.
        """
        table: Mapping[str, LegalRef | TermsRef] = (
            self.laws if ground.kind is GroundKind.LAW else self.terms
        )
        ref = table.get(ground.ref)
        if ref is None or category not in ref.categories:
            return False
        return not isinstance(ref, LegalRef) or ref.in_force

    def grounds_for(self, category: str) -> tuple[Ground, ...]:
        """Every ground that fits the category, laws first, in the pack's order."""
        laws = (Ground(kind=GroundKind.LAW, ref=r) for r in self.laws)
        terms = (Ground(kind=GroundKind.TERMS, ref=r) for r in self.terms)
        return tuple(g for g in (*laws, *terms) if self.ground_fits(g, category))

    # -- severity, routes, automatic rules ---------------------------------------------------------

    def severity(self, category: str | None, signals: Collection[Signal]) -> SeverityResult:
        """Severity of a category (None: the reporter chose none) given signals."""
        return self.taxonomy.severity(
            None if category is None else self.category(category), signals
        )

    @cached_property
    def _hubs(self) -> Mapping[str | None, tuple[Partner, ...]]:
        """The hubs of each country; None, for every other country, has none."""
        found: dict[str | None, tuple[Partner, ...]] = {None: ()}
        for partner in self.partners.values():
            if partner.kind is PartnerKind.HUB:
                found[partner.country] = (*found.get(partner.country, ()), partner)
        return found

    @cached_property
    def _routes(self) -> Mapping[tuple[str, str, str | None], Route]:
        return {
            (category.id, service, hosted): route
            for category in self.categories.values()
            for service in self.services
            for hosted in self._hubs
            if (route := self._route(category, service, hosted)) is not None
        }

    def _route(self, category: Category, service: str, hosted: str | None) -> Route | None:
        if not category.dispatchable:
            return None
        for rule in self.routing.routes:
            if category.id in rule.categories and (
                "*" in rule.services or service in rule.services
            ):
                ids: dict[str, None] = {}
                for name in rule.partners:
                    match name:
                        case "@platform":
                            ids |= dict.fromkeys(self._serving(service, category.id))
                        case "@hosting-hub":
                            hubs = (p.id for p in self._hubs[hosted] if takes(p, category.id))
                            ids |= dict.fromkeys(hubs)
                        case _:
                            ids[name] = None
                return Route(
                    rule=rule.id,
                    partners=tuple(self.partners[i] for i in ids),
                    authorities=tuple((self.authorities[a.id], a.when) for a in rule.authorities),
                    scope="global" if rule.scope == "global" else self.info.country,
                )
        return None

    def _serving(self, service: str, category: str) -> tuple[str, ...]:
        return tuple(
            p.id for p in self.partners.values() if service in p.services and takes(p, category)
        )

    def route(
        self, category: str, service: str, *, hosted: str | None = None, on: date | None = None
    ) -> Route | None:
        """Who is told about this category on this service; None: nobody (never dispatched, or no
        rule). ``hosted``: the country where the item is hosted, None where that is not known. With
        ``on``, partners whose agreement is not valid that day are left out.
        """
        self.category(category)
        self.service(service)
        route = self._routes.get((category, service, hosted if hosted in self._hubs else None))
        if route is None or on is None:
            return route
        valid = tuple(p for p in route.partners if p.agreement.valid_on(on))
        return Route(route.rule, valid, route.authorities, route.scope)

    def automatic(
        self, category: str | None, channel: Channel, signals: Collection[Signal]
    ) -> tuple[AutomaticRule, ...]:
        """The rules that let the hub act on the reporter's own category before a person looks."""
        if category is None:
            return ()
        return tuple(r for r in self.routing.automatic if r.acts(category, channel, signals))

    def advice_for(self, category: str) -> tuple[AdviceCard, ...]:
        return tuple(a for a in self.advice_cards.values() if category in a.categories)

    # -- time ------------------------------------------------------------------------------------

    def working_day(self, day: date) -> bool:
        text = day.isoformat()
        return (
            day.weekday() not in self._weekend
            and text not in self._holidays
            and text[5:] not in self._holidays
        )

    def due(self, start: datetime, span: Span) -> datetime:
        """``start`` plus ``span``, in UTC. Minutes and hours run always; days, months and working
        days keep the local time of day in the pack's zone. The day of ``start`` is never counted.
        """
        fixed = _fixed(span)
        if fixed is not None:
            return start.astimezone(UTC) + fixed
        local = start.astimezone(self._zone)
        day = self._day_after(local.date(), span)
        return datetime.combine(day, local.time(), self._zone).astimezone(UTC)

    def _shifted(self, day: date, span: Span) -> date:
        amount = span.amount
        if span.unit == "days":
            return day + timedelta(days=amount)
        if span.unit == "months":
            year, month = divmod(day.year * 12 + day.month - 1 + amount, 12)
            last = calendar.monthrange(year, month + 1)[1]
            return date(year, month + 1, min(day.day, last))
        while amount:
            day += timedelta(days=1)
            amount -= self.working_day(day)
        return day

    # -- words -----------------------------------------------------------------------------------

    def language_for(self, tag: str) -> str:
        """The pack's language for a reader of ``tag``: itself, one that serves it, else the
        default. An unfinished language is returned as such; its missing texts fall back.
        """
        if found := self._served.get(tag):
            return found
        return self._served.get(tag.split("-", 1)[0], self.info.default_language)

    def _chain(self, lang: str) -> tuple[Language, ...]:
        first = self.languages[self.language_for(lang)]
        rest = (first.fallback, self.info.default_language)
        return (first, *(self.languages[t] for t in rest if t and t != first.tag))

    def words(self, words: Words, lang: str) -> str:
        """A label in the reader's language, or in the language that one falls back to."""
        for language in self._chain(lang):
            if found := words.get(language.tag):
                return found
        return next((w for w in words.values() if w), "")

    def text(self, lang: str, key: str, /, **values: str | int) -> str:
        """A sentence of ``texts/<language>.json`` with its placeholders filled.

        The number ``n`` chooses the plural form. Placeholders named after a contact that may be
        shown are filled by the pack. Text values are stripped of direction controls and, where
        their direction may differ from the sentence, wrapped in an isolate (U+2068 .. U+2069);
        readers of codes must drop those. Values are not escaped for HTML. Raises UnknownEntry for
        an unknown key or a missing value.
        """
        for language in self._chain(lang):
            found = self.texts.get(language.tag, {}).get(key)
            if found is not None:
                return self._fill(found, language, key, values)
        self._get("text", self.texts[self.info.default_language], key)
        raise AssertionError("the default language has every text; the loader checks it")

    def _fill(
        self, text: Text, language: Language, key: str, values: Mapping[str, str | int]
    ) -> str:
        if isinstance(text, dict):
            n = values.get("n")
            if not isinstance(n, int):
                raise UnknownEntry(f"text '{key}' needs a whole number n=")
            text = text[language.plural.form(n)]

        def value(match: re.Match[str]) -> str:
            name = match.group(1)
            given = values.get(name)
            if given is None and (contact := self.contacts.get(name)) and contact.shown:
                given = contact.phone or contact.link
            if given is None:
                raise UnknownEntry(f"text '{key}' needs a value for {{{name}}}")
            if isinstance(given, int):
                digits = str(given)
                return digits.translate(_ARABIC_DIGITS) if language.digits == "arab" else digits
            clean = _BIDI.sub("", given)
            if language.direction == "ltr" and clean.isascii():
                return clean
            return f"\u2068{clean}\u2069"

        return PLACEHOLDER.sub(value, text)

    def span_text(self, lang: str, span: Span) -> str:
        """A length of time in words, plural-correct: "30 minutes", "يومي عمل"."""
        return self.text(lang, f"span_{span.unit}", n=span.amount)


def takes(partner: Partner, category: str) -> bool:
    """True when the partner accepts requests of this category."""
    return "*" in partner.categories or category in partner.categories


def may_fetch(pack: CountryPack, category: str) -> bool:
    """Whether a machine of the hub may open an item of this category: never where a child's safety
    is concerned, nor where the pack does not know the category.
    """
    found = pack.categories.get(category)
    return found is not None and not (found.never_fetch or found.group == CHILDREN)


def automatic_allowed(category: Category) -> bool:
    """Whether an automatic rule may name it: no speech test, nobody needed beforehand."""
    return (
        category.dispatchable
        and category.expression_safeguard is Safeguard.FE0
        and category.four_eyes in {FourEyes.NONE, FourEyes.POST}
    )


def load_country_pack(path: Path) -> CountryPack:
    """Read and check the pack in directory ``path``.

    Raises :class:`CountryPackError` with every problem found; never returns a half-checked pack.
    """
    from wasl_schemas.country_pack_loader import load  # noqa: PLC0415  the loader needs these types

    return load(path)
