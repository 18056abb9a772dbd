# SPDX-License-Identifier: Apache-2.0
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from wasl_chassis import topics_admin
from wasl_chassis.failures import Retryable
from wasl_chassis.topics_admin import TopicAdmin, Wanted

TOPIC = Wanted("wasl.made.v1", 1, timedelta(days=1))


class Slow:
    """A cluster whose brokers hear of a new topic after ``looks`` looks at it."""

    def __init__(self, looks: int) -> None:
        self._looks, self._made = looks, False

    async def describe_topics(self) -> list[dict[str, Any]]:
        self._looks -= self._made
        return [{"topic": TOPIC.name, "partitions": [0]}] if self._looks < 0 else []

    async def create_topics(self, _topics: list[Any]) -> Any:
        self._made = True
        return SimpleNamespace(topic_errors=[(TOPIC.name, 0, None)])

    async def close(self) -> None: ...


async def _admin(looks: int) -> TopicAdmin:
    admin = TopicAdmin("127.0.0.1:1")
    await admin._client.close()
    admin._client = Slow(looks)
    return admin


async def test_a_topic_is_seen_by_all_when_it_is_said_to_be_created() -> None:
    admin = await _admin(looks=3)
    assert await admin.apply([TOPIC]) == ["created wasl.made.v1"]
    assert await admin._found() != {}


async def test_one_that_nobody_sees_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics_admin, "LOOKS", 2)
    admin = await _admin(looks=10**6)
    with pytest.raises(Retryable, match="not seen yet"):
        await admin.apply([TOPIC])
