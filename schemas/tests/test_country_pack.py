# SPDX-License-Identifier: Apache-2.0
"""The packs in the repository load, and what services ask of a pack has the answers promised."""

import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from wasl_schemas.country_pack import (
    CountryPack,
    PluralRule,
    ReferWhen,
    Span,
    UnknownEntry,
    automatic_allowed,
    load_country_pack,
)
from wasl_schemas.country_pack_loader import REQUIRED_TEXTS
from wasl_schemas.events.common import Channel, Ground, GroundKind, Severity
from wasl_schemas.lifecycle import ReporterStatus
from wasl_schemas.taxonomy import FourEyes, Safeguard, Signal, signals_from_answers
from wasl_schemas.timeline import TimelineKind
from wasl_schemas.topics import BUILT_IN_CONNECTORS

PACKS = Path(__file__).parents[2] / "deploy" / "country-packs"
FSI, PDI = "\u2068", "\u2069"
PLACES = '["@hosting-hub", "@platform"]'


@pytest.fixture(scope="module")
def ma() -> CountryPack:
    return load_country_pack(PACKS / "ma")


@pytest.fixture(scope="module")
def example() -> CountryPack:
    return load_country_pack(PACKS / "example")


@pytest.mark.parametrize("path", sorted(PACKS.iterdir()), ids=lambda p: p.name)
def test_every_pack_of_the_repository_loads(path: Path) -> None:
    pack = load_country_pack(path)
    assert pack.info.id == path.name
    assert {p.connector for p in pack.partners.values()} <= set(BUILT_IN_CONNECTORS)


# -- Morocco's pack keeps the promises of the taxonomy ---------------------------------------------


def test_the_taxonomy_has_its_26_categories_in_9_groups(ma: CountryPack) -> None:
    assert len(ma.categories) == 26
    assert {c.group for c in ma.categories.values()} == set(ma.groups)
    assert len(ma.groups) == 9


def test_what_is_lawful_never_leaves(ma: CountryPack) -> None:
    blocked = ("lawful_objectionable", "other_illegal", "out_of_scope")
    for category in blocked:
        assert not ma.category(category).dispatchable
        for service in ma.services:
            assert ma.route(category, service) is None
    assert ma.category("lawful_objectionable").expression_safeguard is Safeguard.FE3_BLOCK


def test_everything_else_has_somewhere_to_go_from_everywhere(ma: CountryPack) -> None:
    for category in ma.categories.values():
        for service in ma.services if category.dispatchable else ():
            route = ma.route(category.id, service)
            assert route is not None
            if service != "web":
                assert route.partners, (category.id, service)


def test_child_abuse_links_go_to_the_hotline_alone_and_are_never_opened(ma: CountryPack) -> None:
    route = ma.route("csam", "facebook")
    assert route is not None
    assert [p.id for p in route.partners] == ["iwf"]
    assert route.scope == "global"
    assert ("dgsn", ReferWhen.ALWAYS) in [(a.id, when) for a, when in route.authorities]
    assert ma.category("csam").never_fetch


def test_one_desk_answers_for_the_services_of_one_company(ma: CountryPack) -> None:
    for service in ("facebook", "instagram", "whatsapp"):
        route = ma.route("impersonation", service)
        assert route is not None
        assert [p.id for p in route.partners] == ["meta"]


def test_speech_is_withheld_in_the_country_not_removed_from_the_world(ma: CountryPack) -> None:
    for category in ("defamation", "hate_speech", "disinformation"):
        route = ma.route(category, "youtube")
        assert route is not None
        assert route.scope == "MA"


def test_automatic_rules_are_the_ones_known_and_bounded(ma: CountryPack) -> None:
    assert {(r.category, r.partner) for r in ma.routing.automatic} == {
        ("csam", "iwf"),
        ("phishing_malware", "macert"),
        ("phishing_malware", "hosting-desk"),
    }
    for rule in ma.routing.automatic:
        assert automatic_allowed(ma.category(rule.category))
    found = ma.automatic("csam", Channel.WEB, {Signal.HAS_URL})
    assert [(r.partner, r.confirm) for r in found] == [("iwf", "post")]
    assert ma.automatic("csam", Channel.WEB, ()) == ()
    assert ma.automatic(None, Channel.PARTNER, {Signal.HAS_URL}) == ()
    by_partner = ma.automatic("phishing_malware", Channel.PARTNER, {Signal.HAS_URL})
    assert [r.partner for r in by_partner] == ["macert", "hosting-desk"]


