# SPDX-License-Identifier: Apache-2.0
"""The servers of a test session: given by the environment, real, or embedded."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wasl_local.servers import EmbeddedKafka, EmbeddedMongo, KafkaServer, RealKafka, fetch_kafka

ROOT = Path(__file__).resolve().parents[2]


def kafka_server(data: Path) -> KafkaServer:
    """Apache Kafka with ``WASL_TEST_KAFKA=real``, else the embedded server."""
    if os.environ.get("WASL_TEST_KAFKA") == "real":
        return RealKafka(data, jars=fetch_kafka(ROOT / ".wasl" / "kafka"))
    return EmbeddedKafka(data)


@contextmanager
def kafka(data: Path) -> Iterator[str]:
    if given := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        yield given
        return
    with kafka_server(data) as server:
        yield server.bootstrap


@contextmanager
def mongo(data: Path) -> Iterator[str]:
    if given := os.environ.get("MONGODB_URI"):
        yield given
        return
    with EmbeddedMongo(data) as server:
        yield server.uri
