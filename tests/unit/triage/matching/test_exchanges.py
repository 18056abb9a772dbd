# SPDX-License-Identifier: Apache-2.0
"""The library's real clients against doubles that speak the exchanges' protocols on loopback.

StopNCII: FetchHashes with time stamps, pages and statuses. NCMEC: entries in XML with paging.
"""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from wasl_triage.matching import Matcher, exchanges
from wasl_triage.matching.banks import BankError, load
from wasl_triage.matching.exchanges import State, SyncError

pytest.importorskip(
    "threatexchange", reason="built from source where there is a compiler: make peers"
)

PDQ, OTHER, MD5 = "ab" * 32, "5c" * 32, "cd" * 16
NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)


class Double:
    """An exchange on loopback. ``answer``: what a request of (path, query) gets."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], dict[str, str]]] = []
        self.answer: Any = lambda _path, _query: (404, b"")
        double = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query = {k: v[0] for k, v in parse_qs(parts.query).items()}
                headers = {k.lower(): v for k, v in self.headers.items()}
                double.requests.append((parts.path, query, headers))
                status, body = double.answer(parts.path, query)
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def double() -> Iterator[Double]:
    made = Double()
    yield made
    made.close()


class StopNcii:
    """The records of the double, in pages of two, changed since a time."""

    def __init__(self, double: Double) -> None:
        self.records: list[dict[str, Any]] = []
        self.time = 100
        self.fails_after: int | None = None
        self._pages = 0
        double.answer = self

    def tell(self, value: str, status: str = "Active", kind: str = "ImagePDQ", *tags: str) -> None:
        self.time += 1
        feedback = {"source": "p", "feedbackValue": "Blocked", "tags": list(tags)}
        self.records.append(
            {"lastModtimestamp": self.time, "signalType": kind, "hashValue": value,
             "hashStatus": status, "caseNumbers": {}, "CSPFeedbacks": [feedback] if tags else []}
        )  # fmt: skip

    def __call__(self, path: str, query: dict[str, str]) -> tuple[int, bytes]:
        assert path == "/FetchHashes"
        since, start = int(query["startTimestamp"]), int(query.get("nextPageToken") or 0)
        self._pages += 1
        if self.fails_after is not None and self._pages > self.fails_after:
            return 418, b""
        changed = [r for r in self.records if r["lastModtimestamp"] > since]
        more = start + 2 < len(changed)
        return 200, json.dumps(
            {"count": 2, "nextSetTimestamp": self.time, "nextPageToken": str(start + 2) if more else None,
             "hasMoreRecords": more, "hashRecords": changed[start : start + 2]}
        ).encode()  # fmt: skip


TOML = """
[[bank]]
id = "{id}"
title = "B"
category = "ncii"
confidence = "high"
source = {source}
"""


def written(directory: Path, source: str) -> None:
    (directory / "banks.toml").write_text(TOML.format(id="b", source=source))


@pytest.fixture
def stopncii(double: Double, tmp_path: Path) -> StopNcii:
    written(tmp_path, '{ type = "stopncii" }')
    return StopNcii(double)


def synced(directory: Path, credentials: str | None) -> exchanges.Synced:
    (bank,) = load(directory)
    return State(directory, bank).sync(credentials, NOW)


def hashes(directory: Path) -> list[tuple[str, str, tuple[str, ...]]]:
    (bank,) = load(directory)
    return sorted((kind, value.hex(), tags) for kind, value, tags in State(directory, bank).known())


def test_a_first_synchronisation_takes_all_pages(
    stopncii: StopNcii, double: Double, tmp_path: Path
) -> None:
    stopncii.tell(PDQ, "Active", "ImagePDQ", "x", "a")
    stopncii.tell(MD5, "Active", "VideoMD5")
    stopncii.tell(OTHER, "Withdrawn")
    stopncii.tell("not hex")
    stopncii.tell("https://example.org", "Active", "URL")
    done = synced(tmp_path, f"fetch-key,subscription,{double.url}")
    assert done == (5, 2)
    assert hashes(tmp_path) == [("md5", MD5, ()), ("pdq", PDQ, ("a", "x"))]
    assert len(double.requests) == 3
    _, _, headers = double.requests[0]
    assert headers["x-functions-key"] == "fetch-key"
    assert headers["ocp-apim-subscription-key"] == "subscription"


def test_a_checkpoint_is_kept_and_withdrawals_are_applied(
    stopncii: StopNcii, double: Double, tmp_path: Path
) -> None:
    credentials = f"k,s,{double.url}"
    stopncii.tell(PDQ)
    stopncii.tell(MD5, "Active", "VideoMD5")
    synced(tmp_path, credentials)
    double.requests.clear()
    stopncii.tell(PDQ, "Withdrawn")
    stopncii.tell(MD5, "Active", "VideoMD5", "new")
    stopncii.tell(OTHER)
    assert synced(tmp_path, credentials) == (3, 2)
    assert double.requests[0][1]["startTimestamp"] == "102"
    assert hashes(tmp_path) == [("md5", MD5, ("new",)), ("pdq", OTHER, ())]
    stopncii.tell(OTHER, "Deleted")
    synced(tmp_path, credentials)
    assert hashes(tmp_path) == [("md5", MD5, ("new",))]


def test_a_failure_in_the_middle_leaves_the_old_state(
    stopncii: StopNcii, double: Double, tmp_path: Path
) -> None:
    credentials = f"k,s,{double.url}"
    stopncii.tell(PDQ)
    synced(tmp_path, credentials)
    for _ in range(2):
        stopncii.tell(PDQ, "Withdrawn")
        stopncii.tell(OTHER)
    stopncii.fails_after = stopncii._pages + 1
    with pytest.raises(
        SyncError, match=r"bank b: the exchange was not heard to the end \(HTTPError, status 418\)"
    ) as error:
        synced(tmp_path, credentials)
    assert double.url not in str(error.value)
    assert hashes(tmp_path) == [("pdq", PDQ, ())]
    stopncii.fails_after = None
    double.requests.clear()
    synced(tmp_path, credentials)
    assert double.requests[0][1]["startTimestamp"] == "101", "what was heard in vain is heard again"
    assert hashes(tmp_path) == [("pdq", OTHER, ())]


def test_refused_credentials_say_so(stopncii: StopNcii, double: Double, tmp_path: Path) -> None:
    double.answer = lambda _path, _query: (401, b"")
    with pytest.raises(SyncError, match=r"status 401.*check its credentials"):
        synced(tmp_path, f"k,s,{double.url}")


def test_after_a_long_silence_all_is_asked_again(
    stopncii: StopNcii, double: Double, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = f"k,s,{double.url}"
    stopncii.tell(PDQ)
    synced(tmp_path, credentials)
    stopncii.records.clear()
    stopncii.tell(OTHER)
    monkeypatch.setattr(exchanges, "STALE", -1)
    synced(tmp_path, credentials)
    assert hashes(tmp_path) == [("pdq", OTHER, ())], "a forgotten deletion is no match for ever"


class Ncmec:
    """Entries with the time they changed at, told between two times in pages of two."""

    def __init__(self, double: Double) -> None:
        self.entries: list[tuple[int, str]] = []
        double.answer = self

    def tell(self, at: int, number: int, kind: str, body: str) -> None:
        self.entries.append(
            (at, f"""<{kind}><member id="7">M</member><id>{number}</id>{body}</{kind}>""")
        )

    def __call__(self, path: str, query: dict[str, str]) -> tuple[int, bytes]:
        assert path == "/v2/entries"
        since, until = (datetime.fromisoformat(query[k]).timestamp() for k in ("from", "to"))
        told = [(at, text) for at, text in self.entries if since <= at < until]
        start = int(query.get("start", 0))
        page = told[start : start + 2]
        latest = datetime.fromtimestamp(max((at for at, _ in page), default=0), UTC)
        lists = "".join(
            f"""<{kind}s count="1" maxTimestamp="{latest:%Y-%m-%dT%H:%M:%SZ}">{own}</{kind}s>"""
            for kind in ("image", "video")
            if (own := "".join(text for _, text in page if f"{kind}>" in text.lower()))
        )
        following = f"/v2/entries?from={query['from']}&amp;to={query['to']}&amp;start={start + 2}&amp;size=2&amp;max={len(told)}"
        paging = f"<paging><next>{following}</next></paging>" if start + 2 < len(told) else ""
        xmlns = "https://hashsharing.ncmec.org/hashsharing/v2"
        return 200, f"""<queryResult xmlns="{xmlns}">{lists}{paging}</queryResult>""".encode()


def prints(kind: str, value: str, classification: str = "") -> str:
    said = f"<classification>{classification}</classification>" if classification else ""
    return f"{said}<fingerprints><{kind}>{value}</{kind}></fingerprints>"


def test_ncmec_pages_updates_and_deletions(
    double: Double, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from threatexchange.exchanges.clients.ncmec import hash_api

    # The library takes only the addresses of an enumeration: one that names the double.
    monkeypatch.setattr(hash_api, "NCMECEnvironment", Enum("NCMECEnvironment", {"NGO": double.url}))
    written(tmp_path, '{ type = "ncmec", environment = "NGO" }')
    ncmec, day = Ncmec(double), 1_700_000_000
    ncmec.tell(day, 1, "image", prints("pdq", PDQ, "A1"))
    ncmec.tell(day, 2, "image", prints("md5", MD5))
    ncmec.tell(day, 3, "video", prints("md5", "12" * 16))
    ncmec.tell(day, 4, "image", prints("pdna", "AAAA"))
    synced(tmp_path, "user:pass:word")
    of_pictures_and_films = [("md5", "12" * 16, ("esp 7",)), ("md5", MD5, ("esp 7",))]
    assert hashes(tmp_path) == [*of_pictures_and_films, ("pdq", PDQ, ("A1", "esp 7"))]
    assert double.requests[0][2]["authorization"] == "Basic dXNlcjpwYXNzOndvcmQ="
    assert any("start" in query for _, query, _ in double.requests), "a second page was asked for"

    # The library asks up to a few seconds ago, so its clock has to go on for anything to change.
    now = int(datetime.now(UTC).timestamp())
    monkeypatch.setattr("threatexchange.exchanges.impl.ncmec_api.time.time", lambda: now + 900)
    double.requests.clear()
    ncmec.tell(now + 60, 2, "deletedImage", "")
    ncmec.tell(now + 90, 1, "image", prints("pdq", OTHER))
    synced(tmp_path, "user:password")
    since = datetime.fromisoformat(double.requests[0][1]["from"]).timestamp()
    assert now - 60 < since < now, "it goes on where it had been"
    assert hashes(tmp_path) == [("md5", "12" * 16, ("esp 7",)), ("pdq", OTHER, ("esp 7",))]


def test_an_exchange_without_news_is_asked_from_the_start_again(
    stopncii: StopNcii, double: Double, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = f"k,s,{double.url}"
    monkeypatch.setattr(exchanges._StopNcii, "pages", lambda *_: iter(()))
    assert synced(tmp_path, credentials) == (0, 0)
    monkeypatch.undo()
    stopncii.tell(PDQ)
    assert synced(tmp_path, credentials) == (1, 1)


def test_the_sample_of_the_library_is_matched(banks: Any) -> None:
    banks.add_toml("b", TOML.format(id="b", source='{ type = "sample" }'))
    done = synced(banks.directory, None)
    assert done.hashes > 0
    banks.publish()
    matcher = Matcher.open(banks.directory)
    known = hashes(banks.directory)
    assert {m.fingerprint for m in matcher.lookup([f"{k}:{v}" for k, v, _ in known])} == set(
        range(len(known))
    )


@pytest.mark.parametrize(
    ("source", "credentials", "says"),
    [
        ('{ type = "stopncii" }', None, "has no credentials; add it to WASL_MATCHING_CREDENTIALS"),
        ('{ type = "stopncii" }', "one", "do not have the expected form"),
        ('{ type = "ncmec", environment = "NGO" }', "user", "do not have the expected form"),
        ('{ type = "ncmec", environment = "Nowhere" }', "u:p", "do not have the expected form"),
        ('{ type = "threatexchange", privacy_group = 1 }', "x", "do not have the expected form"),
    ],
)
def test_what_is_missing_is_named(
    tmp_path: Path, source: str, credentials: str | None, says: str
) -> None:
    written(tmp_path, source)
    with pytest.raises(BankError, match=says):
        synced(tmp_path, credentials)


def test_without_the_extra_the_fix_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    written(tmp_path, '{ type = "sample" }')
    monkeypatch.setitem(sys.modules, "threatexchange", None)
    with pytest.raises(BankError, match=r"install wasl-triage\[exchanges\]"):
        synced(tmp_path, None)


def test_a_damaged_state_is_named_with_the_fix(tmp_path: Path) -> None:
    written(tmp_path, '{ type = "sample" }')
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "b.sqlite").write_bytes(b"x" * 5000)
    with pytest.raises(BankError, match=r"b\.sqlite: is damaged.*remove it and run"):
        synced(tmp_path, None)
