# SPDX-License-Identifier: Apache-2.0
"""Real servers for the suites.

``KAFKA_BOOTSTRAP_SERVERS`` and ``MONGODB_URI`` point the suites at servers that run already;
``WASL_TEST_KAFKA=real`` starts Apache Kafka in place of the embedded server. Tests share servers
and never meet: each has its own databases, groups and topics.
"""

from collections.abc import AsyncIterator, Iterator

import pytest
from kit import Bench
from servers import kafka, mongo


@pytest.fixture(scope="session")
def mongo_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mongo(tmp_path_factory.mktemp("mongo")) as uri:
        yield uri


@pytest.fixture(scope="session")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with kafka(tmp_path_factory.mktemp("kafka")) as address:
        yield address


@pytest.fixture
async def bench(mongo_uri: str, bootstrap: str) -> AsyncIterator[Bench]:
    made = Bench(mongo_uri, bootstrap)
    await made.topics()
    yield made