def test_unverified_numbers_are_kept_and_not_shown(ma: CountryPack) -> None:
    assert ma.contact("emergency_mobile").phone == "112"
    assert not ma.contact("emergency_mobile").shown
    shown = {c.id for c in ma.shown_contacts()}
    assert {"police", "gendarmerie", "ambulance", "child_helpline"} <= shown
    assert "emergency_mobile" not in shown
    assert ma.contact("emc_helpline").tel == "tel:+212624405889"


def test_the_portal_promises_nothing_nobody_has_set(ma: CountryPack) -> None:
    portal = ma.portal
    assert portal.authorisation is None
    assert portal.staffed == ()
    assert "Not yet named" in ma.words(portal.controller, "en")
    assert portal.quick_category == "csam"
    assert {ma.deadlines[d].span for d in (portal.feedback_first, portal.feedback_answer) if d} == {
        Span(days=15),
        Span(days=60),
    }


def test_own_images_are_helped_without_being_sent(ma: CountryPack) -> None:
    assert set(ma.portal.own_image) == {"intimate_image_abuse", "sextortion"}
    assert [ma.contact(c).link for c in ma.portal.own_image_help] == [
        "https://stopncii.org",
        "https://takeitdown.ncmec.org",
    ]


def test_every_category_has_an_everyday_example(ma: CountryPack) -> None:
    for category in ma.categories.values():
        for tag in ("ar", "fr", "en"):
            line = category.examples[tag]
            assert line, (category.id, tag)
            assert "\n" not in line, (category.id, tag)
            assert len(line) <= 90, (category.id, tag)


def test_a_pack_may_come_without_a_portal(tmp_path: Path) -> None:
    pack = Path(shutil.copytree(PACKS / "example", tmp_path / "pack"))
    (pack / "portal.toml").unlink()
    portal = load_country_pack(pack).portal
    assert (portal.exits, portal.routes, portal.campaigns) == ({}, (), ())


def test_a_draft_law_is_listed_and_is_no_ground(ma: CountryPack) -> None:
    draft = Ground(kind=GroundKind.LAW, ref="ma.draft-platform-law")
    assert ma.law(draft.ref).in_force is False
    assert not ma.ground_fits(draft, "age_inappropriate")
    assert draft not in ma.grounds_for("age_inappropriate")


def test_unfinished_languages_are_marked_and_read_another(ma: CountryPack) -> None:
    zgh = ma.languages["zgh"]
    assert (zgh.complete, zgh.direction) == (False, "ltr")
    assert ma.category("csam").label.get("zgh") is None
    assert ma.words(ma.category("csam").label, "zgh") == ma.category("csam").label["ar"]
    assert ma.text("zgh", "status_received") == ma.text("ar", "status_received")


def test_every_status_and_timeline_line_has_words_in_every_language(ma: CountryPack) -> None:
    keys = [f"status_{s}" for s in ReporterStatus] + [f"timeline_{k}" for k in TimelineKind]
    assert set(keys) <= set(REQUIRED_TEXTS)
    for lang in ("ar", "fr", "en"):
        for key in keys:
            assert ma.text(lang, key, partner="P", authority="A")


