# SPDX-License-Identifier: Apache-2.0
"""The `wasl` command on a real broker and a real database.

Each test has a connector of its own, so topics, dead letters and replay offsets never meet.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from kit import KEY, TALLIES, Tally, running, settings, tallies, total, unique, until
from typer.testing import CliRunner
from wasl_chassis.mongo import MongoStore
from wasl_chassis.service import Service
from wasl_chassis.store import Changes, Collection, OutboxRow
from wasl_chassis.work import UnitOfWork
from wasl_cli import dead_letters
from wasl_cli.app import build
from wasl_platform_gateway.domain import ledger
from wasl_platform_gateway.repository import LEDGER
from wasl_schemas.catalog import decode
from wasl_schemas.ids import uuid7
from wasl_schemas.topics import dispatch_requested_v1

pytestmark = pytest.mark.integration
OTHER_KEY = "cHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHA="
BROKEN = b"{broken"
REMARKS = [("x-wasl-reason", b"schema"), ("x-wasl-dead-at", b"2026-01-05T09:00:00+00:00")]


class Hub:
    """One deployment: a connector, its topics, databases under a prefix, and the command."""

    def __init__(self, mongo_uri: str, bootstrap: str, example: bytes) -> None:
        self.connector = f"c{unique()}"
        self.spec = dispatch_requested_v1(self.connector)
        self.dlq = self.spec.dead_letter("platform-gateway")
        self.bootstrap = bootstrap
        self.prefix = f"t{unique()}"
        self.env = {
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "MONGODB_URI": mongo_uri,
            "WASL_MASTER_KEY": KEY,
            "WASL_PEPPER": OTHER_KEY,
            "WASL_CONNECTORS": self.connector,
            "WASL_DATABASE_PREFIX": self.prefix,
        }
        self._example = json.loads(example)

    def __call__(self, *args: str, status: int = 0) -> str:
        result = CliRunner().invoke(build(), list(args), env=self.env)
        assert result.exit_code == status, (result.output, result.exception)
        return result.stdout

    def json(self, *args: str, status: int = 0) -> Any:
        return json.loads(self(*args, "--json", status=status))

    def replay(self, *args: str, status: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = self.json("dlq", "replay", self.dlq, *args, status=status)
        return found

    def event(self, number: int) -> bytes:
        case = f"{number:032x}"
        data = {**self._example["data"], "case_id": case, "connector": self.connector}
        changes = {"id": uuid7(), "partitionkey": case, "correlationid": case, "data": data}
        return json.dumps({**self._example, **changes}).encode()

    def bury(self, *values: bytes) -> None:
        """Put records into the dead-letter topic, as a consumer would."""

        async def put() -> None:
            producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, acks="all")
            await producer.start()
            for i, value in enumerate(values):
                headers = [("ce_id", str(i).encode()), *REMARKS]
                await producer.send(self.dlq, value, key=b"key%d" % i, headers=headers)
            await producer.stop()

        asyncio.run(put())

    def records(self, topic: str) -> list[Any]:
        return asyncio.run(self._records(topic))

    async def _records(self, topic: str) -> list[Any]:
        """Everything the topic holds now, by partition and offset."""
        consumer = AIOKafkaConsumer(
            topic, bootstrap_servers=self.bootstrap, auto_offset_reset="earliest", group_id=None
        )
        await consumer.start()
        try:
            ends = await consumer.end_offsets(list(consumer.assignment()))
            found: list[Any] = []
            while sum(ends.values()) > len(found):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += records
            return found
        finally:
            await consumer.stop()


@pytest.fixture
def hub(mongo_uri: str, bootstrap: str, request) -> Hub:
    folder = request.config.rootpath / "schemas/examples/org.wasl.dispatch.requested.v1"
    made = Hub(mongo_uri, bootstrap, (folder / "0.1.0-full.json").read_bytes())
    made("topics", "apply")
    return made


def values(records: Sequence[Any]) -> list[bytes]:
    return [r.value for r in sorted(records, key=lambda r: r.timestamp)]


# -- topics --------------------------------------------------------------------------------------


def test_topics(mongo_uri, bootstrap, request) -> None:
    hub = Hub(mongo_uri, bootstrap, b"{}")
    lines = hub("topics", "diff", status=1).splitlines()
    assert f"{hub.spec.name}: topic should be there, is missing" in lines
    missing = hub.json("topics", "diff", status=1)
    assert {"topic": hub.dlq, "what": "topic", "wanted": "there", "found": "missing"} in missing
    result = CliRunner().invoke(build(), ["topics", "apply", "--replication", "9"], env=hub.env)
    assert (result.exit_code, "with 9 copies" in result.stderr) == (70, True)
    done = hub("topics", "apply").splitlines()
    assert f"created {hub.spec.name}" in done
    assert f"created {hub.dlq}" in done
    assert hub("topics", "diff") == "no difference\n"
    assert hub("topics", "apply") == "nothing to do\n"


# -- dead letters --------------------------------------------------------------------------------


def test_list_and_show(hub, tmp_path) -> None:
    assert hub.dlq not in hub("dlq", "list")
    good = hub.event(1)
    hub.bury(good, BROKEN)
    (pile,) = [p for p in hub.json("dlq", "list") if p["topic"] == hub.dlq]
    died = {"waiting": 2, "kept": 2, "oldest": "2026-01-05T09:00:00Z"}
    assert pile == {"topic": hub.dlq, **died}
    first, second = hub.json("dlq", "show", hub.dlq)
    assert (first["valid"], first["data"]["connector"]) == (True, hub.connector)
    assert first["data"]["item"].startswith("(restricted")
    assert (second["valid"], second["problems"]) == (False, ["value: json_invalid"])
    text = hub("dlq", "show", hub.dlq, "--limit", "1")
    assert "reason=schema" in text
    assert "offset 0" in text
    assert "offset 1" not in text
    file = tmp_path / "letter"
    hub("dlq", "show", hub.dlq, "--offset", "1", "--export", str(file))
    assert file.read_bytes() == BROKEN
    assert file.stat().st_mode & 0o777 == 0o600
    hub("dlq", "show", hub.dlq, "--offset", "1", "--export", str(file), status=2)
    hub("dlq", "show", hub.dlq, "--export", str(tmp_path / "other"), status=2)
    hub("dlq", "show", hub.dlq, "--offset", "9", status=2)
    hub("dlq", "show", "wasl.unknown.v1.dlq.triage", status=2)


def test_stop_ends_at_the_first_invalid_record(hub) -> None:
    good = [hub.event(i) for i in range(3)]
    hub.bury(*good[:2], BROKEN, good[2])
    planned = hub.replay("--dry-run", status=1)
    assert (planned["replayed"], planned["stopped_at"], planned["left"]) == (2, 2, 2)
    assert hub.records(hub.spec.name) == []
    for _ in range(2):  # it goes on where it ended: at the same record, again and again
        done = hub.replay(status=1)
        assert (done["stopped_at"], done["left"]) == (2, 2)
        assert done["problems"] == ["value: json_invalid"]
    replayed = hub.records(hub.spec.name)
    assert sorted(values(replayed)) == sorted(good[:2])
    by_value = {r.value: r for r in replayed}
    assert by_value[good[1]].key == b"key1"
    assert list(by_value[good[1]].headers) == [("ce_id", b"1")]  # as the producer sent it


def test_drop_leaves_invalid_records_out(hub) -> None:
    good = [hub.event(i) for i in range(3)]
    hub.bury(BROKEN, *good, BROKEN)
    done = hub.replay("--policy", "drop")
    assert (done["replayed"], done["dropped"], done["left"]) == (3, 2, 0)
    assert sorted(values(hub.records(hub.spec.name))) == sorted(good)
    assert len(hub.records(hub.dlq)) == 5  # kept for whoever wants to know, but waiting no more
    assert hub.dlq not in hub("dlq", "list")
    again = hub.replay("--policy", "drop")
    assert (again["replayed"], again["dropped"]) == (0, 0)


def test_reinsert_puts_invalid_records_at_the_end(hub) -> None:
    good = [hub.event(i) for i in range(2)]
    hub.bury(BROKEN, good[0], BROKEN + b"2", good[1])
    done = hub.replay("--policy", "reinsert")
    assert (done["replayed"], done["reinserted"], done["left"]) == (2, 2, 0)
    assert sorted(values(hub.records(hub.spec.name))) == sorted(good)
    letters = hub.records(hub.dlq)
    assert [r.value for r in letters[4:]] == [BROKEN, BROKEN + b"2"]
    assert letters[4].headers == letters[0].headers  # with the consumer's remarks
    assert letters[4].key == letters[0].key
    (pile,) = [p for p in hub.json("dlq", "list") if p["topic"] == hub.dlq]
    assert pile["waiting"] == 2


@pytest.mark.parametrize("policy", ["stop", "reinsert", "drop"])
def test_bounded_by_count(hub, policy) -> None:
    good = [hub.event(i) for i in range(5)]
    hub.bury(*good)
    left = []
    for _ in range(4):
        done = hub.replay("--policy", policy, "--limit", "2")
        left.append((done["replayed"], done["left"]))
    assert left == [(2, 3), (2, 1), (1, 0), (0, 0)]
    assert sorted(values(hub.records(hub.spec.name))) == sorted(good)


def test_reinserting_only_broken_records_ends(hub) -> None:
    hub.bury(*[BROKEN] * 3)
    assert hub.replay("--policy", "reinsert", "--limit", "1000")["reinserted"] == 3
    assert hub.replay("--policy", "reinsert", "--limit", "2")["reinserted"] == 2
    assert len(hub.records(hub.dlq)) == 8


KILLED = """
import os, signal
from wasl_cli import dead_letters
dead_letters.CHUNK = 5
async def killed(self, tp, offset):
    if offset >= 10:
        os.kill(os.getpid(), signal.SIGKILL)
    await commit(self, tp, offset)
