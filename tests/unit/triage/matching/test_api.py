# SPDX-License-Identifier: Apache-2.0
"""Look-ups over HTTP: the process as it is started, and every way to ask wrongly."""

import asyncio
import hashlib
import json
import os
import subprocess
import sys
import types
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from wasl_chassis.metrics import Metrics
from wasl_triage.matching import Matcher, __main__
from wasl_triage.matching.api import lookup_app
from wasl_triage.matching.metrics import METRICS
from wasl_triage.matching.process import LookupProcess
from wasl_triage.matching.settings import Keys, ServeSettings

PDQ, MD5 = "pdq:" + "ab" * 32, "md5:" + "cd" * 16
KEY = {"x-api-key": "a key of the tests"}
KEYS = json.dumps({"cert": hashlib.sha256(KEY["x-api-key"].encode()).hexdigest()})


class Api:
    def __init__(self, directory: Path) -> None:
        self.metrics = Metrics(METRICS)
        app = lookup_app(Matcher.open(directory), Keys.parse(KEYS), self.metrics)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://matching.test")

    async def lookup(self, *hashes: Any, **headers: str) -> httpx.Response:
        return await self.http.post(
            "/api/v1/lookup", json={"hashes": list(hashes)}, headers=KEY | headers
        )


@pytest.fixture
def api(banks: Any) -> Api:
    banks.put("a", "hash,tags", f"{PDQ},x", MD5)
    banks.publish()
    return Api(banks.directory)


async def test_one_hash(api: Api) -> None:
    answer = await api.lookup(PDQ)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    (result,) = answer.json()["results"]
    (match,) = result["matches"]
    assert len(match.pop("entry")) == 32
    assert match == {
        "bank": "a", "title": "a of the tests", "category": "ncii", "confidence": "high",
        "kind": "pdq", "distance": 0, "tags": ["x"],
    }  # fmt: skip
    assert result["more"] is False


async def test_64_hashes_are_answered_in_their_order_and_65_are_not(api: Api) -> None:
    asked = [f"md5:{n:032x}" for n in range(62)]
    answer = await api.lookup(MD5, *asked, PDQ)
    assert [bool(r["matches"]) for r in answer.json()["results"]] == [True, *[False] * 62, True]
    refused = await api.lookup(MD5, *asked, PDQ, PDQ)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "hashes"
    assert api.metrics.value("wasl_matching_hashes_total") == 64
    assert api.metrics.value("wasl_matching_matches_total", bank="a") == 2
    assert api.metrics.value("wasl_matching_requests_total", holder="cert", result="invalid") == 1


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"hashes": []}, 422, "hashes"),
        ({}, 422, "hashes"),
        ({"hashes": PDQ}, 422, "hashes"),
        ({"hashes": [1]}, 422, "hashes[0]"),
        ({"hashes": [PDQ, "pdq:secret"]}, 422, "hashes[1]"),
        ({"hashes": [PDQ, "ab" * 32]}, 422, "hashes[1]"),
        ({"hashes": [PDQ], "limit": 5}, 422, "limit"),
        ({"hashes": [PDQ + "\0"]}, 422, "hashes[0]"),
    ],
)
async def test_a_wrong_request_is_told_the_field_and_never_quoted(
    api: Api, body: Any, status: int, field: str
) -> None:
    answer = await api.http.post("/api/v1/lookup", json=body, headers=KEY)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["field"] == field
    assert "secret" not in answer.text


async def test_what_is_no_json_or_too_much_is_refused(api: Api) -> None:
    for body, kind, status in ((b"{", "application/json", 400), (b"{}", "text/plain", 415)):
        headers = KEY | {"content-type": kind}
        answer = await api.http.post("/api/v1/lookup", content=body, headers=headers)
        assert answer.status_code == status
    assert (await api.lookup(*["x" * 300] * 64)).status_code == 413


@pytest.mark.parametrize("path", ["lookup", "banks"])
@pytest.mark.parametrize("key", [None, "", "another"])
async def test_nothing_is_told_without_a_key(api: Api, path: str, key: str | None) -> None:
    headers = {} if key is None else {"x-api-key": key}
    answer = await api.http.request(
        "POST" if path == "lookup" else "GET", f"/api/v1/{path}", headers=headers, content=b"{"
    )
    assert answer.status_code == 401
    assert answer.json()["title"] == "An API key is needed"
    assert "www-authenticate" in answer.headers
    assert (
        api.metrics.value("wasl_matching_requests_total", holder="none", result="unauthorised") == 1
    )


