# SPDX-License-Identifier: Apache-2.0
"""Reads a country pack's files and checks them, alone and against each other.

Every section is one file, TOML or JSON; texts are one JSON file a language. All problems of a stage
are collected before anything is raised, each as ``file: entry.field: what was expected``.
"""

import difflib
import json
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from wasl_schemas.base import Model
from wasl_schemas.country_pack import (
    OTHER_CAMPAIGN,
    PLACEHOLDER,
    AdviceCard,
    Authority,
    AutomaticRule,
    Clocks,
    Confidence,
    CountryPack,
    CountryPackError,
    Deadline,
    HelpContact,
    Hosting,
    LegalFile,
    LegalRef,
    Notice,
    PackInfo,
    Partner,
    PartnerKind,
    Portal,
    RoutingFile,
    TermsRef,
    Text,
    automatic_allowed,
    takes,
)
from wasl_schemas.desk import DeskRules
from wasl_schemas.events.common import GroundKind, Severity
from wasl_schemas.lexicon import Lexicon, check_lexicon
from wasl_schemas.lifecycle import ReporterStatus
from wasl_schemas.platforms import ItemFinder, Platforms
from wasl_schemas.rules import (
    RULES_FILE,
    RulesDocument,
    RulesError,
    RulesFile,
    check_rules,
    line_of,
    places,
)
from wasl_schemas.taxonomy import FourEyes, Safeguard, Taxonomy, Words
from wasl_schemas.timeline import TimelineKind

M = TypeVar("M", bound=BaseModel)
#: How Pydantic opens its sentences, for one style in all messages.
_STYLE = re.compile(r"^(Input should be|(String|Tuple|Dictionary) should|Value error,)")


class _Partners(Model):
    partners: tuple[Partner, ...] = Field(min_length=1)


class _Authorities(Model):
    authorities: tuple[Authority, ...] = ()


class _Contacts(Model):
    contacts: tuple[HelpContact, ...] = ()


class _Advice(Model):
    cards: tuple[AdviceCard, ...] = ()


class _Notices(Model):
    notices: tuple[Notice, ...] = ()


_SECTIONS: Mapping[str, type[BaseModel]] = {
    "pack": PackInfo,
    "taxonomy": Taxonomy,
    "legal": LegalFile,
    "clocks": Clocks,
    "platforms": Platforms,
    "partners": _Partners,
    "authorities": _Authorities,
    "routing": RoutingFile,
    "contacts": _Contacts,
    "advice": _Advice,
    "notices": _Notices,
    "hosting": Hosting,
    "portal": Portal,
    "desk": DeskRules,
    "lexicon": Lexicon,
}
#: Sections a pack may leave out.
_OPTIONAL = {"hosting": Hosting(), "portal": Portal(), "desk": DeskRules(), "lexicon": Lexicon()}

#: What the services say to reporters; every complete language has each of these.
REQUIRED_TEXTS: tuple[str, ...] = (
    *(f"status_{s.value}" for s in ReporterStatus),
    *(f"timeline_{k.value}" for k in TimelineKind),
    "timeline_received",
    "timeline_withdrawn",
    *(f"span_{u}" for u in ("minutes", "hours", "days", "working_days", "months")),
    "notification_sender",
    *(f"notification_{k}{p}" for k in ("", "message_", "referral_") for p in ("subject", "body")),
    *(f"error_{k}" for k in ("nothing", "url", "too_long", "rate", "server", "code")),
)


