# SPDX-License-Identifier: Apache-2.0
"""Keys open channels, XARF comes in as reports, and nobody is stored but the name of a key."""

import json
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest
import xarf
from hypothesis import given
from hypothesis import strategies as st
from wasl_chassis.failures import Retryable
from wasl_chassis.operating import Refused
from wasl_intake import bootstrap
from wasl_intake.domain import api_key
from wasl_intake.handlers import IntakeHandlers
from wasl_intake.operating import new_api_key
from wasl_intake.settings import ApiKey, parse_api_keys
from wasl_schemas import topics

PACK = bootstrap.read_pack(Path(__file__).parents[3] / "deploy" / "country-packs" / "ma")
PEPPER = bytes(range(32))
CANARY = "canary-7c2d"
ID = "1a6f1c1e-6d3b-4a53-9f58-8a0f6a3b9d11"
PARTY = {"org": f"Org {CANARY}", "contact": f"{CANARY}@example.org", "domain": "example.org"}
DOCUMENT: dict[str, Any] = {
    "xarf_version": "4.2.0", "report_id": ID, "timestamp": "2026-01-05T08:00:00Z",
    "reporter": PARTY, "sender": PARTY, "source_identifier": "203.0.113.9",
    "category": "content", "type": "phishing", "url": "https://login.example.org/pay",
    "description": "A page asks for card numbers.",
}  # fmt: skip
FEED, OTHER, DESK, TESTER = (api_key.spelt(bytes([n]) * api_key.SIZE) for n in range(1, 5))
LIMIT = 200_000


def _key(key: str, channels: str, scopes: str, **more: Any) -> ApiKey:
    return ApiKey(
        sha256=api_key.digest(key),
        channels=tuple(channels.split()),  # type: ignore[arg-type]
        scopes=frozenset(scopes.split()),  # type: ignore[arg-type]
        **more,
    )


KEYS = {
    "feed": _key(FEED, "partner", "report xarf batch"),
    "other": _key(OTHER, "partner api", "report xarf"),
    "desk": _key(DESK, "phone chat", "report"),
    "tester": _key(TESTER, "partner", "report xarf batch", tests=True),
}


class Partner:
    def __init__(self, http: httpx.AsyncClient, hub: Any, handlers: IntakeHandlers) -> None:
        self.http, self.hub, self.handlers = http, hub, handlers

    async def send(
        self, path: str, body: Any, key: str | None = FEED, **headers: str
    ) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"content-type": "application/json", **({"x-api-key": key} if key else {})}
        sent |= {k.replace("_", "-"): v for k, v in headers.items()}
        return await self.http.post(f"/api/v1{path}", content=content, headers=sent)

    def counted(self, partner: str, result: str) -> float:
        value: float = self.hub.metrics.value(
            "wasl_intake_partner_requests_total", partner=partner, result=result
        )
        return value

    @property
    def events(self) -> list[Any]:
        return [e.data for e in self.hub.events(topics.REPORT_SUBMITTED_V1)]

    async def content(self, number: int = -1) -> Any:
        return await self.hub.content(self.events[number].report_id)