async def test_banks_are_told_without_their_hashes(api: Api, banks: Any) -> None:
    told = await api.http.get("/api/v1/banks", headers=KEY)
    (bank,) = told.json()["banks"]
    assert (bank["id"], bank["hashes"], bank["source"]) == ("a", 2, "file")
    assert told.json()["newest_in_place"] is True
    assert str(banks.directory) not in told.text


async def test_before_a_build_nothing_is_known(tmp_path: Path) -> None:
    api = Api(tmp_path)
    assert (await api.lookup(PDQ)).json() == {"results": [{"matches": [], "more": False}]}
    assert (await api.http.get("/api/v1/banks", headers=KEY)).json()["banks"] == []


@pytest.mark.parametrize(
    "text", ["{}", "[]", '{"a": "x"}', f'{{"a": "{"0" * 64}", "b": "{"0" * 64}"}}']
)
def test_wrong_keys_are_refused_unquoted(text: str) -> None:
    with pytest.raises(ValueError, match="expected JSON") as error:
        Keys.parse(text)
    assert "0000" not in str(error.value).replace("sha256", "")


@pytest.fixture
async def process(banks: Any) -> AsyncIterator[LookupProcess]:
    settings = ServeSettings(
        matching_directory=banks.directory, matching_keys=SecretStr(KEYS), grace_seconds=2
    )
    made = LookupProcess(settings)
    running = asyncio.create_task(made.run())
    while "matching" not in made.ports and not running.done():
        await asyncio.sleep(0.01)
    yield made
    made.stop()
    assert await running == 0


async def test_a_process_is_ready_from_the_first_build_and_follows_the_next(
    process: LookupProcess, banks: Any
) -> None:
    admin, public = (f"http://127.0.0.1:{process.ports[name]}" for name in ("admin", "matching"))
    async with httpx.AsyncClient() as http:
        assert (await http.get(f"{admin}/readyz")).status_code == 503
        banks.put("a", PDQ)
        banks.publish()
        assert (await http.get(f"{admin}/readyz")).status_code == 200
        body = {"hashes": [PDQ, MD5]}
        first = (await http.post(f"{public}/api/v1/lookup", json=body, headers=KEY)).json()
        banks.put("a", MD5)
        banks.publish()
        second = (await http.post(f"{public}/api/v1/lookup", json=body, headers=KEY)).json()
        assert [[bool(r["matches"]) for r in x["results"]] for x in (first, second)] == [
            [True, False],
            [False, True],
        ]
        process._follow()
        metrics = (await http.get(f"{admin}/metrics")).text
        assert 'wasl_matching_bank_hashes{bank="a"} 1.0' in metrics
        assert (await http.get(f"{admin}/livez")).status_code == 200


async def test_a_process_that_finds_only_a_damaged_build_is_not_ready(banks: Any) -> None:
    banks.put("a", PDQ)
    banks.publish()
    (banks.directory / "index" / "CURRENT").write_text("{")
    settings = ServeSettings(
        matching_directory=banks.directory, matching_keys=SecretStr(KEYS), grace_seconds=2
    )
    ready, report = await LookupProcess(settings).health.report()
    assert not ready
    assert report["index"]["detail"] == "the newest build is refused; see the log"


async def test_what_is_refused_at_load_is_in_a_gauge(process: LookupProcess, banks: Any) -> None:
    def gauges() -> list[str]:
        process._follow()
        text = process.metrics.exposition().decode()
        names = ("wasl_matching_index_refused", "wasl_matching_bank_kept")
        return [line for line in text.splitlines() if line.startswith(names)]

    assert gauges() == ["wasl_matching_index_refused 0.0"]
    banks.put("a", PDQ)
    banks.publish()
    fine = ["wasl_matching_index_refused 0.0", 'wasl_matching_bank_kept{bank="a"} 0.0']
    assert sorted(gauges()) == sorted(fine)
    banks.put("a", "no hash")
    assert banks.publish().kept
    assert 'wasl_matching_bank_kept{bank="a"} 1.0' in gauges()
    banks.put("a", MD5)
    banks.publish()
    assert sorted(gauges()) == sorted(fine), "it is read again"
    (banks.directory / "index" / "CURRENT").write_text("{")
    assert "wasl_matching_index_refused 1.0" in gauges()