commit = dead_letters.DeadLetterBox._commit
dead_letters.DeadLetterBox._commit = killed
from wasl_cli.__main__ import main
main()
"""


async def test_killed_between_publish_and_commit(hub, monkeypatch) -> None:
    """At most the records in hand are published twice, and their consumer handles each once."""
    events = [hub.event(i) for i in range(20)]
    await asyncio.to_thread(hub.bury, *events)
    command = [sys.executable, "-c", KILLED, "dlq", "replay", hub.dlq]
    env = {**os.environ, **hub.env}
    killed = await asyncio.to_thread(subprocess.run, command, env=env, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    published = [r.value for r in await hub._records(hub.spec.name)]
    assert sorted(published) == sorted(events[:10])
    monkeypatch.setattr(dead_letters, "CHUNK", 5)
    done = await asyncio.to_thread(hub.replay)
    assert (done["replayed"], done["left"]) == (15, 0)
    published = [r.value for r in await hub._records(hub.spec.name)]
    assert sorted(published) == sorted([*events, *events[5:10]])
    # The consumer knows the five it sees again.
    made = settings(hub.env["MONGODB_URI"], hub.bootstrap)
    service = Service.open(made, "platform-gateway", collections=(TALLIES,), instance=hub.connector)

    async def count(event: Any, uow: UnitOfWork) -> None:
        case = event.data.case_id
        held = await uow.get(TALLIES, case) or Tally(id=case)
        uow.put(TALLIES, held.model_copy(update={"count": held.count + 1}))

    service.consume(hub.spec, count)
    async with running(service):

        async def caught_up() -> bool:
            name = service.consumer.name
            seen = [
                service.metrics.value(
                    "wasl_events_handled_total",
                    consumer=name,
                    type=hub.spec.type,
                    outcome=outcome,
                )
                for outcome in ("ok", "duplicate")
            ]
            return sum(seen) == 25

        await until(caught_up, 30)
        found = await tallies(service)
    assert total(found) == len(found) == 20


# -- databases -----------------------------------------------------------------------------------


def commit(hub: Hub, database: str, changes: Changes) -> None:
    async def go() -> None:
        store = MongoStore(
            hub.env["MONGODB_URI"],
            database=f"{hub.prefix}_{database}",
            vault_database=f"{hub.prefix}_vault",
        )
        await store.commit(changes)
        await store.close()

    asyncio.run(go())


def test_outbox_status(hub) -> None:
    assert {row["pending"] for row in hub.json("outbox", "status")} == {0}
    written = datetime.now(UTC) - timedelta(hours=3)
    row = OutboxRow(uuid7(), hub.spec.name, "k", b"{}", (), written)
    commit(hub, "triage", Changes(outbox=[row]))
    rows = {row["service"]: row for row in hub.json("outbox", "status")}
    assert {"intake", "triage", "notify", "platform-gateway"} == set(rows)
    assert rows["triage"]["pending"] == 1
    assert 10_800 <= rows["triage"]["waiting_seconds"] < 10_900
    assert rows["intake"] == {
        "service": "intake",
        "pending": 0,
        "oldest": None,
        "waiting_seconds": None,
    }
    (line,) = [x for x in hub("outbox", "status").splitlines() if x.startswith("triage")]
    assert line.endswith("3 h")


def test_connectors(hub) -> None:
    def listed() -> dict[str, Any]:
        (row,) = hub.json("connectors", "list")
        return row

    assert (listed()["connector"], listed()["paused"]) == (hub.connector, False)
    hub("connectors", "pause", hub.connector)
    paused = listed()
    assert paused["paused"]
    assert paused["by"]
    assert paused["since"]
    hub("connectors", "resume", hub.connector)
    assert not listed()["paused"]
    hub("connectors", "pause", "nobody", status=2)


def test_trace(hub) -> None:
    """Real databases; what each service tells is in tests/unit/cli/test_trace.py."""
    hub("report", "trace", "0" * 32, status=1)
    event = decode(hub.spec, hub.event(3))
    row = ledger.requested(event.data, event.time, event.time)
    doc = {**LEDGER.encode(row), "_id": row.dispatch_id, "_rev": 1}
    unsent = OutboxRow(uuid7(), hub.spec.name, row.case_id, b"{}", (), datetime.now(UTC))
    commit(hub, "gateway", Changes(inserts={LEDGER: [doc]}, outbox=[unsent]))
    told = hub.json("report", "trace", row.dispatch_id)
    assert told["cases"] == [row.case_id]
    path = [(line["service"], line["what"], line["state"]) for line in told["path"]]
    assert ("platform-gateway", "dispatch", "requested") in path
    assert ("platform-gateway", "event not sent yet", "pending") in path
    assert row.item not in json.dumps(told)
    result = CliRunner().invoke(
        build(), ["report", "trace", "-"], env=hub.env, input=f"{row.dispatch_id}\n"
    )
    assert row.dispatch_id in result.stdout


def test_doctor(hub, request) -> None:
    hub.env["WASL_COUNTRY_PACK"] = str(request.config.rootpath / "deploy/country-packs/ma")
    found = hub.json("doctor")
    levels = {(f["check"], f["level"]) for f in found}
    for check in ("country pack", "broker", "topics", "database", "clock"):
        assert (check, "ok") in levels
    said = " ".join(f["what"] for f in found if f["check"] == "database")
    assert "replica set 'rs0'" in said
    assert "may write" in said
    # What it wrote to find out is gone.
    leases: Collection[Any] = Collection("leases", str, lambda _: {}, lambda doc: doc)

    async def left() -> int:
        store = MongoStore(
            hub.env["MONGODB_URI"],
            database=f"{hub.prefix}_triage",
            vault_database=f"{hub.prefix}_vault",
        )
        count = await store.count(leases, {})
        await store.close()
        return count

    assert asyncio.run(left()) == 0
    hub.env["WASL_CONNECTORS"] = f"{hub.connector},c{unique()}"
    missing = hub.json("doctor", status=1)
    (finding,) = [f for f in missing if f["check"] == "topics"]
    assert (finding["level"], finding["fix"]) == ("fail", "wasl topics apply")
