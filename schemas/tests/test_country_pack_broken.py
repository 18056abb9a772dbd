# SPDX-License-Identifier: Apache-2.0
"""Each way to break a pack is refused, in words that name the file, the entry and the field."""

import json
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from wasl_schemas.country_pack import CountryPackError, load_country_pack

EXAMPLE = Path(__file__).parents[2] / "deploy" / "country-packs" / "example"
Change = Callable[[Any], None]


def copy_of_example(to: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, to / "pack"))


def change(pack: Path, section: str, edit: Change) -> None:
    """Edit one section; it is written back as JSON, the other format a pack may use."""
    toml = pack / f"{section}.toml"
    if toml.exists():
        data = tomllib.loads(toml.read_text(encoding="utf-8"))
        toml.unlink()
    else:
        data = json.loads((pack / f"{section}.json").read_text(encoding="utf-8"))
    edit(data)
    (pack / f"{section}.json").write_text(json.dumps(data), encoding="utf-8")


def put(path: str, value: object) -> Change:
    """``a.0.b`` = value; a last segment ``+`` appends, a value of ``...`` deletes."""

    def edit(data: Any) -> None:
        *way, last = path.split(".")
        for part in way:
            data = data[int(part)] if part.isdigit() else data[part]
        if last == "+":
            data.append(value)
        elif value is ...:
            del data[last]
        else:
            data[last] = value

    return edit


def again(path: str) -> Change:
    """A second copy of the first entry of a list."""

    def edit(data: Any) -> None:
        data[path].append(data[path][0])

    return edit


ACT = "automatic.0.category"
RULE = {"kind": "post", "examples": [{"url": "https://social.example/q/1", "key": "social:post:1"}]}