class Command:
    """`wasl-triage-matching`, in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._patch, self._capsys = monkeypatch, capsys
        monkeypatch.setattr(__main__.logs, "configure", lambda *_: None)

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Exit status, standard output, standard error."""
        self._patch.setattr(sys, "argv", ["wasl-triage-matching", *arguments])
        with pytest.raises(SystemExit) as ended:
            __main__.main()
        return int(ended.value.code or 0), *self._capsys.readouterr()


@pytest.fixture
def command(
    banks: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    monkeypatch.setenv("WASL_MATCHING_DIRECTORY", str(banks.directory))
    return Command(monkeypatch, capsys)


def test_the_command_builds_looks_up_and_tells(command: Command, banks: Any) -> None:
    banks.put("a", "hash,quality", f"{PDQ},100", f"{PDQ},3")
    built = "whole: 1 came, 0 went; 1 hashes in 1 banks\na: refused 1 low_quality\n"
    assert command("build") == (0, built, "")
    _, looked, _ = command("lookup", PDQ, MD5)
    told = [json.loads(line) for line in looked.splitlines()]
    assert [(t["fingerprint"], t["bank"]) for t in told] == [(0, "a"), (1, None)]
    status, text, _ = command("status", "--verify")
    assert status == 0
    assert '"id": "a"' in text
    assert "every byte is as it was written" in text
    assert command("sync")[1].startswith("unchanged: 0 came")


def test_the_command_says_what_is_wrong(command: Command, banks: Any) -> None:
    wrong = (65, "", "fingerprint 0: expected 64 hexadecimal digits for pdq\n")
    assert command("lookup", "pdq:1") == wrong
    banks.put("a", "pdq:x")
    assert command("build")[0] == 65, "there is nothing to keep"
    banks.put("a", PDQ)
    command("build")
    banks.put("a", "pdq:x")
    status, _, said = command("build")
    assert status == 1, "the bank keeps what it had"
    assert "a.txt:1: expected 64 hexadecimal digits for pdq" in said
    index = banks.directory / "index"
    (base,) = index.glob("base-*")
    base.write_bytes(base.read_bytes()[:-1])
    status, _, said = command("build")
    assert (status, base.name in said) == (65, True)
    status, _, said = command("serve")
    assert (status, "WASL_MATCHING_KEYS is not set" in said) == (78, True)


def test_a_list_put_right_is_built_before_the_exchanges_are_asked_again(
    command: Command, banks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would end, be started again by whoever watches it, and ask them each time."""
    now, waits = 0.0, list[float]()

    def sleep(seconds: float) -> None:
        nonlocal now
        waits.append(seconds)
        now += seconds
        match len(waits):
            case 1:
                banks.put("a", PDQ)
            case 2:
                raise SystemExit(0)

    clock = types.SimpleNamespace(monotonic=lambda: now, sleep=sleep)
    monkeypatch.setattr(__main__, "time", clock)
    banks.put("a", "pdq:x")
    status, said, wrong = command("sync", "--every", "3600")
    assert (status, waits) == (0, [60, 3540])
    assert "a.txt:1: expected 64 hexadecimal digits for pdq" in wrong
    assert said.startswith("whole: 1 came")


def test_a_bank_whose_exchange_fails_holds_up_nobody(command: Command, banks: Any) -> None:
    pytest.importorskip("threatexchange", reason="make peers")
    banks.put("a", PDQ)
    source = '{ type = "stopncii" }'
    banks.add_toml(
        "b",
        f'[[bank]]\nid="b"\ntitle="B"\ncategory="c"\nconfidence="low"\nsource={source}\n',
    )
    status, said, wrong = command("sync")
    assert status == 1
    assert said.startswith("whole: 1 came")
    assert "bank b has no credentials; add it to WASL_MATCHING_CREDENTIALS" in wrong


def test_compiled_code_is_kept_where_the_setting_says(banks: Any, tmp_path: Path) -> None:
    banks.put("a", PDQ)
    banks.publish()
    env = {
        "PATH": os.environ["PATH"],
        "WASL_MATCHING_DIRECTORY": str(banks.directory),
        "WASL_MATCHING_CACHE": str(tmp_path / "cache"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "wasl_triage.matching", "lookup", PDQ],
        env=env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["bank"] == "a"
    assert any((tmp_path / "cache").rglob("*.nbi"))