# -- severity --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("category", "signals", "severity"),
    [
        ("sextortion", {Signal.MINOR_VICTIM}, Severity.CRITICAL),
        ("cyberbullying", {Signal.MINOR_VICTIM}, Severity.MEDIUM),
        ("cyberbullying", {Signal.MINOR_VICTIM, Signal.UNDER_13}, Severity.HIGH),
        ("threats", {Signal.ADDRESS_PUBLISHED}, Severity.HIGH),
        ("privacy_violation", {Signal.ADDRESS_PUBLISHED}, Severity.HIGH),
        ("scam_fraud", {Signal.MANY_REPORTERS}, Severity.HIGH),
        ("scam_fraud", {Signal.CONTENT_GONE}, Severity.LOW),
        ("defamation", {Signal.CONTENT_GONE}, Severity.LOW),
        ("hate_speech", {Signal.MANY_REPORTERS, Signal.MINOR_VICTIM}, Severity.MEDIUM),
        ("lawful_objectionable", {Signal.MANY_REPORTERS}, Severity.LOW),
        ("incitement_violence", {Signal.EVENT_WITHIN_72H, Signal.CONTENT_GONE}, Severity.HIGH),
        ("disinformation", {Signal.EVENT_WITHIN_72H}, Severity.MEDIUM),
        ("out_of_scope", {Signal.IMMEDIATE_DANGER}, Severity.CRITICAL),
        ("csam", {Signal.CONTENT_GONE, Signal.IMMEDIATE_DANGER}, Severity.CRITICAL),
        (None, set(), Severity.MEDIUM),
        (None, {Signal.MINOR_VICTIM}, Severity.HIGH),
    ],
)
def test_modifiers_move_severity_as_the_pack_says(
    ma: CountryPack, category: str | None, signals: set[Signal], severity: Severity
) -> None:
    assert ma.severity(category, signals).severity is severity


def test_severity_tells_why(ma: CountryPack) -> None:
    result = ma.severity("impersonation", {Signal.SELF_HARM_IN_TEXT})
    assert result.because == ("self-harm-in-text",)
    assert result.also == ("suicide_selfharm",)
    held = ma.severity("defamation", {Signal.PUBLIC_OFFICIAL_TARGET, Signal.ADDRESS_PUBLISHED})
    assert held.legal_review
    assert held.severity is Severity.LOW


def test_answers_become_signals() -> None:
    assert signals_from_answers(None, None, None) == frozenset()
    assert signals_from_answers(True, False, False) == {Signal.IMMEDIATE_DANGER}
    assert signals_from_answers(None, None, True) == {Signal.MINOR_VICTIM, Signal.UNDER_13}


# -- links -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("https://www.youtube.com/watch?v=FICTIF00019&t=42s", "youtube:video:FICTIF00019"),
        ("https://youtu.be/FICTIF00019?si=x", "youtube:video:FICTIF00019"),
        ("tg://resolve?domain=Exemple_fictif&post=7", "telegram:post:exemple_fictif/7"),
        ("https://t.me/exemple_fictif/7/", "telegram:post:exemple_fictif/7"),
        ("https://ar-ar.facebook.com/profile.php?id=28", "facebook:account:28"),
        ("https://web.facebook.com/profile.php?ref=x&id=28", "facebook:account:28"),
        ("whatsapp://send?phone=212600000020", "whatsapp:number:212600000020"),
    ],
)
def test_one_item_has_one_key_under_all_its_addresses(ma: CountryPack, url: str, key: str) -> None:
    item = ma.items.find_url(url)
    assert item is not None
    assert item.key == key


@pytest.mark.parametrize(
    "url",
    [
        "https://www.facebook.com/",
        "https://www.facebook.com/groups",
        "https://www.facebook.com/photo.php",
        "https://www.instagram.com/explore",
        "https://x.com/home",
        "https://www.youtube.com/watch?v=short",
        "https://example.org/profile.php?id=28",
        "https://notfacebook.com/profile.php?id=28",
        "sms://resolve?domain=exemple_fictif",
    ],
)
def test_what_names_no_item_gets_no_key(ma: CountryPack, url: str) -> None:
    assert ma.items.find_url(url) is None


def test_hosts_lose_only_what_means_nothing(ma: CountryPack) -> None:
    assert ma.items.bare_host("www.m.facebook.com") == "facebook.com"
    assert ma.items.bare_host("www.ma") == "www.ma"
    assert ma.items.service("ar-ar.facebook.com") == "facebook"
    assert ma.items.service("facebook.com.example.org") == "web"
    assert ma.items.is_tracking("utm_source")
    assert not ma.items.is_tracking("t")
    assert ma.items.schemes == {"http", "https", "tg", "whatsapp"}


def test_short_links_say_that_they_are_short(ma: CountryPack) -> None:
    for url in ("https://vm.tiktok.com/FICTIF7", "https://bit.ly/FICTIF1", "https://fb.watch/F"):
        item = ma.items.find_url(url)
        assert item is not None
        assert item.needs_expansion