@pytest.fixture
async def partner(hub: Any) -> Any:
    handlers = IntakeHandlers(hub, PACK, pepper=PEPPER)
    app = bootstrap.compose(
        handlers,
        PACK,
        hub.metrics,
        pepper=PEPPER,
        body_limit=65_536,
        keys=KEYS,
        partner_limit=LIMIT,
        clock=hub.clock,
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://hub.test") as client:
        yield Partner(client, hub, handlers)


def without(name: str, **changes: Any) -> dict[str, Any]:
    return {k: v for k, v in {**DOCUMENT, **changes}.items() if k != name}


# -- keys ------------------------------------------------------------------------------------------


@given(st.binary(min_size=api_key.SIZE, max_size=api_key.SIZE), st.data())
def test_a_key_with_one_wrong_character_is_no_key(random: bytes, data: Any) -> None:
    key = api_key.spelt(random)
    assert key.startswith("waslk_")
    assert api_key.well_formed(key)
    place = data.draw(st.integers(len(api_key.PREFIX), len(key) - 1))
    other = data.draw(st.sampled_from([c for c in "0123456789abcdef" if c != key[place]]))
    assert not api_key.well_formed(key[:place] + other + key[place + 1 :])
    assert not api_key.well_formed(key.upper())
    assert not api_key.well_formed(key + "\n")


def _settings(*names: str, **changes: Any) -> str:
    entry = {"sha256": "0" * 64, "channels": ["web"], "scopes": ["xarf"], **changes}
    return json.dumps(dict.fromkeys(names, entry))


def test_new_keys_differ() -> None:
    assert len({api_key.new() for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no json", "no JSON"),
        ("[]", "dict"),
        (_settings("a", sha256="secret-word"), "sha256"),
        (_settings("a", channels=[]), "channels"),
        (_settings("a", channels=["fax"]), "channels"),
        (_settings("a", scopes=["all"]), "scopes"),
        (_settings("a", scope="xarf"), "scope"),
        (_settings("a", "b"), "of its own"),
    ],
)
def test_wrong_settings_are_named_and_not_quoted(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        parse_api_keys(text)
    assert "secret-word" not in str(caught.value)


async def test_the_operators_command_makes_a_key_the_settings_take() -> None:
    desk: Any = None
    key, settings = (row["value"] for row in await new_api_key(desk, "security-feed"))
    [known] = parse_api_keys(f"{{{settings}}}").values()
    assert api_key.well_formed(str(key))
    assert known.sha256 == api_key.digest(str(key))
    with pytest.raises(Refused, match="security-feed"):
        await new_api_key(desk, 'a": {}')


async def test_an_unknown_key_is_told_from_a_mistyped_one(partner: Partner) -> None:
    body = {"narrative": "hello there"}
    for key, word, result in (
        (FEED[:-1] + ("0" if FEED[-1] != "0" else "1"), "typing mistake", "malformed"),
        (api_key.new(), "withdrawn", "unknown"),
    ):
        for path in ("/reports", "/partner/xarf", "/partner/reports"):
            answer = await partner.send(path, body, key)
            assert answer.status_code == 401
            assert word in answer.json()["detail"]
            assert answer.headers["www-authenticate"].startswith("ApiKey")
            assert key not in answer.text
        assert partner.counted("unknown", result) == 3
    assert not partner.hub.counts()


async def test_a_channel_needs_a_key_that_names_it(partner: Partner) -> None:
    words = ("web", "email", "chat", "phone", "whatsapp", "social", "partner")
    for word in words:
        answer = await partner.send("/reports", {"narrative": "hello", "channel": word}, None)
        assert answer.status_code == 403
        assert answer.json()["errors"][0]["field"] == "channel"
        assert "X-Api-Key" in answer.json()["errors"][0]["fix"]
    assert not partner.hub.counts()
    answer = await partner.send("/reports", {"narrative": "hello", "channel": "phone"}, FEED)
    assert answer.status_code == 403
    assert partner.counted("feed", "not_allowed") == 1
    for key, channel, becomes in (
        (None, None, "api"), (None, "api", "api"), (FEED, None, "partner"), (OTHER, "api", "api"),
        (DESK, None, "phone"), (DESK, "chat", "chat"),
    ):  # fmt: skip
        body = {"narrative": "hello", **({"channel": channel} if channel else {})}
        assert (await partner.send("/reports", body, key)).status_code == 202
        assert partner.events[-1].channel == becomes
    for name, count in (("feed", 1), ("other", 1), ("desk", 2)):
        assert partner.counted(name, "accepted") == count


async def test_a_scope_is_needed(partner: Partner) -> None:
    for path, key, status in (
        ("/partner/xarf", None, 401), ("/partner/reports", None, 401),
        ("/partner/xarf", DESK, 403), ("/partner/reports", OTHER, 403),
    ):  # fmt: skip
        answer = await partner.send(path, b"x" * (LIMIT + 1), key)
        assert answer.status_code == status, path
    assert not partner.hub.counts()


async def test_two_holders_do_not_meet_under_one_idempotency_key(partner: Partner) -> None:
    body, word = {"narrative": "hello there"}, "the-same-word-of-everybody"
    receipts = set()
    for key in (None, FEED, OTHER, DESK):
        first, again = [
            (await partner.send("/reports", body, key, idempotency_key=word)).json()["receipt"]
            for _ in range(2)
        ]
        assert first == again
        receipts.add(first)
    assert len(receipts) == 4
    assert partner.hub.counts()["reports"] == 4


async def test_a_key_for_tests_stores_nothing(partner: Partner) -> None:
    report = {"narrative": "hello"}
    answer = await partner.send("/reports", report, TESTER)
    assert (answer.status_code, answer.json()) == (200, {"test": True})
    answer = await partner.send("/partner/xarf", DOCUMENT, TESTER)
    assert answer.status_code == 200
    assert answer.json()["test"] is True
    assert answer.json()["xarf"]["category"] == "phishing_malware"
    answer = await partner.send("/partner/reports", {"reports": [{"report": report}]}, TESTER)
    assert answer.json() == {"results": [{"status": 200, "test": True}]}
    assert (await partner.send("/reports", {}, TESTER)).status_code == 422
    assert partner.counted("tester", "test") == 3
    assert not partner.hub.counts()
    assert not partner.hub.store.outbox


# -- XARF ------------------------------------------------------------------------------------------


async def test_a_xarf_document_becomes_a_report(partner: Partner) -> None:
    evidence = [{"content_type": "image/png", "payload": CANARY}] * 2
    answer = await partner.send("/partner/xarf", {**DOCUMENT, "evidence": evidence, CANARY[:6]: 1})
    assert answer.status_code == 202, answer.text
    told = answer.json()
    assert told["xarf"] == {
        "version": "4.2.0", "type": "content/phishing", "category": "phishing_malware",
        "other_categories": [], "locations": 1, "evidence_dropped": 2,
        "dropped": ["canary", "evidence", "reporter", "sender"],
    }  # fmt: skip
    [data] = partner.events
    assert (data.channel, data.category, data.contact) == ("partner", "phishing_malware", None)
    content = await partner.content()
    assert content.locations == ("https://login.example.org/pay",)
    assert content.narrative.startswith("A page asks for card numbers.\n\npartner: feed\n")
    assert "source: 203.0.113.9" in content.narrative
    assert CANARY not in content.narrative
    shown = await partner.http.get(
        "/api/v1/reports", headers={"authorization": f"Receipt {told['receipt']}"}
    )
    assert shown.status_code == 200


async def test_what_the_standards_own_schemas_accept_is_accepted(partner: Partner) -> None:
    """What the library's schemas call complete, with and without a category here."""
    known = {c.codes.xarf for c in PACK.categories.values()}
    kinds: list[tuple[str, str, dict[str, Any]]] = [
        ("content", "phishing", {"url": "https://a.example.org/"}),
        ("content", "fraud", {"url": "https://b.example.org/", "fraud_type": "other"}),
        ("content", "csam", {"url": "https://c.example.org/", "classification": "baseline",
                             "detection_method": "manual_review"}),
        ("content", "csem", {"url": "https://d.example.org/", "exploitation_type": "grooming",
                             "detection_method": "manual_review"}),
        ("messaging", "spam", {"protocol": "smtp", "source_port": 25,
                               "smtp_from": "a@example.org"}),
        ("copyright", "copyright", {"infringing_url": "https://e.example.org/"}),
        ("connection", "port_scan", {"protocol": "tcp", "source_port": 40_000,
                                      "first_seen": "2026-01-05T08:00:00Z"}),
    ]  # fmt: skip
    party = {**PARTY, "org": "Org", "contact": "a@example.org"}
    for number, (category, kind, fields) in enumerate(kinds):
        document = {
            **without("url", reporter=party, sender=party, category=category, type=kind),
            **fields,
            "report_id": f"1a6f1c1e-6d3b-4a53-9f58-8a0f6a3b9d{number:02}",
        }
        assert xarf.schema_validator.validate(document) == []
        answer = await partner.send("/partner/xarf", document)
        assert answer.status_code == 202, answer.text
        mapping = answer.json()["xarf"]
        assert (mapping["category"] is not None) == (f"{category}/{kind}" in known)
        content = await partner.content()
        assert f"xarf: {category}/{kind}" in content.narrative
        if "url" in fields or "infringing_url" in fields:
            assert len(content.locations) == 1


async def test_a_type_of_several_categories_is_picked_by_a_tag(partner: Partner) -> None:
    untagged = await partner.send("/partner/xarf", {**DOCUMENT, "type": "csem"})
    first = untagged.json()["xarf"]
    assert first["category"] == "child_grooming"
    assert "sextortion" in first["other_categories"]
    other = {**DOCUMENT, "report_id": ID[:-1] + "2", "type": "csem", "tags": ["wasl:sextortion"]}
    tagged = (await partner.send("/partner/xarf", other)).json()["xarf"]
    assert tagged["category"] == "sextortion"
    wrong = {**other, "report_id": ID[:-1] + "3", "tags": ["wasl:scam_fraud"]}
    again = (await partner.send("/partner/xarf", wrong)).json()["xarf"]
    assert again["category"] == "child_grooming"


async def test_without_an_address_the_source_is_the_place(partner: Partner) -> None:
    for number, (source, is_place) in enumerate([
        ("shop.example.org", True), ("a@example.org", True), ("10.0.0.7", False),
        ("2001:db8::1", False), ("AS64500 <host>", False),
    ]):  # fmt: skip
        document = without("url", source_identifier=source, report_id=f"{ID[:-1]}{number}")
        assert (await partner.send("/partner/xarf", document)).status_code == 202
        content = await partner.content()
        assert content.locations == ((source,) if is_place else ())
        assert (f"source: {source}" in content.narrative) is not is_place


async def test_a_number_without_a_fraction_is_whole(partner: Partner) -> None:
    for port, status in ((25, 202), (25.0, 202), (25.5, 422), ("25", 422), (True, 422)):
        document = {**DOCUMENT, "source_port": port}
        assert (await partner.send("/partner/xarf", document)).status_code == status
    assert "port: 25\n" in (await partner.content()).narrative + "\n"


async def test_one_report_id_is_one_report(partner: Partner) -> None:
    first = await partner.send("/partner/xarf", DOCUMENT)
    shuffled = dict(reversed(DOCUMENT.items())) | {"evidence": []}
    again = await partner.send("/partner/xarf", shuffled)
    assert first.json()["receipt"] == again.json()["receipt"]
    changed = await partner.send("/partner/xarf", {**DOCUMENT, "description": "Another page."})
    assert changed.status_code == 422
    assert changed.json()["errors"][0]["field"] == "report_id"
    elsewhere = await partner.send("/partner/xarf", DOCUMENT, OTHER)
    assert elsewhere.json()["receipt"] != first.json()["receipt"]
    assert partner.hub.counts()["reports"] == 2


REQUIRED = (
    "xarf_version", "report_id", "timestamp", "reporter", "sender", "source_identifier", "category",
    "type",
)  # fmt: skip
BAD: list[tuple[str, dict[str, Any], str, str]] = [
    *((f"no {name}", without(name), name, "") for name in REQUIRED),
    ("version 3", {**DOCUMENT, "xarf_version": "3.0.0"}, "xarf_version", "XARF 4"),
    ("version 5", {**DOCUMENT, "xarf_version": "5.0.0"}, "xarf_version", "XARF 4"),
    ("version as number", {**DOCUMENT, "xarf_version": 4}, "xarf_version", ""),
    ("id", {**DOCUMENT, "report_id": CANARY}, "report_id", ""),
    ("time without zone", {**DOCUMENT, "timestamp": "2026-01-05T08:00:00"}, "timestamp", ""),
    ("time as number", {**DOCUMENT, "timestamp": 1767600000}, "timestamp", ""),
    ("time ahead", {**DOCUMENT, "timestamp": "2999-01-05T08:00:00Z"}, "timestamp", "clock"),
    ("time too early", {**DOCUMENT, "timestamp": "1970-01-01T00:00:00Z"}, "timestamp", "clock"),
    ("party", {**DOCUMENT, "reporter": {"org": "x"}}, "reporter.contact", ""),
    ("party as text", {**DOCUMENT, "sender": CANARY}, "sender", ""),
    ("category", {**DOCUMENT, "category": CANARY}, "category", ""),
    ("type", {**DOCUMENT, "type": "Phishing!"}, "type", ""),
    ("script", {**DOCUMENT, "url": "javascript:alert(1)"}, "url", "http"),
    ("private", {**DOCUMENT, "url": "http://192.168.0.1/"}, "url", ""),
    ("port", {**DOCUMENT, "source_port": 70_000}, "source_port", ""),
    ("confidence", {**DOCUMENT, "confidence": 2}, "confidence", ""),
    ("long description", {**DOCUMENT, "description": "x" * 1_001}, "description", ""),
    ("control character", {**DOCUMENT, "description": "a\x07b"}, "description", ""),
    ("tags", {**DOCUMENT, "tags": ["a b"]}, "tags[0]", ""),
    ("evidence", {**DOCUMENT, "evidence": [{}] * 51}, "evidence", ""),
    ("operator", {**DOCUMENT, "_internal": {"$where": "1"}}, "$where", ""),
]


@pytest.mark.parametrize(("body", "field", "fix"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
async def test_a_bad_document_is_a_problem_with_the_fields_name(
    partner: Partner, body: dict[str, Any], field: str, fix: str
) -> None:
    answer = await partner.send("/partner/xarf", body)
    assert answer.status_code == 422
    errors = {e["field"]: e["fix"] for e in answer.json()["errors"]}
    assert field in errors
    assert fix in errors[field]
    assert CANARY not in answer.text
    assert not partner.hub.counts()
    assert partner.counted("feed", "invalid") == 1


async def test_nothing_of_the_organisation_and_no_evidence_is_kept(
    partner: Partner, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    document = {
        **DOCUMENT,
        "description": f"Seen {CANARY}",
        "evidence": [{"content_type": "text/plain", "payload": CANARY, "description": CANARY}],
        "_internal": {"ticket": CANARY},
    }
    assert (await partner.send("/partner/xarf", document)).status_code == 202
    partner.hub.store.away = Retryable("mongo")
    assert (await partner.send("/partner/xarf", {**document, "type": "fraud"})).status_code == 503
    logs = "\n".join(
        f"{r.getMessage()} {r.__dict__}" for r in caplog.records if r.name.startswith("wasl")
    )
    for place in (partner.hub.everything(), logs, partner.hub.metrics.exposition().decode()):
        for secret in (CANARY, FEED, FEED[6:46], ID):
            assert secret not in place
    content = await partner.content()
    assert content.narrative.count(CANARY) == 1


async def test_documents_may_be_larger_than_reports_and_not_too_large(partner: Partner) -> None:
    evidence = [{"content_type": "image/png", "payload": "x" * 100_000}]
    answer = await partner.send("/partner/xarf", {**DOCUMENT, "evidence": evidence})
    assert answer.status_code == 202
    answer = await partner.send("/partner/xarf", {**DOCUMENT, "evidence": evidence * 2})
    assert answer.status_code == 413
    answer = await partner.send("/partner/xarf", DOCUMENT, content_type="application/xarf+json")
    assert answer.status_code == 415


# -- many at once ----------------------------------------------------------------------------------


async def test_one_bad_report_does_not_spoil_the_others(partner: Partner) -> None:
    reports: list[dict[str, Any]] = [
        {"key": "batch-key-number-one", "report": {"narrative": "hello"}},
        {"report": {"narrative": 5}},
        {"report": {"narrative": "hello", "channel": "phone"}},
        {"report": {"narrative": "hello", "category": "weather"}},
        {"key": "short", "report": {"narrative": "hello"}},
        {"report": {"narrative": "help", "danger_now": True}},
    ]
    answer = await partner.send("/partner/reports", {"reports": reports})
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [r["status"] for r in results] == [202, 422, 403, 422, 422, 202]
    assert [r["problem"]["errors"][0]["field"] for r in results[1:5]] == [
        "narrative", "channel", "category", "key",
    ]  # fmt: skip
    assert results[5]["emergency"]
    assert {e.channel for e in partner.events} == {"partner"}
    again = (await partner.send("/partner/reports", {"reports": reports[:1]})).json()["results"]
    assert again[0]["receipt"] == results[0]["receipt"]
    differs = [{**reports[0], "report": {"narrative": "other"}}]
    results = (await partner.send("/partner/reports", {"reports": differs})).json()["results"]
    assert results[0]["problem"]["errors"][0]["field"] == "key"
    assert partner.hub.counts()["reports"] == 2
    assert partner.counted("feed", "accepted") == 3


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "reports"),
        ({"reports": []}, "reports"),
        ({"reports": [{"report": {}}] * 101}, "reports"),
        ({"reports": [{}]}, "reports[0].report"),
        ({"reports": [{"report": [], "x": 1}]}, "reports[0].x"),
    ],
)
async def test_a_batch_that_is_none(partner: Partner, body: Any, field: str) -> None:
    answer = await partner.send("/partner/reports", body)
    assert answer.status_code == 422
    assert field in [e["field"] for e in answer.json()["errors"]]


async def test_a_batch_is_told_what_was_not_stored(partner: Partner) -> None:
    partner.hub.store.away = Retryable("mongo")
    body = {"reports": [{"report": {"narrative": "hello"}}]}
    answer = await partner.send("/partner/reports", body)
    assert [r["status"] for r in answer.json()["results"]] == [503]
    assert partner.counted("feed", "unavailable") == 1
    partner.hub.store.away = None
    assert not partner.hub.counts()
