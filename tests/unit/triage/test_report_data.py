# SPDX-License-Identifier: Apache-2.0
"""The labelled reports in ``tests/data/reports`` are what their README says.

A wrong label would be measured as a wrong detector. Every span, identifier, category and severity
is checked here, nothing in the texts may lead to a real person or host, and no set may share a
campaign, item or phrase with another.
"""

import json
import re
from collections import Counter
from difflib import SequenceMatcher
from ipaddress import ip_address, ip_network
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.events.common import Channel, Risk
from wasl_schemas.taxonomy import Signal, signals_from_answers

Row = dict[str, Any]

DATA = Path(__file__).parents[2] / "data" / "reports"
FIELDS = {
    *("id", "channel", "language", "text", "urls", "category", "answers"),
    *("expected_category", "expected_severity", "expected_signals"),
    *("pii", "not_pii", "near_duplicate_of", "item_same_as", "note"),
}
#: RFC 2606 and RFC 6761.
RESERVED = re.compile(r"(?:^|\.)(?:example|test|invalid|example\.(?:com|net|org))$")
#: Hosts beside the pack's: they wrap another address or name an invented thing by number.
KNOWN = {"www.google.com", "maps.google.com", "play.google.com"}
#: RFC 5737 and RFC 3849.
DOCUMENTATION = [
    ip_network(n) for n in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
]
INVISIBLE = re.compile("[\u200b-\u200f\u2060\ufeff]")
ARABIC_DIGITS = str.maketrans("٠١٢٣٤٥٦٧٨٩", "0123456789")


def _rows(name: str) -> list[Row]:
    lines = (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


SETS = {name: _rows(name) for name in ("tune", "holdout", "fresh")}
ALL = [row for rows in SETS.values() for row in rows]


def _spans(kind: str) -> list[str]:
    return [
        row["text"][span["start"] : span["end"]]
        for row in ALL
        for span in row["pii"]
        if span["kind"] == kind
    ]


def _digits(value: str) -> str:
    return re.sub(r"\D", "", value.translate(ARABIC_DIGITS))


def _plain_email(value: str) -> str:
    """The address a person would write to."""
    value = re.sub(
        r"\s*(?:[(\[]?\b(?:at|arobase|آت)\b[)\]]?|@)\s*", "@", value, flags=re.IGNORECASE
    )
    return re.sub(
        r"\s*(?:[(\[]?\b(?:dot|point|دوت)\b[)\]]?|\.)\s*", ".", value, flags=re.IGNORECASE
    )


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, _words(one), _words(other), autojunk=False).ratio()


def _five_words(rows: list[Row]) -> set[tuple[str, ...]]:
    found = set[tuple[str, ...]]()
    for row in rows:
        words = re.findall(r"[^\W\d_]+", row["text"].lower())
        found.update(tuple(words[i : i + 5]) for i in range(len(words) - 4))
    return found


def _campaigns(rows: list[Row]) -> dict[str, list[Row]]:
    heads = {row["near_duplicate_of"] for row in rows} - {None}
    return {h: [r for r in rows if h in (r["id"], r["near_duplicate_of"])] for h in heads}


def _hosts(url: str) -> list[str]:
    """The host of a link as a person meant it, and of every link inside it."""
    url = INVISIBLE.sub("", url).replace("hxxp", "http").replace("[.]", ".")
    if "://" not in url:
        url = "https://" + url
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = host.encode().decode("idna") if host.isascii() else host
    inner = [v for _, v in parse_qsl(parts.query) if "://" in v]
    inner += [unquote(parts.path).removeprefix("/amp/s/")] if "/amp/" in parts.path else []
    return [host, *(h for i in inner for h in _hosts(i))]


@pytest.mark.parametrize(
    ("name", "letter", "count"), [("tune", "T", 100), ("holdout", "H", 100), ("fresh", "F", 135)]
)
def test_a_set_holds_its_rows_in_the_agreed_form(name: str, letter: str, count: int) -> None:
    rows = SETS[name]
    assert [row["id"] for row in rows] == [f"{letter}{n:03d}" for n in range(1, count + 1)]
    for row in rows:
        mixed = {"languages"} if row["language"] == "mul" else set[str]()
        assert set(row) == FIELDS | mixed, row["id"]
        assert Channel(row["channel"]) is not Channel.UNKNOWN
        assert row["text"].strip() == row["text"] != ""


