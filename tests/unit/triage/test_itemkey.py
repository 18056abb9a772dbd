# SPDX-License-Identifier: Apache-2.0
"""The same thing under many addresses is one key; different things never share one."""

import timeit
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wasl_schemas.country_pack import CountryPack
from wasl_triage.domain.itemkey import MAX_LENGTH, ItemKeys, Refused, report_item


@pytest.fixture(scope="module")
def keys(pack: CountryPack) -> ItemKeys:
    return ItemKeys(pack.platforms)


def _key(keys: ItemKeys, text: str) -> str:
    try:
        return keys.item(text).key
    except Refused as why:
        return f"refused {why.reason}"


def test_the_seven_duplicate_pairs_meet_and_no_other(
    keys: ItemKeys, samples: list[dict[str, Any]]
) -> None:
    by_key: dict[str, set[str]] = defaultdict(set)
    for row in samples:
        for url in row["urls"]:
            key = _key(keys, url)
            if not key.startswith("refused"):
                by_key[key].add(row["id"])
    pairs = {tuple(sorted(ids)) for ids in by_key.values() if len(ids) > 1}
    wanted = {
        tuple(sorted((row["id"], row["duplicate_of"]))) for row in samples if row["duplicate_of"]
    }
    assert len(wanted) == 7
    assert pairs == wanted


def test_every_example_of_the_pack_is_an_item_of_its_service(
    keys: ItemKeys, pack: CountryPack
) -> None:
    for service in pack.platforms.services:
        for rule in service.items:
            for example in rule.examples:
                item = keys.item(example.url)
                assert (item.platform, item.kind) == (service.id, rule.kind)
                assert item.needs_expansion == rule.needs_expansion
                if not rule.needs_expansion:
                    assert item.key == example.key
                assert keys.item(item.location).key == item.key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://youtu.be/FICTIF00016", "https://www.youtube.com/shorts/FICTIF00016"),
        ("https://youtu.be/FICTIF00016", "m.youtube.com/watch?v=FICTIF00016&feature=share"),
        ("https://t.me/s/Exemple_Fictif/7", "tg://resolve?domain=exemple_fictif&post=7"),
        ("https://www.instagram.com/reel/FICTIF1/", "instagram.com/p/FICTIF1?igshid=x"),
        (
            "https://web.facebook.com/profile.php?id=1",
            "https://ar-ar.facebook.com/profile.php?id=1",
        ),
        ("https://example.com", "HTTP://WWW.EXAMPLE.COM:80/"),
        ("https://example.com./a/", "https://example.com/a"),
        ("https://example.com/%7Ea/b%2fc", "https://example.com/~a/b%2Fc"),
        ("https://example.com/a?b=2&a=1", "https://example.com/a?a=1&utm_campaign=z&b=2"),
        ("https://user:pass@example.com/a", "https://example.com/a"),
        ("hxxps://example[.]com/a[.]php", "https://example.com/a.php"),
        ("hXXp[:]//example(dot)com", "http://example.com"),
        ("\u200bhttps://exa\u200dmple.com/\u202ea", "https://example.com/a"),
        ("https://مثال.إختبار/a", "https://xn--mgbh0fb.xn--kgbechtv/a"),
        ("voir https://example.com/a, merci", "https://example.com/a"),
        ("snapchat: Exemple_Fictif", "https://www.snapchat.com/add/exemple_fictif"),
        ("Instagram @exemple.fictif", "https://instagram.com/exemple.fictif"),
        ("whatsapp +212 6 00 00 00 05", "https://wa.me/212600000005"),
        ("tel:+212600000005", "00212 6 00 00 00 05"),
        ("mailto:Reporter@example.org", "reporter@example.org"),
        (
            "https://matrix.to/#/!r:example.org/$e1?via=example.org",
            "https://matrix.to/#/%21r%3Aexample.org/%24e1",
        ),
        ("https://example.org/#!/item/5/", "https://example.org/#!/item/5"),
        ("https://example.org/a#part", "https://example.org/a"),
    ],
)
def test_one_thing_has_one_key(keys: ItemKeys, one: str, other: str) -> None:
    assert keys.item(one).key == keys.item(other).key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://example.com/?t=1", "https://example.com/?t=2"),
        ("https://example.com/?ref=a", "https://example.com/"),
        ("https://example.com/?s=1", "https://example.com/"),
        ("https://example.com/A", "https://example.com/a"),
        ("https://example.com:8443/", "https://example.com/"),
        ("https://example.com/a%2Fb", "https://example.com/a/b"),
        ("https://example.com/?a=1&a=2", "https://example.com/?a=2&a=1"),
        ("https://bit.ly/abc", "https://tinyurl.com/abc"),
        ("https://youtu.be/FICTIF00016", "https://youtu.be/fictif00016"),
        ("https://example.com.example.net/", "https://example.com/"),
        ("https://example.com@example.net/", "https://example.com/"),
        ("https://web.example/", "https://m.web.example.net/"),
        (
            "https://facebook.com.example.net/profile.php?id=1",
            "https://facebook.com/profile.php?id=1",
        ),
        ("https://matrix.to/#/!r:example.org/$e1", "https://matrix.to/#/!r:example.org/$e2"),
        ("https://example.org/#/5", "https://example.org/#/6"),
        ("https://example.org/#/5", "https://example.org/"),
    ],
)
def test_two_things_have_two_keys(keys: ItemKeys, one: str, other: str) -> None:
    assert keys.item(one).key != keys.item(other).key


