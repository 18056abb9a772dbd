# SPDX-License-Identifier: Apache-2.0
"""The CloudEvents 1.0 envelope, structured JSON mode.

One self-contained document serves the log, the dead letter, the replay and the golden example. The
routing attributes are repeated as ``ce_*`` record headers (Kafka protocol binding §3.3.3).
``(source, id)`` is the deduplication key; ``partitionkey`` is the Kafka key.
"""

from typing import Generic, Literal, TypeVar

from pydantic import Field
from pydantic_core import to_json

from wasl_schemas.base import EventData, Model, Timestamp
from wasl_schemas.sensitivity import Internal

CONTENT_TYPE = "application/cloudevents+json; charset=UTF-8"
DataT = TypeVar("DataT", bound=EventData)


class Event(Model, Generic[DataT]):
    """One fact. ``time``: when it happened; ``recordedtime``: when we wrote it."""

    specversion: Internal[Literal["1.0"]] = "1.0"
    id: Internal[str] = Field(min_length=1, max_length=64)
    source: Internal[str] = Field(pattern=r"^/wasl/[a-z0-9/-]+$", max_length=80)
    type: Internal[str] = Field(pattern=r"^org\.wasl\.[a-z0-9.-]+\.v[0-9]+$", max_length=120)
    subject: Internal[str] = Field(max_length=120)
    time: Internal[Timestamp]
    recordedtime: Internal[Timestamp]
    datacontenttype: Internal[Literal["application/json"]] = "application/json"
    dataschema: Internal[str] = Field(max_length=120)
    dataclassification: Internal[str] = Field(max_length=20)
    partitionkey: Internal[str] = Field(min_length=1, max_length=80)
    correlationid: Internal[str] = Field(max_length=80)
    causationid: Internal[str | None] = Field(default=None, max_length=80)
    traceparent: Internal[str | None] = Field(default=None, max_length=60)
    #: Sensitive as ``dataclassification`` says; each of its fields carries its own mark.
    data: DataT

    def to_bytes(self) -> bytes:
        """The record's value. What is absent is left out, never written as null."""
        return to_json(self, exclude_none=True)

    def headers(self) -> list[tuple[str, bytes]]:
        """Record headers: the attributes a router or a console needs without parsing the value."""
        pairs = [
            ("content-type", CONTENT_TYPE),
            ("ce_id", self.id),
            ("ce_source", self.source),
            ("ce_type", self.type),
            ("ce_time", self.time.isoformat()),
            ("ce_correlationid", self.correlationid),
        ]
        return [(name, value.encode()) for name, value in pairs]
