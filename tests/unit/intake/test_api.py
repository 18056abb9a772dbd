# SPDX-License-Identifier: Apache-2.0
"""The API keeps its promises: durable before 202, once per key, nothing readable kept, no echo."""

import asyncio
import json
import logging
from typing import Any

import pytest
from wasl_chassis.failures import Conflict, Overloaded, Retryable
from wasl_intake.domain import receipt
from wasl_schemas import topics

CANARY = "canary-5f1e"
MAIL = {"channel": "email", "address": "a@example.org"}


def deep(levels: int) -> bytes:
    return b'{"narrative": ' + b"[" * levels + b"]" * levels + b"}"


BAD: list[tuple[str, bytes | dict[str, Any], int, str]] = [
    ("empty body", b"", 400, "body"),
    ("not JSON", b"narrative=hello", 400, "body"),
    ("list", b"[]", 422, "body"),
    ("bad UTF-8", b'{"narrative": "\xff\xfe\xfd"}', 400, "body"),
    ("UTF-16", '{"narrative": "hello"}'.encode("utf-16"), 400, "body"),
    ("duplicate keys", b'{"narrative": "hello", "narrative": "there"}', 422, "narrative"),
    ("duplicate nested keys", b'{"contact": {"address": "a", "address": "b"}}', 422, "address"),
    ("NUL escaped", b'{"narrative": "hello \\u0000 there"}', 422, "narrative"),
    ("NUL raw", b'{"narrative": "hello \x00 there"}', 400, "body"),
    ("lone surrogate", b'{"narrative": "hello \\ud83d there"}', 422, "narrative"),
    ("surrogate in URL", b'{"locations": ["https://example.com/\\udc00"]}', 422, "locations[0]"),
    ("deep nesting", deep(40), 422, "narrative"),
    ("very deep nesting", deep(20_000), 422, "body"),
    ("operator key", b'{"narrative": {"$gt": ""}}', 422, "$gt"),
    ("operator key at the top", b'{"$where": "1", "narrative": "hello"}', 422, "$where"),
    ("dotted key", b'{"contact.address": "a@example.org"}', 422, "contact.address"),
    ("NaN", b'{"narrative": NaN}', 422, "body"),
    ("unknown field", {"narrative": "hello", "reporter_name": CANARY}, 422, "reporter_name"),
    ("unknown nested field", {"contact": {**MAIL, "x": 1}}, 422, "contact.x"),
    ("wrong type", {"narrative": 5}, 422, "narrative"),
    ("number for boolean", {"narrative": "hello", "danger_now": 1}, 422, "danger_now"),
    ("text for boolean", {"narrative": "hello", "under_18": "true"}, 422, "under_18"),
    ("text for list", {"locations": "https://example.com/"}, 422, "locations"),
    ("null narrative", {"narrative": None}, 422, "narrative"),
    ("nothing", {}, 422, "narrative"),
    ("white space", {"narrative": " \n\t ", "locations": []}, 422, "narrative"),
    ("invisible", {"narrative": "\u200b\u200f\u2060...!"}, 422, "narrative"),
    ("long narrative", {"narrative": "x" * 10_001}, 422, "narrative"),
    ("control character", {"narrative": "hello \x07 there"}, 422, "narrative"),
    ("javascript", {"locations": ["@x1", "javascript:alert(1)"]}, 422, "locations[1]"),
    ("data", {"locations": ["data:text/html,x"]}, 422, "locations[0]"),
    ("file", {"locations": ["file:///etc/passwd"]}, 422, "locations[0]"),
    ("loopback", {"locations": ["http://127.0.0.1:8080/admin"]}, 422, "locations[0]"),
    ("private", {"locations": ["http://192.168.0.1/"]}, 422, "locations[0]"),
    ("metadata service", {"locations": ["http://169.254.169.254/latest"]}, 422, "locations[0]"),
    ("localhost", {"locations": ["https://localhost/"]}, 422, "locations[0]"),
    ("CRLF", {"locations": ["https://example.com/\r\nX-Injected: 1"]}, 422, "locations[0]"),
    ("long URL", {"locations": ["https://example.com/" + "x" * 2048]}, 422, "locations[0]"),
    ("51 URLs", {"locations": ["https://example.com/"] * 51}, 422, "locations"),
    ("unknown channel", {"narrative": "hello", "channel": "fax"}, 422, "channel"),
    ("unknown category", {"narrative": "hello", "category": "weather"}, 422, "category"),
    ("category with a quote", {"narrative": "hello", "category": 'x"y'}, 422, "category"),
    ("language", {"narrative": "hello", "language": "not a tag"}, 422, "language"),
    ("contact as text", {"narrative": "hello", "contact": "a@example.org"}, 422, "contact"),
    ("contact channel", {"contact": {**MAIL, "channel": "pigeon"}}, 422, "contact.channel"),
    ("address", {"contact": {**MAIL, "address": CANARY}}, 422, "contact.address"),
    ("header injection", {"contact": {**MAIL, "address": "a@example.org\r\nBcc: b@x.test"}}, 422,
     "contact.address"),
    ("ages", {"narrative": "hello", "under_13": True, "under_18": False}, 422, "under_13"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status", "field"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
async def test_bad_input_is_a_problem_with_the_fields_name(
    portal: Any, body: bytes | dict[str, Any], status: int, field: str
) -> None:
    answer = await portal.post(body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert field in [e["field"] for e in problem["errors"]]
    assert all(e["message"] and e["fix"] for e in problem["errors"])
    assert CANARY not in answer.text
    assert not portal.hub.counts()
    assert not portal.hub.store.outbox
    assert (
        portal.hub.metrics.value(
            "wasl_intake_reports_total", channel="none", category="none", result="invalid"
        )
        == 1
    )


async def test_oversize_and_wrong_media_types(portal: Any) -> None:
    hundred_thousand = {"locations": ["https://example.com/"] * 100_000}
    for body in (hundred_thousand, {"narrative": "x" * 70_000}):
        answer = await portal.post(body)
        assert answer.status_code == 413
        assert answer.headers["content-type"] == "application/problem+json"
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = await portal.post({"narrative": "hello"}, content_type=kind)
        assert answer.status_code == 415
    assert not portal.hub.counts()


async def test_a_report_is_durable_sealed_and_announced_before_the_answer(portal: Any) -> None:
    answer = await portal.post(
        {
            "channel": "api",
            "language": "fr",
            "category": "threats",
            "under_13": True,
            "locations": [" https://example.com/a ", "hxxps://example[.]net/b", "@someone"],
            "narrative": "Bonjour,\r\nle\u0301 lien",
            "contact": {"channel": "email", "address": "person@example.org", "safe": True},
            "consent_authority": True,
        }
    )
    assert answer.status_code == 202
    told = answer.json()
    assert told.keys() == {"receipt", "receipt_words", "receipt_digits", "status_url"}
    assert answer.headers["cache-control"] == "no-store"
    hub = portal.hub
    report_id = portal.report_id(answer.json()["receipt"])
    assert hub.counts() == {"reports": 1, "keys": 1}
    (event,) = hub.events(topics.REPORT_SUBMITTED_V1)
    data = event.data
    assert event.partitionkey == data.report_id == report_id
    assert (data.channel, data.language, data.category) == ("api", "fr", "threats")
    assert (data.under_13, data.under_18, data.danger_now) == (True, True, None)
    assert (data.consent_partner, data.consent_authority) == (True, True)
    content = await hub.content(report_id)
    assert content.locations == ("https://example.com/a", "hxxps://example[.]net/b", "@someone")
    assert content.narrative == "Bonjour,\nlé lien"
    keys = hub.unit().keys
    assert data.contact.safe
    assert await keys.open(data.contact.address, "report.contact") == "person@example.org"
    assert data.content == hub.store.docs["reports"][report_id]["content"]


async def test_emergency_numbers_come_with_danger(portal: Any) -> None:
    calm = (await portal.post({"narrative": "hello"})).json()
    danger = (
        await portal.post({"narrative": "hello", "danger_now": True}, accept_language="fr")
    ).json()
    assert "emergency" not in calm
    assert [(n["id"], n["href"]) for n in danger["emergency"]] == [
        ("police", "tel:19"),
        ("helpline", "tel:2511"),
    ]
    assert danger["emergency"][0]["checked"] == "Numéro vérifié\u00a0: 1 juillet 2026"


async def test_an_idempotency_key_makes_one_report(portal: Any) -> None:
    body, key = {"narrative": "hello there"}, "0b9d3a1e-client-key"
    first = await portal.post(body, idempotency_key=key)
    again = await portal.post(body, idempotency_key=key)
    assert first.status_code == again.status_code == 202
    assert first.json() == again.json()
    other = await portal.post({"narrative": "another"}, idempotency_key=key)
    assert other.status_code == 422
    assert other.json()["errors"][0]["field"] == "Idempotency-Key"
    assert portal.hub.counts() == {"reports": 1, "keys": 1}
    assert len(portal.hub.events(topics.REPORT_SUBMITTED_V1)) == 1
    for result, count in (("accepted", 1), ("duplicate", 1), ("invalid", 1)):
        assert portal.hub.metrics.value(
            "wasl_intake_reports_total", channel="api", category="none", result=result
        ) == count  # fmt: skip
    assert key not in portal.hub.everything()


async def test_a_race_under_one_key_makes_one_report(portal: Any) -> None:
    key = "0b9d3a1e-client-key"
    answers = await asyncio.gather(
        *(portal.post({"narrative": "hello there"}, idempotency_key=key) for _ in range(8))
    )
    assert {a.status_code for a in answers} == {202}
    assert len({a.json()["receipt"] for a in answers}) == 1
    assert portal.hub.counts()["reports"] == 1


@pytest.mark.parametrize("key", ["short", "x" * 256, "spaces are fine but é is not"])
async def test_unusable_idempotency_keys_are_refused(portal: Any, key: str) -> None:
    headers = {"idempotency_key": key} if key.isascii() else {}
    if headers:
        answer = await portal.post({"narrative": "hello"}, **headers)
    else:
        answer = await portal.http.post(
            "/api/v1/reports",
            content=b'{"narrative": "hello"}',
            headers=[
                (b"content-type", b"application/json"),
                (b"idempotency-key", key.encode("latin-1")),
            ],
        )
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "Idempotency-Key"


@pytest.mark.parametrize(
    ("failure", "status"), [(Retryable("mongo"), 503), (Overloaded(), 503), (Conflict(), 409)]
)
async def test_a_failed_save_is_told(portal: Any, failure: Exception, status: int) -> None:
    portal.hub.store.away = failure
    answer = await portal.post({"narrative": "hello"})
    assert answer.status_code == status
    assert ("retry-after" in answer.headers) == (status == 503)
    assert "receipt" not in answer.json()
    portal.hub.store.away = None
    # A full queue counts as a flood: whoever comes next is asked to work or to wait.
    after = 429 if isinstance(failure, Overloaded) else 202
    assert (await portal.post({"narrative": "hello"})).status_code == after


async def test_known_unknown_and_malformed_receipts_cost_the_same_reads(portal: Any) -> None:
    code = await portal.send()
    wrong = code[:-1] + ("0" if code[-1] != "0" else "1")
    seen = []
    for typed in (code, receipt.grouped(receipt.new()), wrong, "?", "x" * 5000):
        portal.hub.store.calls.clear()
        answer = await portal.follow(typed)
        seen.append((answer.status_code, list(portal.hub.store.calls)))
    assert [status for status, _ in seen] == [200, 404, 404, 404, 404]
    assert len({tuple(calls) for _, calls in seen}) == 1
    assert len(seen[0][1]) == 5
    for result, count in (("found", 1), ("unknown", 1), ("malformed", 3)):
        assert portal.hub.metrics.value("wasl_intake_receipts_read_total", result=result) == count


@pytest.mark.parametrize(("language", "words"), [("ar", "ar"), ("fr-MA", "fr"), ("zgh", "en")])
async def test_one_receipt_is_told_in_three_forms_and_read_in_each(
    portal: Any, language: str, words: str
) -> None:
    told = (await portal.post({"narrative": "hello", "language": language})).json()
    code = receipt.read(told["receipt"])
    assert told["receipt_words"] == receipt.words(code, words)
    assert told["receipt_digits"] == receipt.digits(code)
    forms = [told[name] for name in ("receipt", "receipt_words", "receipt_digits")]
    for typed in (*forms, *(receipt.words(code, lang) for lang in receipt.LANGUAGES)):
        header = {"authorization": f"Receipt {typed}".encode()}
        read = await portal.http.get("/api/v1/reports", headers=header)
        assert read.status_code == 200
        asked = await portal.http.post("/api/v1/receipt", json={"receipt": typed})
        assert asked.status_code == 200
    kept = portal.hub.everything()
    assert not any(form in kept for form in (code, *forms))


async def test_a_typo_is_told_apart_from_an_unknown_receipt(portal: Any) -> None:
    code = await portal.send()
    wrong = code[:-1] + ("0" if code[-1] != "0" else "1")
    assert "typing mistake" in (await portal.follow(wrong)).json()["title"]
    assert (await portal.follow(code.lower().replace("-", " "))).status_code == 200


async def test_a_receipt_goes_in_a_header_or_a_body(portal: Any) -> None:
    code = await portal.send(language="fr")
    by_header = await portal.follow(code)
    by_body = await portal.http.post("/api/v1/receipt", json={"receipt": code})
    assert by_header.json() == by_body.json()
    bare = await portal.http.get("/api/v1/reports", params={"receipt": code})
    assert bare.status_code == 401
    assert bare.headers["www-authenticate"].startswith("Receipt")
    for wrong in ("Bearer x", "Receipt", "Receipt  "):
        answer = await portal.http.get("/api/v1/reports", headers={"authorization": wrong})
        assert answer.status_code == 401


async def test_nothing_a_person_wrote_is_readable_anywhere(
    portal: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    words = [f"{CANARY}-{n}" for n in ("text", "url", "mail", "message", "field", "key")]
    body = {
        "narrative": f"hello {words[0]}",
        "locations": [f"https://example.com/{words[1]}"],
        "contact": {"channel": "email", "address": f"{words[2]}@example.org"},
    }
    answer = await portal.post(body, idempotency_key=words[5] * 2)
    code = answer.json()["receipt"]
    assert (await portal.write(code, words[3])).status_code == 202
    for hostile in (
        {**body, words[4]: 1},
        {**body, "narrative": [words[0]]},
        {**body, "category": words[0]},
    ):
        assert (await portal.post(hostile)).status_code == 422
    for failure in (Retryable(), Conflict(), RuntimeError(words[0]), Overloaded()):
        portal.hub.store.away = failure
        refused = await portal.post(body)
        assert refused.status_code in (409, 500, 503)
        assert CANARY not in refused.text
        portal.hub.store.away = None
    assert (await portal.follow(code)).status_code == 200
    await portal.withdraw(code)
    kept = portal.hub.everything()
    logs = "\n".join(
        f"{r.getMessage()} {r.__dict__}" for r in caplog.records if r.name.startswith("wasl")
    )
    for place in (kept, logs, portal.hub.metrics.exposition().decode()):
        assert CANARY not in place
        assert code not in place
        assert code.replace("-", "") not in place
        assert "127.0.0.1" not in place


async def test_strangers_do_not_make_metric_labels(portal: Any) -> None:
    await portal.http.get(f"/{CANARY}")
    await portal.http.request("BREW", "/api/v1/reports")
    text = portal.hub.metrics.exposition().decode()
    assert CANARY not in text
    assert "BREW" not in text
    assert 'route="other"' in text


async def test_openapi_describes_what_the_routes_read(portal: Any) -> None:
    api = (await portal.http.get("/api/v1/openapi.json")).json()
    post = api["paths"]["/api/v1/reports"]["post"]
    fields = post["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert {"locations", "narrative", "contact", "danger_now"} <= fields.keys()
    assert {"202", "413", "415", "422", "503"} <= post["responses"].keys()
    assert "$ref" not in json.dumps(post["requestBody"])
    assert api["paths"]["/api/v1/reports"].keys() == {"post", "get"}
    for page in ("/docs", "/redoc"):
        assert (await portal.http.get(page)).status_code == 404
