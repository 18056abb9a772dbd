# SPDX-License-Identifier: Apache-2.0
"""The embedded servers run for real: they answer, keep their data, and die with their parent."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from pymongo import MongoClient
from wasl_local import servers
from wasl_local.processes import Child, last_line
from wasl_local.servers import EmbeddedKafka, EmbeddedMongo, RealKafka, ServerError, free_port


async def test_kafka_keeps_what_it_acknowledged_over_a_restart(tmp_path: Path) -> None:
    with EmbeddedKafka(tmp_path / "kafka") as kafka:
        producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, enable_idempotence=True)
        await producer.start()
        await producer.send_and_wait("t", b"one")
        await producer.stop()
        address = kafka.bootstrap
        kafka.restart()
        assert kafka.bootstrap == address
        consumer = AIOKafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest")
        await consumer.start()
        consumer.assign([TopicPartition("t", 0)])
        record = await consumer.getone()
        await consumer.stop()
        assert record.value == b"one"
    assert not kafka.alive
    assert not servers.kafka_answers(kafka.port)


def test_mongo_is_a_replica_set_that_survives_kill_and_step_down(tmp_path: Path) -> None:
    with EmbeddedMongo(tmp_path / "mongo") as mongo, MongoClient(mongo.uri) as client:
        with client.start_session() as session, session.start_transaction():
            client.db.c.insert_one({"_id": 1}, session=session)
        mongo.kill()
        mongo.start()
        assert client.db.c.count_documents({}) == 1
        mongo.step_down()
        client.db.c.insert_one({"_id": 2})
        assert client.db.c.count_documents({}) == 2


def test_mongo_data_moves_to_another_port(tmp_path: Path) -> None:
    with EmbeddedMongo(tmp_path / "mongo") as mongo, MongoClient(mongo.uri) as client:
        client.db.c.insert_one({"_id": 1})
    with EmbeddedMongo(tmp_path / "mongo", free_port()) as moved, MongoClient(moved.uri) as client:
        assert moved.port != mongo.port
        client.db.c.insert_one({"_id": 2})
        assert client.db.c.count_documents({}) == 2


def test_a_server_that_cannot_start_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((servers.LOOPBACK, 0))
        taken.listen()
        mongo = EmbeddedMongo(tmp_path / "mongo", taken.getsockname()[1])
        with pytest.raises(ServerError, match="mongo ended while starting"):
            mongo.start()
    assert mongo.pid is None


def test_missing_tools_are_named_with_their_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerError, match=r"mvn is not on the PATH.*apt-get install maven"):
        RealKafka(tmp_path / "kafka", jars=tmp_path / "jars").start()


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux")
def test_children_die_with_a_killed_parent(tmp_path: Path) -> None:
    script = (
        "import sys, threading, time\n"
        "from pathlib import Path\n"
        "from wasl_local.processes import Child\n"
        "def go():\n"
        "    child = Child.start(['sleep', '60'], log=Path(sys.argv[1]))\n"
        "    print(child.pid, flush=True)\n"
        "t = threading.Thread(target=go); t.start(); t.join()\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "log")], stdout=subprocess.PIPE
    )
    assert parent.stdout
    pid = int(parent.stdout.readline())
    time.sleep(0.2)
    os.kill(pid, 0)  # alive, although the thread that asked for it is gone
    parent.kill()
    parent.wait()
    assert gone(pid)


def gone(pid: int) -> bool:
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    code = (
        "import signal, time; signal.signal(15, signal.SIG_IGN)\n"
        "print('deaf', flush=True); time.sleep(60)"
    )
    child = Child.start([sys.executable, "-c", code], log=tmp_path / "log")
    while last_line(child.log) != "deaf":
        time.sleep(0.02)
    assert child.stop(0.2) == -signal.SIGKILL