def test_languages_are_those_of_the_country_and_mixtures_name_their_parts() -> None:
    known = {"ar", "ary", "ary-Latn", "fr", "en", "zgh"}
    for row in ALL:
        assert row["language"] in known | {"mul"}, row["id"]
        if row["language"] == "mul":
            assert len(set(row["languages"])) >= 2, row["id"]
            assert set(row["languages"]) <= known, row["id"]


def test_every_category_of_the_pack_is_met_and_no_other(pack: CountryPack) -> None:
    known = {category.id for category in pack.taxonomy.categories} | {"not_a_report"}
    for rows in SETS.values():
        counts = Counter(row["expected_category"] for row in rows)
        assert set(counts) == known
        assert min(counts.values()) >= 3
    assert {row["category"] for row in ALL} <= known | {None}


def test_severity_is_what_the_pack_makes_of_category_and_signals(pack: CountryPack) -> None:
    categories = {category.id: category for category in pack.taxonomy.categories}
    for row in ALL:
        answers, signals = row["answers"], {Signal(s) for s in row["expected_signals"]}
        assert set(answers) <= {"danger_now", "under_18", "under_13", "risk"}, row["id"]
        told = signals_from_answers(
            answers.get("danger_now"),
            answers.get("under_18"),
            answers.get("under_13"),
            [Risk(r) for r in answers.get("risk", [])],
        )
        assert told <= signals, row["id"]
        if row["expected_category"] == "not_a_report":
            assert row["expected_severity"] == "none", row["id"]
        else:
            result = pack.taxonomy.severity(categories[row["expected_category"]], signals)
            assert row["expected_severity"] == result.severity.value, row["id"]


def test_spans_lie_in_the_text_end_at_words_and_never_overlap() -> None:
    for row in ALL:
        spans = sorted(row["pii"] + row["not_pii"], key=lambda s: s["start"])
        for span in spans:
            assert 0 <= span["start"] < span["end"] <= len(row["text"]), row["id"]
            value = row["text"][span["start"] : span["end"]]
            assert value == value.strip(" .,;:،؛«»"), (row["id"], value)
            around = row["text"][: span["start"]][-1:] + row["text"][span["end"] :][:1]
            assert not re.search(r"[0-9٠-٩]", around), (row["id"], value)
        for before, after in pairwise(spans):
            assert before["end"] <= after["start"], row["id"]


def test_mail_addresses_are_on_reserved_names() -> None:
    found = [_plain_email(value) for value in _spans("email")]
    assert len(found) >= 16
    for value in found:
        name, _, host = value.partition("@")
        assert re.fullmatch(r"[\w.+-]+", name), value
        assert RESERVED.search(host), value


def test_phones_are_patterned_numbers_of_real_ranges() -> None:
    """Zeros before the last two digits, or the range France keeps for fiction."""
    moroccan = re.compile(r"(?:0|212|00212|2120)(?:522|6[0-9][0-9]|7[07][07])?0{4,5}\d\d")
    for value in _spans("phone"):
        digits = _digits(value)
        assert moroccan.fullmatch(digits) or digits.startswith("3363998"), value


def test_bank_numbers_have_valid_keys() -> None:
    """Morocco's RIB: 24 digits, divisible by 97. IBAN: ISO 13616, remainder 1."""
    accounts, ibans = _spans("bank_account"), _spans("iban")
    assert len(accounts) >= 8
    assert {value[:2].upper() for value in ibans} == {"MA", "FR"}
    for value in accounts:
        assert len(_digits(value)) == 24, value
        assert int(_digits(value)) % 97 == 0, value
    for value in ibans:
        compact = value.replace(" ", "").upper()
        assert len(compact) == {"MA": 28, "FR": 27}[compact[:2]], value
        assert int("".join(str(int(c, 36)) for c in compact[4:] + compact[:4])) % 97 == 1, value


def test_identity_cards_plates_and_machine_addresses_are_invented() -> None:
    for value in _spans("identity_card"):
        assert re.fullmatch(r"[A-Za-z]{1,2}000\d{3}", value), value
    for value in _spans("plate"):
        assert re.fullmatch(r"\d{5}[ -][ء-يA-Z]ـ?[ -]\d{1,2}", value), value
    for value in _spans("ip_address"):
        assert any(ip_address(value) in network for network in DOCUMENTATION), value