def load(path: Path) -> CountryPack:
    """See :func:`wasl_schemas.country_pack.load_country_pack`."""
    if not path.is_dir():
        raise CountryPackError(path, ["expected a directory with pack.toml or pack.json"])
    reader = _Reader(path)
    sections = {name: reader.section(name, model) for name, model in _SECTIONS.items()}
    reader.strangers()
    rules = reader.rules()
    info = sections["pack"]
    texts: dict[str, dict[str, Text]] = {}
    if isinstance(info, PackInfo):
        texts = {lang.tag: reader.texts(lang.tag, lang.complete) for lang in info.languages}
    if reader.problems:
        raise CountryPackError(path, reader.problems)

    def of(name: str, model: type[M]) -> M:
        section = sections[name]
        assert isinstance(section, model)
        return section

    checks = _Checks(
        files=reader.files,
        info=of("pack", PackInfo),
        taxonomy=of("taxonomy", Taxonomy),
        legal=of("legal", LegalFile),
        clocks=of("clocks", Clocks),
        platforms=of("platforms", Platforms),
        partners=of("partners", _Partners).partners,
        authorities=of("authorities", _Authorities).authorities,
        routing=of("routing", RoutingFile),
        contacts=of("contacts", _Contacts).contacts,
        advice=of("advice", _Advice).cards,
        notices=of("notices", _Notices).notices,
        hosting=of("hosting", Hosting),
        portal=of("portal", Portal),
        desk=of("desk", DeskRules),
        lexicon=of("lexicon", Lexicon),
        texts=texts,
    )
    checks.run()
    if checks.problems:
        raise CountryPackError(path, checks.problems)
    pack = checks.pack(rules)
    if problems := check_rules(rules, pack):
        raise CountryPackError(path, problems)
    return pack


def read_rules(text: str) -> RulesFile:
    """The text of a ``rules.toml``, read; :func:`check_rules` holds it against a pack.

    Raises :class:`RulesError`.
    """
    try:
        data = tomllib.loads(text)
    except ValueError as error:
        raise RulesError([f"{RULES_FILE}: not readable as TOML: {error}"]) from None
    try:
        return RulesFile(RulesDocument.model_validate(data), text)
    except ValidationError as error:
        lines = places(text)

        def at(loc: tuple[str | int, ...]) -> str:
            line = line_of(lines, loc)
            return f"line {line}: " if line else ""

        raise RulesError(_explain(RULES_FILE, data, error, at)) from None