BROKEN: list[tuple[str, Change, str, str]] = [
    # section, change, where the message points, what it says
    ("pack", put("country", "Exampleland"), "pack.json: country", "expected match pattern"),
    ("pack", put("timezone", "Mars/Olympus"), "pack.json: timezone", "IANA time zone"),
    ("pack", put("default_language", "zgh"), "pack.json: default_language", "complete language"),
    ("pack", put("languages.2.fallback", "de"), "pack.json: languages[zgh].fallback", "complete"),
    ("pack", put("versoin", "1"), "pack.json: versoin", "not a known field"),
    ("pack", put("weekend", ["someday"]), "pack.json: weekend[0]", "expected 'monday'"),
    ("pack", put("weekend", ["monday"] * 7), "pack.json: weekend", "at most 6"),
    ("pack", put("title.ar", ""), "pack.json: title.ar", "words in this language"),
    (
        "taxonomy",
        put("categories.0.group", "harn"),
        "categories[scam].group",
        "did you mean 'harm'",
    ),
    (
        "taxonomy",
        put("categories.0.base_severity", "huge"),
        "categories[scam].base_severity",
        "'low'",
    ),
    (
        "taxonomy",
        put("categories.0.base_severity", ...),
        "categories[scam].base_severity",
        "missing",
    ),
    ("taxonomy", put("categories.0.label.ar", ...), "categories[scam].label.ar", "words"),
    ("taxonomy", put("categories.0.label.de", "Betrug"), "categories[scam].label", "a language"),
    (
        "taxonomy",
        put("categories.2.dispatchable", True),
        "categories[opinion].dispatchable",
        "false",
    ),
    ("taxonomy", put("categories.1.four_eyes", "none"), "categories[insult].four_eyes", "pre"),
    ("taxonomy", again("categories"), "categories[scam].id", "used once"),
    ("taxonomy", put("modifiers.0.signal", "full_moon"), "modifiers[crowd].signal", "'many_rep"),
    (
        "taxonomy",
        put("modifiers.0.only_categories", ["x"]),
        "modifiers[crowd].only_c",
        "a category",
    ),
    (
        "taxonomy",
        put("modifiers.0.effect", {"kind": "double"}),
        "modifiers[crowd].effect",
        "'raise'",
    ),
    ("legal", put("laws.0.categories", ["scan"]), "laws[xx.code.1].categories", "'scam'"),
    ("legal", put("laws.0.in_force", False), "laws", "a ground in force for the category 'scam'"),
    ("legal", put("laws.0.confidence", "sourced"), "laws[xx.code.1]", "checked: a date"),
    ("legal", put("laws.0.checked", "last week"), "laws[xx.code.1].checked", "pattern"),
    ("clocks", put("severities.low", ...), "severities.low", "expected a clock"),
    ("clocks", put("severities.high.feedback", {"weeks": 1}), "severities.high.feedback", "weeks"),
    (
        "clocks",
        put("severities.low.dispatch", {"days": 1, "hours": 1}),
        "severities.low",
        "exactly one",
    ),
    (
        "clocks",
        put("severities.critical.first_look", {"working_days": 1}),
        "critical",
        "round_the_c",
    ),
    ("clocks", put("severities.low.reminders", []), "severities.low.reminders", "at least 1"),
    (
        "clocks",
        put("severities.low.feedback", {"days": 0}),
        "severities.low.feedback.days",
        "greater",
    ),
    ("platforms", put("fallback", "wep"), "platforms.json: fallback", "did you mean 'web'"),
    (
        "platforms",
        put("services.1.items.0.path", "/p/(["),
        "services[social].items[0].path",
        "regular",
    ),
    ("platforms", put("services.1.items.0.key", "{nr}"), "services[social].items[0].key", "'nr'"),
    (
        "platforms",
        put("services.1.items.0.key", "fixed"),
        "services[social].items[0].key",
        "{name}",
    ),
    ("platforms", put("services.1.items.0.lower", ["x"]), "services[social].items[0].lower", "'x'"),
    (
        "platforms",
        put("services.1.items.0.hosts", ["a.b"]),
        "items[0].hosts",
        "host of the service",
    ),
    (
        "platforms",
        put("services.1.items.0.examples", []),
        "services[social].items[0].ex",
        "at least 1",
    ),
    (
        "platforms",
        put("services.0.hosts", ["social.example"]),
        "services[web].hosts",
        "two services",
    ),
    (
        "platforms",
        put("services.1.items.0.examples.0.key", "social:post:8"),
        "services[social].items[0].examples",
        "got social:post:7",
    ),
    (
        "platforms",
        put("services.1.items.+", {**RULE, "path": "/q/(?P<id>x)", "key": "{id}"}),
        "services[social].items[1].examples",
        "got no item",
    ),
    ("partners", put("partners.0.services", ["sozial"]), "partners[social].services", "'social'"),
    ("partners", put("partners.0.categories", ["opinion"]), "partners[social].categories", "never"),
    (
        "partners",
        put("partners.0.language", "zgh"),
        "partners[social].language",
        "complete language",
    ),
    ("partners", put("partners.0.connector", "Web Hook"), "partners[social].connector", "pattern"),
    ("partners", put("partners.0.agreement", ...), "partners[social].agreement", "missing"),
    ("authorities", put("authorities.0.kind", "army"), "authorities[police].kind", "'police'"),
    ("authorities", put("authorities.0.portal", "http://a.example"), "[police].portal", "pattern"),
    ("routing", put("routes.0.partners", ["sociall"]), "routes[scam].partners", "'social'"),
    (
        "routing",
        put("routes.0.categories", ["opinion"]),
        "routes[scam].categories",
        "never dispatched",
    ),
    ("routing", put("routes.0.services", ["mail"]), "routes[scam].services", "a service"),
    (
        "routing",
        put("routes.0.authorities.0.id", "navy"),
        "routes[scam].authorities",
        "an authority",
    ),
    (
        "routing",
        put("routes.0.authorities.0.when", "maybe"),
        "authorities[police].when",
        "'always'",
    ),
    (
        "routing",
        put("routes.1.authorities", [{"id": "police", "when": "always"}]),
        "routes[insult].authorities",
        "does",
    ),
    ("routing", put("routes.1.partners", []), "routes[insult]", "a partner or an authority"),
    ("routing", put("routes.1.scope", "moon"), "routes[insult].scope", "'global' or 'country'"),
    ("routing", put(ACT, "insult"), "automatic[partner-scam].category", "may not be automatic"),
    ("routing", put(ACT, "opinion"), "automatic[partner-scam].category", "may not be automatic"),
    ("routing", put(ACT, "unknown"), "automatic[partner-scam].category", "a category"),
    ("routing", put("automatic.0.channels", []), "automatic[partner-scam]", "channels or signals"),
    (
        "routing",
        put("automatic.0.channels", ["fax"]),
        "automatic[partner-scam].channels[0]",
        "a known",
    ),
    (
        "routing",
        put("automatic.0.signals", ["vibes"]),
        "automatic[partner-scam].signals",
        "'has_url'",
    ),
    (
        "routing",
        put("automatic.0.partner", "nobody"),
        "automatic[partner-scam].partner",
        "a partner",
    ),
    ("routing", put("automatic.0.ground.ref", "xx.code.2"), "[partner-scam].ground", "a ground"),
    (
        "routing",
        put("automatic.0.examples.0.acts", False),
        "[partner-scam].examples[0].acts",
        "true",
    ),
    ("routing", put("automatic.0.examples.1.channel", "partner"), "examples[1].acts", "true"),
    (
        "routing",
        put("routes.0.partners", ["@hosting-hub"]),
        "routes[scam].partners",
        "of kind 'hub'",
    ),
    ("routing", put("routes.0.partners", ["@hub"]), "routes[scam].partners", "expected"),
    ("contacts", put("contacts.0.checked", ...), "contacts[police].checked", "missing"),
    ("contacts", put("contacts.0.phone", ...), "contacts[police]", "phone or link"),
    ("contacts", put("contacts.0.phone", "call me"), "contacts[police].phone", "pattern"),
    (
        "contacts",
        put("contacts.0.status", "unverified"),
        "texts/en.json: error_rate",
        "not verified",
    ),
    ("advice", put("cards.0.contacts", ["old_line"]), "cards[money].contacts", "that is shown"),
    ("advice", put("cards.0.categories", ["scams"]), "cards[money].categories", "'scam'"),
    ("advice", put("cards.0.steps.0.ar", ...), "cards[money].steps[0].ar", "words"),
    (
        "notices",
        put("notices.0.paragraphs.0.ar", " "),
        "notices[what-we-do].paragraphs[0].ar",
        "words",
    ),
    (
        "taxonomy",
        put("categories.0.examples", {"en": "x"}),
        "categories[scam].examples.ar",
        "words",
    ),
    ("portal", put("quick_category", "scan"), "portal.json: quick_category", "'scam'"),
    ("portal", put("own_image", ["scan"]), "portal.json: own_image", "a category"),
    ("portal", put("own_image_help", ["old_line"]), "own_image_help", "that is shown"),
    ("portal", put("own_image_help", []), "portal.json: own_image_help", "takes fingerprints"),
    ("portal", put("routes.0.contact", "old_line"), "routes[old_line].contact", "that is shown"),
    ("portal", put("routes.0.about.ar", ""), "routes[consumers].about.ar", "words"),
    ("portal", again("routes"), "portal.json: routes[consumers]", "expected one entry"),
    ("portal", put("rights_law", "xx.code.9"), "portal.json: rights_law", "a law in force"),
    ("portal", put("feedback_answer", "anser"), "feedback_answer", "did you mean 'answer'"),
    ("portal", put("feedback_first", "answer_"), "feedback_first", "a deadline of clocks"),
    ("portal", put("exits.ar", ...), "portal.json: exits.ar", "neutral page"),
    ("portal", put("exits.de", "https://de.example"), "portal.json: exits", "a language"),
    ("portal", put("exits.ar", "http://ar.example"), "portal.json: exits", "pattern"),
    ("portal", put("controller.ar", ...), "portal.json: controller.ar", "words"),
    ("portal", put("staffed.0.channel", "fax"), "staffed[0].channel", "a known channel"),
    ("portal", put("staffed.0.title.ar", ...), "staffed[chat].title.ar", "words"),
    ("portal", put("staffed.0.note.ar", ...), "staffed[chat].note.ar", "words"),
    ("portal", put("staffed.0.hours.0.closes", "09:00"), "staffed[0].hours[0]", "earlier"),
    ("portal", again("staffed"), "portal.json: staffed[chat]", "expected one entry"),
    ("portal", put("campaigns.0.title.ar", ...), "campaigns[posters].title.ar", "words"),
    ("portal", put("campaigns.0.id", "other"), "campaigns[other].id", "expected another id"),
    ("portal", again("campaigns"), "campaigns[posters].id", "used once"),
    ("portal", put("statistics", "figures"), "portal.json: statistics", "pattern"),
    ("texts/en", put("status_removed", ...), "texts/en.json: status_removed", "expected a text"),
    (
        "texts/ar",
        put("timeline_dispatch_sent", "x"),
        "texts/ar.json: timeline_dispatch_sent",
        "{partner}",
    ),
    ("texts/en", put("error_url", "{"), "texts/en.json: error_url", "brace"),
    ("texts/en", put("error_url", 5), "texts/en.json: error_url", "expected a text"),
    ("texts/en", put("span_days", {"other": "{n} days"}), "span_days.one", "this plural form"),
    ("texts/en", put("span_days.few", "{n}"), "texts/en.json: span_days.few", "not a plural form"),
    ("texts/en", put("extra", "x"), "texts/ar.json: extra", "expected a text"),
]


