# SPDX-License-Identifier: Apache-2.0
"""Topics are created by one command from the registry, and by nothing else.

``diff`` says what a cluster lacks or has otherwise; ``apply`` creates topics, raises partition
counts and sets retention. Nothing is ever deleted.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from wasl_schemas.topics import TopicSpec

from wasl_chassis.failures import Permanent, Retryable

#: Looks, ten a second, for a created topic: the controller answers before the brokers have heard.
LOOKS = 150


@dataclass(frozen=True, slots=True)
class Wanted:
    name: str
    partitions: int
    retention: timedelta

    @property
    def config(self) -> dict[str, str]:
        return {
            "retention.ms": str(int(self.retention.total_seconds() * 1000)),
            "cleanup.policy": "delete",
        }


@dataclass(frozen=True, slots=True)
class Drift:
    topic: str
    what: str
    wanted: str
    found: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.what} should be {self.wanted}, is {self.found}"


def wanted(registry: Iterable[TopicSpec[Any]]) -> list[Wanted]:
    """Every topic and the dead-letter topic of each of its consumers."""
    out: list[Wanted] = []
    for spec in registry:
        out.append(Wanted(spec.name, spec.partitions, spec.retention))
        out += [Wanted(spec.dead_letter(c), 1, spec.dead_letter_retention) for c in spec.consumers]
    return out


class TopicAdmin:
    """``async with TopicAdmin(bootstrap) as admin``. Raises :class:`Retryable` with Kafka away."""

    def __init__(self, bootstrap: str) -> None:
        self._client = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=15_000)

    async def __aenter__(self) -> Self:
        try:
            await self._client.start()
        except (KafkaError, OSError) as error:
            await self._client.close()
            raise Retryable(type(error).__name__, reason="kafka_away") from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def diff(self, topics: Iterable[Wanted]) -> list[Drift]:
        topics = list(topics)
        found = await self._found()
        drifts: list[Drift] = []
        present: list[Wanted] = []
        for topic in topics:
            held = found.get(topic.name)
            if held is None:
                drifts.append(Drift(topic.name, "topic", "there", "missing"))
                continue
            present.append(topic)
            count = len(held["partitions"])
            if count < topic.partitions:
                drifts.append(Drift(topic.name, "partitions", str(topic.partitions), str(count)))
        configs = await self._configs([t.name for t in present])
        for topic in present:
            for key, value in topic.config.items():
                held_value = configs.get(topic.name, {}).get(key)
                if held_value is not None and held_value != value:
                    drifts.append(Drift(topic.name, key, value, held_value))
        return drifts

    async def _found(self) -> dict[str, Any]:
        told = await self._client.describe_topics()
        return {t["topic"]: t for t in told if not t.get("error_code")}

    async def _seen(self, names: set[str]) -> None:
        for _ in range(LOOKS):
            if names <= (await self._found()).keys():
                return
            await asyncio.sleep(0.1)
        raise Retryable("the topics are created and not seen yet", reason="kafka_away")

    async def _configs(self, names: list[str]) -> dict[str, dict[str, str]]:
        if not names:
            return {}
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        answers = await self._client.describe_configs(resources)
        out: dict[str, dict[str, str]] = {}
        for answer in answers:
            for resource in answer.resources:
                out[resource[3]] = {entry[0]: entry[1] for entry in resource[4]}
        return out

    async def apply(self, topics: Iterable[Wanted], *, replication: int = 1) -> list[str]:
        """Create what is missing and mend what differs; returns what was done, one line each.

        A topic that was created is there for everybody when this returns.
        """
        topics = list(topics)
        drifts = await self.diff(topics)
        by_name = {t.name: t for t in topics}
        done: list[str] = []
        missing = [by_name[d.topic] for d in drifts if d.what == "topic"]
        if missing:
            try:
                answer = await self._client.create_topics(
                    [
                        NewTopic(t.name, t.partitions, replication, topic_configs=t.config)
                        for t in missing
                    ]
                )
            except TopicAlreadyExistsError:
                answer = None  # another 'apply' was first
            for row in getattr(answer, "topic_errors", ()):
                if row[1] not in (0, TopicAlreadyExistsError.errno):
                    raise Permanent(
                        f"topic {row[0]} could not be created with {replication} copies "
                        f"({for_code(row[1]).__name__})",
                        reason="kafka_refused",
                    )
            await self._seen({t.name for t in missing})
            done += [f"created {t.name}" for t in missing]
        for drift in drifts:
            topic = by_name[drift.topic]
            if drift.what == "partitions":
                await self._client.create_partitions(
                    {topic.name: NewPartitions(total_count=topic.partitions)}
                )
                done.append(f"raised {topic.name} to {topic.partitions} partitions")
        changed = {d.topic for d in drifts if d.what not in ("topic", "partitions")}
        for name in sorted(changed):
            await self._client.alter_configs(
                [ConfigResource(ConfigResourceType.TOPIC, name, configs=by_name[name].config)]
            )
            done.append(f"set the configuration of {name}")
        return done