def test_decoys_only_look_like_personal_data() -> None:
    whys = Counter(span["why"] for row in ALL for span in row["not_pii"])
    assert whys.total() >= 40
    for row in ALL:
        for span in row["not_pii"]:
            value = row["text"][span["start"] : span["end"]]
            if span["why"] == "parcel number":
                assert len(value) == 24
                assert int(value) % 97 != 0, "a valid key would make it a bank number"


def test_what_looks_like_a_number_of_somebody_is_labelled() -> None:
    """An unlabelled identifier would count a right detection as a false alarm."""
    suspicious = re.compile(r"\S@\S|(?:[0-9٠-٩][ .:/-]?){9,}|\b[A-Za-z]{1,2}\d{5,6}\b")
    for row in ALL:
        text = row["text"]
        for span in row["pii"] + row["not_pii"]:
            blank = " " * (span["end"] - span["start"])
            text = text[: span["start"]] + blank + text[span["end"] :]
        for url in row["urls"]:
            text = text.replace(url, " ")
        assert not suspicious.search(text), (row["id"], suspicious.search(text))


def test_links_lead_to_reserved_names_or_invented_paths_on_platforms(pack: CountryPack) -> None:
    platforms = {host for service in pack.platforms.services for host in service.hosts}
    for row in ALL:
        inside = re.findall(r"(?:hxxps?|https?)://[^\s,]+", row["text"])
        for url in row["urls"] + inside:
            if url.startswith(("tg://", "whatsapp://")):
                continue
            for host in _hosts(url):
                ours = any(host == p or host.endswith("." + p) for p in platforms) or host in KNOWN
                if re.fullmatch(r"[\d.]+", host):
                    assert any(ip_address(host) in network for network in DOCUMENTATION), url
                    continue
                assert ours or RESERVED.search(host), (row["id"], host)
                assert not ours or re.search(r"FICTIF|fictif|0{4}|(?<!\d)2[01]\d\d(?!\d)", url), (
                    row["id"],
                    url,
                )


def test_campaigns_are_reworded_by_a_few_words_and_all_are_labelled() -> None:
    sizes = []
    for rows in SETS.values():
        campaigns = _campaigns(rows)
        sizes += [len(copies) for copies in campaigns.values()]
        together = {
            frozenset((one["id"], other["id"]))
            for copies in campaigns.values()
            for one, other in combinations(copies, 2)
        }
        for one, other in combinations(rows, 2):
            alike = _likeness(one["text"], other["text"])
            if {one["id"], other["id"]} in together:
                assert 0.6 < alike < 1, (one["id"], other["id"], alike)
            else:
                assert alike < 0.5, (one["id"], other["id"], alike)
    assert len(sizes) >= 12
    assert set(sizes) <= {2, 3, 4, 5}


def test_the_same_item_is_written_another_way() -> None:
    for rows in SETS.values():
        earlier = dict[str, Row]()
        for row in rows:
            first = row["item_same_as"]
            if first is not None:
                assert first in earlier, row["id"]
                assert earlier[first]["item_same_as"] is None, "chains name the first row"
                assert row["urls"], row["id"]
                assert set(row["urls"]).isdisjoint(earlier[first]["urls"]), row["id"]
            earlier[row["id"]] = row
    assert sum(row["item_same_as"] is not None for row in ALL) >= 18


def test_the_halves_are_alike() -> None:
    tune, held = SETS["tune"], SETS["holdout"]

    def gap(key: Any) -> int:
        ours, theirs = (Counter(v for row in rows for v in key(row)) for rows in (tune, held))
        return max(abs(ours[k] - theirs[k]) for k in ours | theirs)

    assert gap(lambda row: [row["expected_category"]]) <= 1
    assert gap(lambda row: [row["language"]]) <= 2
    assert gap(lambda row: [row["expected_severity"]]) <= 4
    assert gap(lambda row: [span["kind"] for span in row["pii"]]) <= 2


def test_the_sets_share_no_phrase_or_address() -> None:
    for one, other in combinations(SETS.values(), 2):
        assert not _five_words(one) & _five_words(other)
        addresses = [{url for row in rows for url in row["urls"]} for rows in (one, other)]
        assert not addresses[0] & addresses[1]