class _Reader:
    """Files to models. A file that cannot be read gives None and a problem."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[str] = []
        #: Section name to file name, for messages.
        self.files: dict[str, str] = {}

    def section(self, name: str, model: type[M]) -> M | None:
        found = [f for f in (f"{name}.toml", f"{name}.json") if (self.path / f).is_file()]
        if not found and isinstance(left_out := _OPTIONAL.get(name), model):
            return left_out
        if len(found) != 1:
            what = "both exist; keep one" if found else "missing"
            self.problems.append(f"{name}.toml or {name}.json: {what}")
            return None
        self.files[name] = found[0]
        data = self._parse(found[0])
        if data is None:
            return None
        try:
            return model.model_validate(data)
        except ValidationError as error:
            self.problems += _explain(found[0], data, error)
            return None

    def rules(self) -> RulesFile:
        file = self.path / RULES_FILE
        if not file.is_file():
            return RulesFile()
        try:
            return read_rules(file.read_text(encoding="utf-8"))
        except RulesError as error:
            self.problems += error.problems
        except (OSError, ValueError) as error:
            self.problems.append(f"{RULES_FILE}: not readable: {error}")
        return RulesFile()

    def _parse(self, name: str) -> Any:
        try:
            text = (self.path / name).read_text(encoding="utf-8")
            if name.endswith(".toml"):
                return tomllib.loads(text)
            return json.loads(text, object_pairs_hook=_no_duplicates)
        except (OSError, ValueError) as error:
            self.problems.append(
                f"{name}: not readable as {name.rsplit('.', 1)[1].upper()}: {error}"
            )
            return None

    def texts(self, tag: str, complete: bool) -> dict[str, Text]:
        name = f"texts/{tag}.json"
        if not (self.path / name).is_file():
            if complete:
                self.problems.append(f"{name}: missing; the language is marked complete in pack")
            return {}
        data = self._parse(name)
        if data is None:
            return {}
        if not isinstance(data, dict):
            self.problems.append(f"{name}: expected an object of texts")
            return {}
        texts: dict[str, Text] = {}
        for key, value in data.items():
            if (isinstance(value, str) and value) or (
                isinstance(value, dict) and all(isinstance(v, str) and v for v in value.values())
            ):
                texts[key] = value
            else:
                self.problems.append(f"{name}: {key}: expected a text, or texts by plural form")
        return texts

    def strangers(self) -> None:
        for file in sorted(self.path.iterdir()):
            known = file.stem in _SECTIONS or file.name == RULES_FILE
            if file.suffix in {".toml", ".json"} and not known:
                near = difflib.get_close_matches(file.stem, (*_SECTIONS, "rules"), n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                self.problems.append(f"{file.name}: not a section of a country pack{hint}")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = Counter(name for name, _ in pairs)
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise ValueError(f"the key '{twice[0]}' is given twice")
    return dict(pairs)


def _explain(
    file: str,
    data: Any,
    error: ValidationError,
    at: Callable[[tuple[str | int, ...]], str] = lambda _: "",
) -> Iterator[str]:
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        place, here = "", data
        for part in problem["loc"]:
            if isinstance(here, Mapping):
                here = here.get(part)
            elif isinstance(here, (list, tuple)) and isinstance(part, int) and part < len(here):
                here = here[part]
                name = here.get("id") if isinstance(here, Mapping) else None
                place += f"[{name or part}]"
                continue
            place += f".{part}" if place else str(part)
        match problem["type"]:
            case "missing":
                expected = "expected a value; the field is missing"
            case "extra_forbidden":
                expected = "not a known field; check its spelling"
            case _:
                expected = _STYLE.sub("expected", problem["msg"])
        where = f"{file}: {at(problem['loc'])}"
        yield f"{where}{place}: {expected}" if place else f"{where}{expected}"


class _Checks:
    """References, completeness, and the bounds of automatic decisions."""

    def __init__(
        self,
        *,
        files: Mapping[str, str],
        info: PackInfo,
        taxonomy: Taxonomy,
        legal: LegalFile,
        clocks: Clocks,
        platforms: Platforms,
        partners: tuple[Partner, ...],
        authorities: tuple[Authority, ...],
        routing: RoutingFile,
        contacts: tuple[HelpContact, ...],
        advice: tuple[AdviceCard, ...],
        notices: tuple[Notice, ...],
        hosting: Hosting,
        portal: Portal,
        desk: DeskRules,
        lexicon: Lexicon,
        texts: Mapping[str, Mapping[str, Text]],
    ) -> None:
        self.problems: list[str] = []
        self.files = files
        self.info, self.taxonomy, self.legal, self.clocks = info, taxonomy, legal, clocks
        self.platforms, self.partners, self.authorities = platforms, partners, authorities
        self.routing, self.contacts, self.advice = routing, contacts, advice
        self.notices, self.hosting, self.texts = notices, hosting, texts
        self.portal = portal
        self.desk = desk
        self.lexicon = lexicon
        self.languages = {x.tag: x for x in info.languages}
        self.complete = [x.tag for x in info.languages if x.complete]
        self.categories = {c.id: c for c in taxonomy.categories}

    def pack(self, rules: RulesFile) -> CountryPack:
        return CountryPack(
            info=self.info,
            taxonomy=self.taxonomy,
            legal=self.legal,
            clocks=self.clocks,
            platforms=self.platforms,
            partners=self.partners,
            authorities=self.authorities,
            routing=self.routing,
            contacts=self.contacts,
            advice=self.advice,
            notices=self.notices,
            hosting=self.hosting,
            portal=self.portal,
            desk=self.desk,
            lexicon=self.lexicon,
            rules=rules,
            texts=self.texts,
        )

    def say(self, section: str, place: str, expected: str) -> None:
        self.problems.append(f"{self.files.get(section, section)}: {place}: {expected}")

    def run(self) -> None:
        self._unique()
        self._languages()
        self._taxonomy()
        self._legal()
        self._clocks()
        self._platforms()
        self._partners()
        self._routing()
        self._advice()
        self._portal()
        self._desk()
        for place, expected in check_lexicon(self.lexicon, self.categories):
            self.say("lexicon", place, expected)
        self._words()
        self._texts()

    # -- helpers ---------------------------------------------------------------------------------

    def _refer(
        self, section: str, place: str, ids: Iterable[str], known: Iterable[str], what: str
    ) -> None:
        known = list(known)
        for one in ids:
            if one not in known:
                near = difflib.get_close_matches(one, known, n=1)
                hint = f"; did you mean '{near[0]}'?" if near else ""
                self.say(section, place, f"expected the id of {what}, got '{one}'{hint}")

    def _unique(self) -> None:
        lists: Mapping[tuple[str, str], Iterable[Any]] = {
            ("taxonomy", "groups"): self.taxonomy.groups,
            ("taxonomy", "categories"): self.taxonomy.categories,
            ("taxonomy", "modifiers"): self.taxonomy.modifiers,
            ("legal", "laws"): self.legal.laws,
            ("legal", "terms"): self.legal.terms,
            ("clocks", "deadlines"): self.clocks.deadlines,
            ("platforms", "services"): self.platforms.services,
            ("partners", "partners"): self.partners,
            ("authorities", "authorities"): self.authorities,
            ("routing", "routes"): self.routing.routes,
            ("routing", "automatic"): self.routing.automatic,
            ("contacts", "contacts"): self.contacts,
            ("advice", "cards"): self.advice,
            ("notices", "notices"): self.notices,
            ("portal", "campaigns"): self.portal.campaigns,
            ("desk", "queues"): self.desk.queues,
            ("desk", "questions"): self.desk.questions,
            ("desk", "opinions"): self.desk.opinions,
        }
        for (section, name), entries in lists.items():
            for one, count in Counter(e.id for e in entries).items():
                if count > 1:
                    self.say(section, f"{name}[{one}].id", "expected an id used once")

    # -- pack and taxonomy -----------------------------------------------------------------------

    def _languages(self) -> None:
        tags = [x.tag for x in self.info.languages]
        for tag, count in Counter(tags).items():
            if count > 1:
                self.say("pack", f"languages[{tag}].tag", "expected a tag used once")
        if self.info.default_language not in self.complete:
            self.say("pack", "default_language", "expected the tag of a complete language")
        for language in self.info.languages:
            if language.fallback and language.fallback not in self.complete:
                self.say(
                    "pack", f"languages[{language.tag}].fallback", "expected a complete language"
                )

    def _taxonomy(self) -> None:
        for c in self.taxonomy.categories:
            place = f"categories[{c.id}]"
            groups = [g.id for g in self.taxonomy.groups]
            self._refer("taxonomy", f"{place}.group", [c.group], groups, "a group")
            if c.expression_safeguard is Safeguard.FE3_BLOCK and c.dispatchable:
                self.say(
                    "taxonomy",
                    f"{place}.dispatchable",
                    "expected false, as the safeguard is FE3-block",
                )
            if c.expression_safeguard is Safeguard.FE3 and c.four_eyes not in {
                FourEyes.PRE,
                FourEyes.PRE_LEGAL,
            }:
                self.say("taxonomy", f"{place}.four_eyes", "expected pre or pre_legal with FE3")
        for m in self.taxonomy.modifiers:
            place = f"modifiers[{m.id}]"
            for name in ("only_categories", "never_categories"):
                self._refer(
                    "taxonomy", f"{place}.{name}", getattr(m, name), self.categories, "a category"
                )
            if m.adds_category:
                self._refer(
                    "taxonomy",
                    f"{place}.adds_category",
                    [m.adds_category],
                    self.categories,
                    "a category",
                )

    def _legal(self) -> None:
        grounds: tuple[tuple[str, tuple[LegalRef | TermsRef, ...]], ...] = (
            ("laws", self.legal.laws),
            ("terms", self.legal.terms),
        )
        for name, refs in grounds:
            for ref in refs:
                self._refer(
                    "legal",
                    f"{name}[{ref.id}].categories",
                    ref.categories,
                    self.categories,
                    "a category",
                )
        cited = {
            c
            for _, refs in grounds
            for ref in refs
            if getattr(ref, "in_force", True)
            for c in ref.categories
        }
        for c in self.taxonomy.categories:
            if c.dispatchable and c.id not in cited:
                self.say(
                    "legal",
                    "laws",
                    f"expected a ground in force for the category '{c.id}', or a term",
                )

    def _clocks(self) -> None:
        for severity in Severity:
            if severity not in self.clocks.severities:
                self.say("clocks", f"severities.{severity.value}", "expected a clock")
        laws = [x.id for x in self.legal.laws]
        for d in self.clocks.deadlines:
            place = f"deadlines[{d.id}]"
            if d.source:
                self._refer("clocks", f"{place}.source", [d.source], laws, "a law")
            if d.kind == "law" and not d.source:
                self.say("clocks", f"{place}.source", "expected the id of a law, as kind is 'law'")
            self._dated("clocks", place, d)

    def _dated(self, section: str, place: str, entry: Deadline) -> None:
        if entry.confidence is Confidence.SOURCED and entry.checked is None:
            self.say(
                section, f"{place}.checked", "expected a date, because confidence is 'sourced'"
            )

    # -- platforms and partners ------------------------------------------------------------------

    def _platforms(self) -> None:
        services = [s.id for s in self.platforms.services]
        self._refer("platforms", "fallback", [self.platforms.fallback], services, "a service")
        owners = Counter(h for s in self.platforms.services for h in s.hosts)
        sound = True
        for s in self.platforms.services:
            for host in s.hosts:
                if owners[host] > 1:
                    self.say("platforms", f"services[{s.id}].hosts", f"'{host}' is in two services")
            for n, rule in enumerate(s.items):
                place = f"services[{s.id}].items[{n}]"
                groups = set(re.compile(rule.path).groupindex) | set(rule.query)
                for pattern in rule.query.values():
                    groups |= set(re.compile(pattern).groupindex)
                used = set(re.findall(r"\{([a-z]+)\}", rule.key))
                if not used:
                    self.say("platforms", f"{place}.key", "expected at least one {name}")
                    sound = False
                for field, names in (("key", used), ("lower", set(rule.lower))):
                    for name in sorted(names - groups):
                        sound = False
                        self.say(
                            "platforms",
                            f"{place}.{field}",
                            f"'{name}' is no named group of path or query",
                        )
                if rule.scheme is None:
                    self._refer(
                        "platforms", f"{place}.hosts", rule.hosts, s.hosts, "a host of the service"
                    )
        if sound:
            self._platform_examples()

    def _platform_examples(self) -> None:
        finder = ItemFinder(self.platforms)
        for s in self.platforms.services:
            for n, rule in enumerate(s.items):
                for example in rule.examples:
                    item = finder.find_url(example.url)
                    got = item.key if item else "no item"
                    if got != example.key:
                        self.say(
                            "platforms",
                            f"services[{s.id}].items[{n}].examples",
                            f"expected {example.key} from {example.url}, got {got}",
                        )

    def _partners(self) -> None:
        services = [s.id for s in self.platforms.services]
        for p in self.partners:
            place = f"partners[{p.id}]"
            self._refer("partners", f"{place}.services", p.services, services, "a service")
            named = [c for c in p.categories if c != "*"]
            self._refer("partners", f"{place}.categories", named, self.categories, "a category")
            for c in named:
                if c in self.categories and not self.categories[c].dispatchable:
                    self.say("partners", f"{place}.categories", f"'{c}' is never dispatched")
            self._language("partners", place, p.language)
            if p.kind is PartnerKind.HUB and p.id == self.info.id:
                self.say("partners", f"{place}.id", "expected another hub's id, this is our own")
        for a in self.authorities:
            place = f"authorities[{a.id}]"
            self._refer(
                "authorities", f"{place}.categories", a.categories, self.categories, "a category"
            )
            self._language("authorities", place, a.language)

    def _language(self, section: str, place: str, tag: str) -> None:
        if tag not in self.complete:
            self.say(section, f"{place}.language", "expected the tag of a complete language")

    # -- routes and automatic rules --------------------------------------------------------------

    def _routing(self) -> None:
        partners = {p.id: p for p in self.partners}
        authorities = {a.id: a for a in self.authorities}
        services = [s.id for s in self.platforms.services]
        for r in self.routing.routes:
            place = f"routes[{r.id}]"
            self._refer(
                "routing", f"{place}.categories", r.categories, self.categories, "a category"
            )
            named = [s for s in r.services if s != "*"]
            self._refer("routing", f"{place}.services", named, services, "a service")
            direct = [p for p in r.partners if not p.startswith("@")]
            hubs = [p for p in self.partners if p.kind is PartnerKind.HUB]
            if "@hosting-hub" in r.partners and not hubs:
                self.say("routing", f"{place}.partners", "expected a partner of kind 'hub'")
            self._refer("routing", f"{place}.partners", direct, partners, "a partner")
            ids = [a.id for a in r.authorities]
            self._refer("routing", f"{place}.authorities", ids, authorities, "an authority")
            for c in r.categories:
                if c in self.categories and not self.categories[c].dispatchable:
                    self.say("routing", f"{place}.categories", f"'{c}' is never dispatched")
                for p in direct:
                    if p in partners and c in self.categories and not takes(partners[p], c):
                        self.say("routing", f"{place}.partners", f"'{p}' does not take '{c}'")
                for a in ids:
                    if a in authorities and c not in authorities[a].categories:
                        self.say("routing", f"{place}.authorities", f"'{a}' does not take '{c}'")
            if not r.partners and not r.authorities:
                self.say("routing", place, "expected a partner or an authority")
        for rule in self.routing.automatic:
            self._automatic(rule, partners)

    def _automatic(self, rule: AutomaticRule, partners: Mapping[str, Partner]) -> None:
        place = f"automatic[{rule.id}]"
        self._refer("routing", f"{place}.category", [rule.category], self.categories, "a category")
        self._refer("routing", f"{place}.partner", [rule.partner], partners, "a partner")
        if not rule.channels and not rule.signals:
            self.say(
                "routing", place, "expected channels or signals; a category alone is not enough"
            )
        category = self.categories.get(rule.category)
        if category is not None:
            if not automatic_allowed(category):
                self.say(
                    "routing",
                    f"{place}.category",
                    f"'{rule.category}' may not be automatic: expected safeguard FE0 and four_eyes "
                    f"none or post, it has {category.expression_safeguard.value} and "
                    f"{category.four_eyes.value}",
                )
            if category.four_eyes is FourEyes.POST and rule.confirm != "post":
                self.say("routing", f"{place}.confirm", "expected post, as four_eyes is post")
        if rule.partner in partners and category and not takes(partners[rule.partner], category.id):
            self.say(
                "routing", f"{place}.partner", f"'{rule.partner}' does not take '{category.id}'"
            )
        refs = self.legal.laws if rule.ground.kind is GroundKind.LAW else self.legal.terms
        if not any(x.id == rule.ground.ref and rule.category in x.categories for x in refs):
            self.say(
                "routing", f"{place}.ground", f"expected a ground in legal for '{rule.category}'"
            )
        for n, e in enumerate(rule.examples):
            if rule.acts(e.category, e.channel, e.signals) != e.acts:
                self.say(
                    "routing", f"{place}.examples[{n}].acts", f"expected {str(not e.acts).lower()}"
                )
        if {e.acts for e in rule.examples} != {True, False}:
            self.say("routing", f"{place}.examples", "expected one that acts and one that does not")

    # -- words -----------------------------------------------------------------------------------

    def _advice(self) -> None:
        contacts = [c.id for c in self.contacts if c.shown]
        for a in self.advice:
            place = f"cards[{a.id}]"
            self._refer(
                "advice", f"{place}.categories", a.categories, self.categories, "a category"
            )
            self._refer(
                "advice", f"{place}.contacts", a.contacts, contacts, "a contact that is shown"
            )

    def _desk(self) -> None:
        desk = self.desk
        queues = [q.id for q in desk.queues]

        def refer(field: str, ids: Iterable[str], known: Iterable[str], what: str) -> None:
            self._refer("desk", field, [i for i in ids if i != "*"], known, what)

        for q in desk.queues:
            refer(f"queues[{q.id}].categories", q.categories, self.categories, "a category")
        homes = Counter(c for q in desk.queues for c in q.categories)
        for category in sorted(c for c, n in homes.items() if n > 1):
            self.say("desk", "queues", f"'{category}' is in two queues")
        if desk.queues and sum(q.default for q in desk.queues) != 1:
            self.say("desk", "queues", "expected exactly one with default = true")
        for question in desk.questions:
            place = f"questions[{question.id}].categories"
            refer(place, question.categories, self.categories, "a category")
        for field in ("restricted", "blind", "rabat", "no_second_viewing"):
            refer(field, getattr(desk, field), self.categories, "a category")
        refer("exposure.points", desk.exposure.points, self.categories, "a category")
        refer("exposure.distressing", desk.exposure.distressing, self.categories, "a category")
        for body in desk.opinions:
            asked = [body.queue] if body.queue else []
            refer(f"opinions[{body.id}].queue", asked, queues, "a queue")
        asked_of = {q.id: q for q in desk.questions}
        for law in self.legal.laws:
            place = f"laws[{law.id}].elements"
            self._refer("legal", place, law.elements, asked_of, "a question of desk.toml")
            for element in law.elements:
                where = asked_of[element].categories if element in asked_of else ("*",)
                for category in law.categories if "*" not in where else ():
                    if category not in where:
                        self.say("legal", place, f"'{element}' is not asked about '{category}'")

    def _portal(self) -> None:
        portal, shown = self.portal, [c.id for c in self.contacts if c.shown]
        deadlines = {d.id: d for d in self.clocks.deadlines}

        def refer(field: str, ids: Iterable[str | None], known: Iterable[str], what: str) -> None:
            self._refer("portal", field, [i for i in ids if i is not None], known, what)

        refer("quick_category", [portal.quick_category], self.categories, "a category")
        refer("own_image", portal.own_image, self.categories, "a category")
        refer("own_image_help", portal.own_image_help, shown, "a contact that is shown")
        if portal.own_image and not portal.own_image_help:
            self.say("portal", "own_image_help", "expected a contact that takes fingerprints")
        laws = [x.id for x in self.legal.laws if x.in_force]
        refer("rights_law", [portal.rights_law], laws, "a law in force")
        for field in ("feedback_first", "feedback_answer"):
            named = getattr(portal, field)
            refer(field, [named], deadlines, "a deadline of clocks")
            if named in deadlines and deadlines[named].span is None:
                self.say("portal", field, f"expected a deadline with a span, '{named}' has none")
        for r in portal.routes:
            refer(f"routes[{r.contact}].contact", [r.contact], shown, "a contact that is shown")
        for name, entries in (
            ("routes", [r.contact for r in portal.routes]),
            ("staffed", [s.channel.value for s in portal.staffed]),
        ):
            for one, count in Counter(entries).items():
                if count > 1:
                    self.say("portal", f"{name}[{one}]", "expected one entry, there are several")
        if any(c.id == OTHER_CAMPAIGN for c in portal.campaigns):
            self.say(
                "portal",
                f"campaigns[{OTHER_CAMPAIGN}].id",
                f"expected another id; '{OTHER_CAMPAIGN}' counts visits of unknown campaigns",
            )
        refer("exits", portal.exits, self.languages, "a language")
        for tag in self.complete if "portal" in self.files else ():
            if tag not in portal.exits:
                self.say("portal", f"exits.{tag}", "expected a neutral page for the quick exit")

    def _labels(self) -> Iterator[tuple[str, str, Words]]:
        yield "pack", "title", self.info.title
        if self.portal.controller:
            yield "portal", "controller", self.portal.controller
        for r in self.portal.routes:
            yield "portal", f"routes[{r.contact}].about", r.about
        for s in self.portal.staffed:
            yield "portal", f"staffed[{s.channel.value}].title", s.title
            if s.note:
                yield "portal", f"staffed[{s.channel.value}].note", s.note
        for g in self.taxonomy.groups:
            yield "taxonomy", f"groups[{g.id}].label", g.label
        for c in self.taxonomy.categories:
            yield "taxonomy", f"categories[{c.id}].label", c.label
            yield "taxonomy", f"categories[{c.id}].definition", c.definition
            if c.examples:
                yield "taxonomy", f"categories[{c.id}].examples", c.examples
        titled: Mapping[tuple[str, str], Iterable[Any]] = {
            ("legal", "laws"): self.legal.laws,
            ("legal", "terms"): self.legal.terms,
            ("clocks", "deadlines"): self.clocks.deadlines,
            ("platforms", "services"): self.platforms.services,
            ("partners", "partners"): self.partners,
            ("authorities", "authorities"): self.authorities,
            ("contacts", "contacts"): self.contacts,
            ("advice", "cards"): self.advice,
            ("notices", "notices"): self.notices,
            ("portal", "campaigns"): self.portal.campaigns,
            ("desk", "queues"): self.desk.queues,
            ("desk", "opinions"): self.desk.opinions,
        }
        for register, label in self.lexicon.registers.items():
            yield "lexicon", f"registers.{register}", label
        for term in self.lexicon.terms:
            yield "lexicon", f"terms[{term.id}].label", term.label
        for (section, name), entries in titled.items():
            for e in entries:
                yield section, f"{name}[{e.id}].title", e.title
        for q in self.desk.queues:
            yield "desk", f"queues[{q.id}].owner", q.owner
        for question in self.desk.questions:
            yield "desk", f"questions[{question.id}].text", question.text
            if question.help:
                yield "desk", f"questions[{question.id}].help", question.help
        for n, rule in enumerate(self.desk.code_of_conduct):
            yield "desk", f"code_of_conduct[{n}]", rule
        for h in self.contacts:
            if h.hours:
                yield "contacts", f"contacts[{h.id}].hours", h.hours
        for a in self.advice:
            for n, step in enumerate(a.steps):
                yield "advice", f"cards[{a.id}].steps[{n}]", step
        for notice in self.notices:
            for n, paragraph in enumerate(notice.paragraphs):
                yield "notices", f"notices[{notice.id}].paragraphs[{n}]", paragraph

    def _words(self) -> None:
        for section, place, words in self._labels():
            for tag in self.complete:
                if not (words.get(tag) or "").strip():
                    self.say(section, f"{place}.{tag}", "expected words in this language")
            self._refer(section, place, words, self.languages, "a language")

    def _texts(self) -> None:
        shown = {c.id for c in self.contacts if c.shown}
        hidden = {c.id for c in self.contacts} - shown
        keys = {key for tag in self.complete for key in self.texts[tag]} | set(REQUIRED_TEXTS)
        for tag, language in self.languages.items():
            file = f"texts/{tag}.json"
            for key in sorted(keys) if language.complete else ():
                if key not in self.texts[tag]:
                    self.say(file, key, "expected a text; another language or a service needs it")
            for key, text in self.texts[tag].items():
                if key not in keys:
                    self.say(file, key, "not a text of any complete language")
                for form, sentence in text.items() if isinstance(text, dict) else ():
                    if form not in language.plural.forms:
                        self.say(file, f"{key}.{form}", f"not a plural form of '{language.plural}'")
                    self._braces(file, f"{key}.{form}", sentence)
                if isinstance(text, str):
                    self._braces(file, key, text)
                else:
                    for form in language.plural.forms:
                        if form not in text:
                            self.say(file, f"{key}.{form}", "expected this plural form")
                for name in sorted(_names(text) & hidden):
                    self.say(
                        file, key, f"{{{name}}} is a contact that is not verified, so not shown"
                    )
        default = self.texts[self.info.default_language]
        for key, text in default.items():
            for tag in self.languages:
                other = self.texts[tag].get(key)
                if other is not None and _names(other) != _names(text):
                    want = ", ".join(f"{{{n}}}" for n in sorted(_names(text))) or "no placeholder"
                    self.say(
                        f"texts/{tag}.json",
                        key,
                        f"expected the placeholders of '{self.info.default_language}': {want}",
                    )

    def _braces(self, file: str, place: str, sentence: str) -> None:
        if re.search(r"[{}]", PLACEHOLDER.sub("", sentence)):
            self.say(file, place, "a brace that is no {placeholder}")


def _names(text: Text) -> set[str]:
    """Placeholders of a text. A plural form may say the number itself, so ``n`` is implied."""
    if isinstance(text, str):
        return set(PLACEHOLDER.findall(text))
    return {"n"}.union(*(PLACEHOLDER.findall(t) for t in text.values()))