# -- time ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "span", "due"),
    [
        ("2026-03-02T23:50+00:00", Span(minutes=30), "2026-03-03T00:20+00:00"),
        ("2026-03-02T10:00+01:00", Span(hours=4), "2026-03-02T13:00+00:00"),
        # Friday to Monday; Saturday to Monday.
        ("2026-06-05T15:00+00:00", Span(working_days=1), "2026-06-08T15:00+00:00"),
        ("2026-06-06T15:00+00:00", Span(working_days=1), "2026-06-08T15:00+00:00"),
        # Thursday 30 July is a holiday.
        ("2026-07-29T15:00+00:00", Span(working_days=1), "2026-07-31T15:00+00:00"),
        ("2026-03-31T10:00+00:00", Span(months=6), "2026-09-30T10:00+00:00"),
        ("2026-06-05T15:00+00:00", Span(days=15), "2026-06-20T15:00+00:00"),
    ],
)
def test_clocks_follow_the_countrys_days(ma: CountryPack, start: str, span: Span, due: str) -> None:
    assert ma.due(datetime.fromisoformat(start), span) == datetime.fromisoformat(due)


def test_days_keep_the_local_hour_through_ramadan(ma: CountryPack) -> None:
    # The zone leaves UTC+1 for UTC+0 on 15 February 2026 and returns on 22 March.
    due = ma.due(datetime(2026, 2, 14, 9, tzinfo=UTC), Span(days=2))
    assert due == datetime(2026, 2, 16, 10, tzinfo=UTC)


def test_a_holiday_may_be_of_one_year(example: CountryPack) -> None:
    assert not example.working_day(date(2030, 4, 15))
    assert example.working_day(date(2031, 4, 15))
    assert not example.working_day(date(2031, 1, 1))


# -- words -----------------------------------------------------------------------------------------


def test_readers_get_the_language_that_serves_them(ma: CountryPack) -> None:
    readers = {"ar": "ar", "ary": "ar", "ary-Latn": "ar", "fr-FR": "fr", "de": "ar", "und": "ar"}
    assert {tag: ma.language_for(tag) for tag in readers} == readers


def test_arabic_has_six_plurals_and_latin_digits(ma: CountryPack) -> None:
    assert ma.span_text("ar", Span(hours=1)) == "ساعة واحدة"
    assert ma.span_text("ar", Span(hours=2)) == "ساعتين"
    assert ma.span_text("ar", Span(hours=4)) == "4 ساعات"
    assert ma.span_text("ar", Span(minutes=30)) == "30 دقيقة"
    assert ma.span_text("fr", Span(hours=1)) == "1 heure"
    assert ma.span_text("en", Span(working_days=3)) == "3 working days"


@pytest.mark.parametrize(
    ("rule", "forms"),
    [
        (PluralRule.ARABIC, {0: "zero", 1: "one", 2: "two", 10: "few", 99: "many", 102: "other"}),
        (PluralRule.FRENCH, {0: "one", 1: "one", 2: "other"}),
        (PluralRule.ONE_OTHER, {0: "other", 1: "one", 2: "other"}),
        (PluralRule.OTHER, {0: "other", 1: "other"}),
    ],
)
def test_plural_forms_follow_cldr(rule: PluralRule, forms: dict[int, str]) -> None:
    assert {n: rule.form(n) for n in forms} == forms
    assert set(forms.values()) <= set(rule.forms)


def test_digits_follow_the_language(example: CountryPack) -> None:
    assert example.span_text("ar", Span(minutes=30)) == "٣٠ دقيقة"


def test_numbers_of_the_pack_fill_themselves_in(ma: CountryPack) -> None:
    assert "19" in ma.text("fr", "emergency_banner")
    assert f"{FSI}177{PDI}" in ma.text("ar", "emergency_banner")


def test_values_cannot_turn_the_sentence_around(ma: CountryPack) -> None:
    line = ma.text("ar", "timeline_dispatch_sent", partner="TikTok\u202e\u2069")
    assert line == f"أُرسل الطلب إلى {FSI}TikTok{PDI}."
    assert ma.text("en", "timeline_dispatch_sent", partner="TikTok").count(FSI) == 0
    assert FSI in ma.text("en", "timeline_dispatch_sent", partner="تيك توك")


def test_a_value_is_text_not_a_template(ma: CountryPack) -> None:
    assert "{police}" in ma.text("en", "timeline_dispatch_sent", partner="{police}")