@pytest.mark.parametrize(
    ("section", "edit", "where", "what"), BROKEN, ids=[f"{b[0]}-{b[2]}-{b[3]}" for b in BROKEN]
)
def test_a_broken_pack_is_refused_by_name(
    tmp_path: Path, section: str, edit: Change, where: str, what: str
) -> None:
    pack = copy_of_example(tmp_path)
    change(pack, section, edit)
    with pytest.raises(CountryPackError) as caught:
        load_country_pack(pack)
    assert str(pack) in str(caught.value)
    found = [p for p in caught.value.problems if where in p and what in p]
    assert found, caught.value.problems
    file = where.split(":", maxsplit=1)[0] if ".json: " in where else f"{section}.json"
    assert all(p.startswith(f"{file}: ") for p in found)


def test_all_problems_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    pack = copy_of_example(tmp_path)
    change(pack, "legal", put("laws.0.title", ...))
    change(pack, "clocks", put("confirm_within", {}))
    (pack / "notices.toml").unlink()
    (pack / "advise.toml").touch()
    with pytest.raises(CountryPackError) as caught:
        load_country_pack(pack)
    text = "\n".join(caught.value.problems)
    assert "legal.json: laws[xx.code.1].title: expected a value; the field is missing" in text
    assert "clocks.json: confirm_within" in text
    assert "notices.toml or notices.json: missing" in text
    assert "advise.toml: not a section of a country pack; did you mean advice?" in text


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    pack = copy_of_example(tmp_path)
    (pack / "legal.toml").write_text("laws = [", encoding="utf-8")
    (pack / "authorities.json").write_text(
        '{"authorities": [], "authorities": []}', encoding="utf-8"
    )
    (pack / "advice.json").write_text("{}", encoding="utf-8")
    (pack / "texts" / "ar.json").unlink()
    (pack / "texts" / "en.json").write_text("[]", encoding="utf-8")
    with pytest.raises(CountryPackError) as caught:
        load_country_pack(pack)
    text = "\n".join(caught.value.problems)
    assert "legal.toml: not readable as TOML" in text
    assert "authorities.json: not readable as JSON: the key 'authorities' is given twice" in text
    assert "advice.toml or advice.json: both exist" in text
    assert "texts/ar.json: missing" in text
    assert "texts/en.json: expected an object" in text