LINKS = tomllib.loads((Path(__file__).parent / "links.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("group", LINKS["groups"], ids=lambda group: group[0])
def test_every_way_to_a_thing_leads_to_it(keys: ItemKeys, group: list[str]) -> None:
    assert {keys.item(text).key for text in group} == {keys.item(group[0]).key}


@pytest.mark.parametrize("pair", LINKS["pairs"], ids=lambda pair: pair[0])
def test_what_looks_alike_is_kept_apart(keys: ItemKeys, pair: list[str]) -> None:
    one, other = pair
    assert keys.item(one).key != keys.item(other).key


@pytest.mark.parametrize(
    "text",
    [
        "https://l.facebook.com/l.php?u=ftp%3A%2F%2Fexample.com%2Fa",
        "https://l.facebook.com/l.php?u=javascript%3Aalert(1)",
        "https://l.facebook.com/l.php?u=https%3A%2F%2Fexample.com%2F%0d%0aHost",
        "https://www.facebook.com/login/?next=%2F%2Fexample.com%2Fa",
        "https://l.facebook.com:8443/l.php?u=https%3A%2F%2Fexample.com%2Fa",
    ],
)
def test_what_leads_to_no_web_address_stays_itself(keys: ItemKeys, text: str) -> None:
    assert keys.item(text).platform == "facebook"


def test_what_is_wrapped_is_held_to_the_same_rules(keys: ItemKeys) -> None:
    with pytest.raises(Refused) as refused:
        keys.item("https://l.facebook.com/l.php?u=http%3A%2F%2F127.0.0.1%2Fadmin")
    assert refused.value.reason == "private_host"
    deep = "https://t.me/iv?url=" * 190 + "https://example.com/a"
    assert keys.item(deep).key == "web:page:example.com/a"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" \u200b\u202e ", "empty"),
        ("a" * (MAX_LENGTH + 1), "too_long"),
        ("https://exa\nmple.com/", "control_character"),
        ("https://example.com/\x00", "control_character"),
        ("https://example.com/\r\nHost: example.net", "control_character"),
        ("https://example.com/\ud800", "bad_characters"),
        ("javascript:alert(1)", "scheme"),
        ("data:text/html,x", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("ftp://example.com/", "scheme"),
        ("C:\\x", "scheme"),
        ("tg://settings", "scheme"),
        ("http://127.0.0.1:8080/admin", "private_host"),
        ("http://127.1/", "private_host"),
        ("http://2130706433/", "private_host"),
        ("http://0x7f000001/", "private_host"),
        ("http://017700000001/", "private_host"),
        ("http://１２７.0.0.1/", "private_host"),
        ("http://[::1]/", "private_host"),
        ("http://[::ffff:10.0.0.1]/", "private_host"),
        ("http://[2002:0a00:0001::]/", "private_host"),
        ("http://[fe80::1]/", "private_host"),
        ("http://10.0.0.1/", "private_host"),
        ("http://192.168.1.1/", "private_host"),
        ("http://169.254.169.254/latest", "private_host"),
        ("http://0.0.0.0/", "private_host"),
        ("http://224.0.0.1/", "private_host"),
        ("http://localhost:9000", "private_host"),
        ("localhost:9000", "private_host"),
        ("http://box.local/", "private_host"),
        ("http://db.internal/", "private_host"),
        ("https://a..example.com/", "bad_host"),
        ("https://example.com../", "bad_host"),
        ("https://example.com:99999/", "not_a_location"),
        ("https://exa mple", "not_a_location"),
        ("intranet", "not_a_location"),
        ("@exemple_fictif", "not_a_location"),
        ("une phrase sans lien", "not_a_location"),
        ("https://", "not_a_location"),
        ("://", "not_a_location"),
    ],
)
def test_what_locates_nothing_is_refused_by_name(keys: ItemKeys, text: str, reason: str) -> None:
    with pytest.raises(Refused) as refused:
        keys.item(text)
    assert refused.value.reason == reason
    assert not text or text not in str(refused.value)