def test_wrong_keys_and_missing_values_are_clear_errors(ma: CountryPack) -> None:
    with pytest.raises(
        UnknownEntry, match="no text 'status_recieved'; did you mean status_received"
    ):
        ma.text("ar", "status_recieved")
    with pytest.raises(
        UnknownEntry, match=r"'timeline_dispatch_sent' needs a value for \{partner\}"
    ):
        ma.text("ar", "timeline_dispatch_sent")
    with pytest.raises(UnknownEntry, match="needs a whole number n="):
        ma.text("ar", "span_hours")
    with pytest.raises(
        UnknownEntry, match=r"country pack 'ma' .* has no category 'scam'; did you mean"
    ):
        ma.category("scam")
    for lookup in (
        ma.group,
        ma.partner,
        ma.authority,
        ma.service,
        ma.contact,
        ma.advice,
        ma.notice,
    ):
        with pytest.raises(UnknownEntry, match="has no "):
            lookup("no-such-entry")


def test_a_ground_is_found_by_kind(ma: CountryPack) -> None:
    law = Ground(kind=GroundKind.LAW, ref="ma.penal-code.503-2")
    assert ma.ground(law).id == law.ref
    assert ma.ground_fits(law, "csam")
    assert not ma.ground_fits(law, "scam_fraud")
    assert not ma.ground_fits(Ground(kind=GroundKind.TERMS, ref=law.ref), "csam")
    with pytest.raises(UnknownEntry, match="kind 'unknown'"):
        ma.ground(Ground(kind=GroundKind.UNKNOWN, ref=law.ref))


# -- another country is only another directory -----------------------------------------------------


def test_another_country_by_configuration(example: CountryPack) -> None:
    route = example.route("insult", "social")
    assert route is not None
    assert route.scope == "XX"
    assert example.route("insult", "web") is None
    assert example.category("insult").four_eyes is FourEyes.PRE_LEGAL
    item = example.items.find_url("https://m.social.example/p/7")
    assert item is not None
    assert item.key == "social:post:7"
    assert example.text("ar", "error_rate", wait="x") != example.text("en", "error_rate", wait="x")


def test_partners_without_a_valid_agreement_are_left_out(example: CountryPack) -> None:
    def asked(day: date) -> list[str]:
        route = example.route("scam", "social", on=day)
        assert route is not None
        return [p.id for p in route.partners]

    assert asked(date(2028, 12, 31)) == []
    assert asked(date(2029, 1, 1)) == ["social"]
    assert asked(date(2031, 12, 31)) == ["social"]
    assert asked(date(2032, 1, 1)) == []


def test_the_hub_of_the_hosting_country_is_told_and_no_other(tmp_path: Path) -> None:
    pack = shutil.copytree(PACKS / "example", tmp_path / "pack")
    hub = """
[[partners]]
id = "{id}"
kind = "hub"
connector = "wasl_peer"
country = "{country}"
language = "en"
categories = {categories}
agreement = {{ basis = "none_recorded", until = "2030", confidence = "high" }}
title = {{ en = "Hub", ar = "مركز" }}
"""
    hubs = [("nn", "NN", ["*"]), ("n2", "NN", ["*"]), ("n3", "NN", ["insult"]), ("mm", "MM", ["*"])]
    told = [hub.format(id=i, country=c, categories=x) for i, c, x in hubs]
    partners, routing = pack / "partners.toml", pack / "routing.toml"
    partners.write_text(partners.read_text(encoding="utf-8") + "".join(told), encoding="utf-8")
    both = routing.read_text(encoding="utf-8").replace('["@platform"]', PLACES, 1)
    routing.write_text(both, encoding="utf-8")
    loaded = load_country_pack(pack)

    def asked(service: str, hosted: str | None, on: date = date(2030, 1, 1)) -> list[str]:
        route = loaded.route("scam", service, hosted=hosted, on=on)
        assert route is not None
        return [p.id for p in route.partners]

    assert asked("web", "NN") == ["nn", "n2"]
    assert asked("social", "MM") == ["mm", "social"]
    assert asked("web", None) == asked("web", "KK") == asked("web", "XX") == []
    assert asked("web", "NN", date(2031, 1, 1)) == []
    assert load_country_pack(PACKS / "example").hosting.countries == {}
