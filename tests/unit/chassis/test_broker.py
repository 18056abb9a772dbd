# SPDX-License-Identifier: Apache-2.0
import asyncio

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest
from wasl_chassis import broker


def test_a_write_to_a_transport_that_just_closed_is_a_lost_connection() -> None:
    """What a broker that restarts leaves for a moment, on the loop the services run on."""

    async def write() -> None:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        connection = AIOKafkaConnection("127.0.0.1", port)
        _, connection._writer = await asyncio.open_connection("127.0.0.1", port)
        connection._versions = {MetadataRequest.API_KEY: (0, 1)}
        connection._writer.transport.abort()
        await asyncio.sleep(0)
        try:
            with pytest.raises(KafkaConnectionError, match="closed"):
                await connection.send(MetadataRequest(None))
            assert not connection.connected()
        finally:
            server.close()

    assert broker.AIOKafkaConnection is AIOKafkaConnection
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(write(), 10))