def test_public_addresses_are_items(keys: ItemKeys) -> None:
    assert keys.item("http://[2606:4700::1111]/a").key == "web:page:[2606:4700::1111]/a"
    assert keys.item("https://8.8.8.8/a").key == "web:page:8.8.8.8/a"


def test_what_leaves_for_a_partner_does_not_tell_who_shared_it(keys: ItemKeys) -> None:
    shared = (
        "https://youtu.be/FICTIF00016?si=WHO",
        "https://x.com/exemple/status/1?s=20&t=WHO",
        "https://www.instagram.com/p/FICTIF1/?igshid=WHO",
        "https://example.com/a?fbclid=WHO",
        "https://WHO:secret@example.com/a",
    )
    assert all("WHO" not in keys.item(url).location for url in shared)


def test_short_links_stay_themselves(keys: ItemKeys) -> None:
    item = keys.item("https://vm.tiktok.com/FICTIF7/")
    assert item.needs_expansion
    assert item.key == "tiktok:link:vm.tiktok.com/FICTIF7"


def test_a_report_without_a_location_is_its_own_item() -> None:
    assert report_item("r-1").key == "report:r-1"
    assert report_item("r-1") != report_item("r-2")


_PIECES = st.sampled_from(
    [
        *(
            "https://",
            "http://",
            "hxxp://",
            "tg://resolve?domain=",
            "//",
            "example.com",
            "youtu.be",
        ),
        *(
            "x.com",
            "www.",
            "m.",
            "[.]",
            "(dot)",
            "%",
            "%2e",
            "%25",
            "%ff",
            "/",
            "/..",
            "?",
            "&",
            "=",
        ),
        *(
            "#",
            "@",
            ":",
            "80",
            "utm_a=1",
            "v=FICTIF00016",
            "FICTIF00016",
            "id=1",
            "watch",
            "status",
        ),
        *("t.me/iv?url=", "google.com/url?q=", "a.cdn.ampproject.org/c/s/", ".translate.goog"),
        *("archive.org/web/2026/", "#!/", "abcd.t.me", "x_tr_sl=a", "%2F", "%3A"),
        *(" ", "\u200b", "é", "مثال", "+", "\\", "[", "]", "::1", "127.0.0.1", "a", "1", ";", "'"),
    ]
)
_HOSTILE = st.one_of(
    st.text(max_size=60),
    st.lists(_PIECES, max_size=14).map("".join),
    st.builds("https://example.com/{}".format, st.text(max_size=40)),
    st.builds("https://www.youtube.com/watch?{}".format, st.text(max_size=40)),
)


@settings(max_examples=1500, deadline=None)
@given(_HOSTILE)
def test_any_text_is_keyed_twice_the_same_or_refused(pack: CountryPack, text: str) -> None:
    keys = ItemKeys(pack.platforms)
    try:
        item = keys.item(text)
    except Refused as why:
        assert why.reason.replace("_", "").isalpha()
        return
    again = keys.item(item.location)
    assert again.key == item.key
    assert keys.item(again.location) == again
    assert keys.item(f"  {text}\u200b").key == item.key
    assert item.key.startswith(f"{item.platform}:{item.kind}:")
    assert "\n" not in item.location


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.text("xyz012%&=", max_size=4)),
        unique_by=lambda p: p[0],
    ),
    st.randoms(use_true_random=False),
)
def test_the_order_of_parameters_does_not_matter(
    pack: CountryPack, pairs: list[tuple[str, str]], random: Any
) -> None:
    keys = ItemKeys(pack.platforms)
    clean = [f"{name}={value.replace('&', '')}" for name, value in pairs]
    mixed = random.sample(clean, len(clean))
    one = keys.item("https://example.com/p?" + "&".join(clean))
    assert keys.item("https://example.com/p?" + "&".join(mixed)).key == one.key


def test_a_key_costs_microseconds(keys: ItemKeys) -> None:
    """Ten microseconds on a quiet core; the bound leaves room for a busy machine."""
    urls = ["https://www.youtube.com/watch?v=FICTIF00016", "https://example.com/a/b?x=1"]
    best = min(timeit.repeat(lambda: [keys.item(u) for u in urls], number=500, repeat=5))
    assert best / 500 / len(urls) < 100e-6
