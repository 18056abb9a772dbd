# SPDX-License-Identifier: Apache-2.0
"""From bytes to events: which CloudEvents ``type`` is which model.

Readers are tolerant: unknown fields are dropped, unknown values of open lists become ``UNKNOWN``.
What does not decode raises :class:`Undecodable`, whose text names fields and rules and never quotes
input.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from wasl_schemas.base import EventData
from wasl_schemas.envelope import Event
from wasl_schemas.topics import TopicSpec, registry

DataT = TypeVar("DataT", bound=EventData)

_MAX_PROBLEMS = 5


class Undecodable(ValueError):  # noqa: N818  a verdict on bytes
    """``problems``: ``field: rule`` pairs, fit for a log line and a dead letter's header."""

    def __init__(self, type_: str, problems: list[str]) -> None:
        super().__init__(f"not an event of type {type_}: {'; '.join(problems)}")
        self.problems = problems


def decode(spec: TopicSpec[DataT], value: bytes) -> Event[DataT]:
    """The event a record of this topic carries. Raises :class:`Undecodable`."""
    try:
        event = _adapter(spec.data).validate_json(value, extra="ignore")
    except ValidationError as error:
        problems = _problems(error)
    else:
        if event.type == spec.type:
            return event
        problems = ["type: unexpected"]
    # Raised here and not in the handler above: an exception's context would carry the input along.
    raise Undecodable(spec.type, problems)


def decode_any(value: bytes) -> Event[Any]:
    """An event of any known type, for tools that read many topics. Raises :class:`Undecodable`."""
    try:
        head = _HEAD.validate_json(value, extra="ignore")
    except ValidationError as error:
        problems = _problems(error)
    else:
        spec = by_type().get(head.type)
        if spec is not None:
            return decode(spec, value)
        problems = ["type: unknown"]
    raise Undecodable("org.wasl.*", problems)


@cache
def by_type() -> dict[str, TopicSpec[EventData]]:
    """One topic for each event type. Connectors share a type: any of their topics stands for it."""
    return {spec.type: spec for spec in registry()}


def types() -> Iterator[tuple[str, type[EventData]]]:
    """Every event type with its model, in the order of their names."""
    for name, spec in sorted(by_type().items()):
        yield name, spec.data


@cache
def _adapter(data: type[DataT]) -> TypeAdapter[Event[DataT]]:
    # Building one takes milliseconds, using it microseconds.
    return TypeAdapter(Event[data])  # type: ignore[valid-type]


class _Head(EventData):
    type: str


_HEAD = TypeAdapter(_Head)


def _problems(error: ValidationError) -> list[str]:
    found = error.errors(include_input=False, include_url=False, include_context=False)
    # Only the place and the rule: a message may quote. A place is a field's name, never a value,
    # because no event has a mapping.
    named = [f"{'.'.join(map(str, e['loc'])) or 'value'}: {e['type']}" for e in found]
    more = len(named) - _MAX_PROBLEMS
    return named if more <= 0 else [*named[:_MAX_PROBLEMS], f"and {more} more"]