def test_a_missing_directory_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(CountryPackError, match="expected a directory with pack"):
        load_country_pack(tmp_path / "nowhere")


def test_a_deadline_of_feedback_has_a_length(tmp_path: Path) -> None:
    pack = copy_of_example(tmp_path)
    change(pack, "clocks", put("deadlines.0.span", ...))
    with pytest.raises(CountryPackError) as caught:
        load_country_pack(pack)
    assert [p for p in caught.value.problems if "feedback_answer: expected a deadline with" in p]


def test_a_post_category_needs_a_confirmed_automatic_rule(tmp_path: Path) -> None:
    pack = copy_of_example(tmp_path)
    change(pack, "taxonomy", put("categories.0.four_eyes", "post"))
    with pytest.raises(
        CountryPackError, match=r"automatic\[partner-scam\]\.confirm: expected post"
    ):
        load_country_pack(pack)


@pytest.mark.parametrize("safeguard", ["FE1", "FE2", "FE3", "FE3-block"])
def test_no_speech_safeguard_admits_an_automatic_rule(tmp_path: Path, safeguard: str) -> None:
    pack = copy_of_example(tmp_path)
    change(pack, "taxonomy", put("categories.0.expression_safeguard", safeguard))
    with pytest.raises(CountryPackError, match="'scam' may not be automatic"):
        load_country_pack(pack)


@pytest.mark.parametrize("four_eyes", ["pre", "pre_legal"])
def test_nothing_that_needs_two_people_beforehand_is_automatic(
    tmp_path: Path, four_eyes: str
) -> None:
    pack = copy_of_example(tmp_path)
    change(pack, "taxonomy", put("categories.0.four_eyes", four_eyes))
    with pytest.raises(CountryPackError, match="'scam' may not be automatic"):
        load_country_pack(pack)


def test_a_pack_does_not_name_its_own_hub(tmp_path: Path) -> None:
    pack = copy_of_example(tmp_path)
    change(pack, "partners", put("partners.0.kind", "hub"))
    change(pack, "partners", put("partners.0.id", "example"))
    with pytest.raises(CountryPackError) as caught:
        load_country_pack(pack)
    assert any("partners[example].id" in p and "our own" in p for p in caught.value.problems)


@pytest.mark.parametrize(
    "countries",
    [{".test": "NL"}, {"CDN.test": "NL"}, {"cdn.test.": "NL"}, {"cdn.test": "nl"}, {"a b": "NL"}],
)
def test_where_hosts_are_is_given_by_name_and_code(
    tmp_path: Path, countries: dict[str, str]
) -> None:
    pack = copy_of_example(tmp_path)
    (pack / "hosting.json").write_text(json.dumps({"countries": countries}), encoding="utf-8")
    with pytest.raises(CountryPackError) as caught:
        load_country_pack(pack)
    assert all("hosting.json: countries" in p for p in caught.value.problems)
