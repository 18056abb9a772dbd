# SPDX-License-Identifier: Apache-2.0
"""A XARF 4 document as a report of this hub (xarf-spec 4.2.0, schemas/v4/xarf-core.json).

The core's required fields are demanded, the types' own are not: a report that lacks one is still a
report. Kept are where, what and when; never who (reporter, sender), never evidence. Types without a
category here come in without one, with the type in words.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
)
from pydantic_core import PydanticCustomError

from wasl_intake.domain import locations
from wasl_intake.domain.submission import Location, Prose, ReportRequest, Request

#: What a clock may be ahead of ours.
AHEAD = timedelta(days=1)
#: What lies before is a clock that was never set.
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
EVIDENCE_MAX = 50
_VERSION = r"^4\.[0-9]{1,4}\.[0-9]{1,4}$"
_TAG = "wasl:"
#: Names of dropped fields that are told.
_TOLD = 50

Categories = Literal[
    "messaging", "content", "copyright", "connection", "vulnerability", "infrastructure",
    "reputation",
]  # fmt: skip
Short = Annotated[Prose, Field(min_length=1, max_length=254)]


def _version(text: str) -> str:
    if not re.fullmatch(_VERSION, text):
        raise PydanticCustomError(
            "xarf_version", "is not supported", {"fix": "Send XARF 4, for example 4.2.0."}
        )
    return text


def _whole(value: object) -> object:
    """JSON knows numbers only, and 25.0 is one without a fraction."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _sane(time: datetime) -> datetime:
    if time < EARLIEST:
        raise PydanticCustomError(
            "time_too_early", "lies before the year 2000", {"fix": "Set the sender's clock."}
        )
    return time


class Party(BaseModel):
    """Checked as the standard asks, and not kept."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    org: Short
    contact: Short
    domain: Short


class Xarf(Request):
    """The core, and the fields of the types that say where."""

    model_config = ConfigDict(extra="allow")

    xarf_version: Annotated[str, Field(max_length=20), AfterValidator(_version)] = Field(
        description="4.MINOR.PATCH", json_schema_extra={"pattern": _VERSION}
    )
    report_id: UUID = Field(description="One document is one report, however often it is sent")
    timestamp: Annotated[AwareDatetime, AfterValidator(_sane)]
    reporter: Party
    sender: Party
    source_identifier: Annotated[Prose, Field(min_length=1, max_length=locations.MAX_LENGTH)]
    source_port: Annotated[int, Field(ge=1, le=65_535), BeforeValidator(_whole)] | None = None
    category: Categories
    type: Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9_]{0,63}$")]
    url: Location | None = None
    infringing_url: Location | None = None
    description: Annotated[Prose, Field(max_length=1_000)] = ""
    evidence_source: Short | None = None
    confidence: float | None = Field(default=None, ge=0, le=1)
    tags: tuple[Annotated[str, StringConstraints(pattern=r"^[a-z0-9_+:-]{1,100}$")], ...] = Field(
        default=(), max_length=20
    )
    evidence: tuple[Any, ...] = Field(
        default=(), max_length=EVIDENCE_MAX, description="Counted and not kept; leave it out"
    )


XARF: TypeAdapter[Xarf] = TypeAdapter(Xarf)
_NOT_KEPT = frozenset({"reporter", "sender", "evidence"})


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a document became; ``dropped`` holds names as sent."""

    report: ReportRequest
    kind: str
    candidates: tuple[str, ...]
    dropped: tuple[str, ...]


def mapped(document: Xarf, partner: str, categories: Mapping[str, Sequence[str]]) -> Mapped:
    """The report of a document. ``categories``: of this country, by ``category/type``.

    Where a type has several, the tag ``wasl:CATEGORY`` picks one; otherwise it is the first.
    """
    kind = f"{document.category}/{document.type}"
    candidates = tuple(categories.get(kind, ()))
    tagged = [c for c in candidates if f"{_TAG}{c}" in document.tags]
    category = next(iter((*tagged, *candidates)), None)
    places = tuple(dict.fromkeys(u for u in (document.url, document.infringing_url) if u))
    source = document.source_identifier
    if not places and _is_location(source):
        places = (source,)
    told = {
        "partner": partner,
        "xarf": kind,
        "report": str(document.report_id),
        "time": document.timestamp.isoformat(timespec="seconds"),
        "source": "" if source in places else source,
        "port": document.source_port or "",
        "evidence source": document.evidence_source or "",
        "confidence": "" if document.confidence is None else document.confidence,
        "tags": " ".join(document.tags),
    }
    lines = "\n".join(f"{name}: {value}" for name, value in told.items() if value != "")
    report = ReportRequest(
        category=category,
        locations=places,
        narrative=f"{document.description}\n\n{lines}",
    )
    sent = document.model_fields_set
    return Mapped(report, kind, candidates, tuple(sorted(sent & _NOT_KEPT | _extra(document))))


def _extra(document: Xarf) -> set[str]:
    return set(list(document.model_extra or ())[:_TOLD])


def _is_location(text: str) -> bool:
    try:
        return locations.clean(text) == text
    except PydanticCustomError:
        return False
