# SPDX-License-Identifier: Apache-2.0
"""The raw limit: consume the records and bulk-write the same bytes, 500 at a time. Nothing else."""

import asyncio
import sys
import time

from aiokafka import AIOKafkaConsumer
from bson.binary import Binary
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import ReplaceOne
from pymongo.write_concern import WriteConcern


async def main(bootstrap: str, uri: str, topic: str, goal: int) -> None:
    database = AsyncIOMotorClient(uri).get_database("raw", write_concern=WriteConcern("majority"))
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, group_id="raw", auto_offset_reset="earliest",
        enable_auto_commit=False,
    )  # fmt: skip
    await consumer.start()
    done, begun = 0, 0.0
    while done < goal:
        batch = [
            r
            for rs in (await consumer.getmany(timeout_ms=100, max_records=500)).values()
            for r in rs
        ]
        if not batch:
            continue
        begun = begun or time.monotonic()
        ops = [
            ReplaceOne(
                {"_id": f"{r.partition}-{r.offset}"}, {"value": Binary(r.value)}, upsert=True
            )
            for r in batch
        ]
        await database.reports.bulk_write(ops, ordered=False)
        await consumer.commit()
        done += len(batch)
    sys.stdout.write(f"{done / (time.monotonic() - begun)}\n")
    await consumer.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
