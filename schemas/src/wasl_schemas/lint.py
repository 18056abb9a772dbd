# SPDX-License-Identifier: Apache-2.0
"""Rules every topic and event must keep, so that the registry stays one language.

Each rule takes one spec and yields sentences that name the thing, what was expected and the fix. A
deployment's own connectors go through the same rules: ``lint(registry(connectors))``.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, get_args

from pydantic import BaseModel, StringConstraints
from pydantic.fields import FieldInfo

from wasl_schemas import topics
from wasl_schemas.base import EventData, Sealed, models_in
from wasl_schemas.sensitivity import Sensitivity, marks
from wasl_schemas.topics import RETENTION, TopicSpec

Spec = TopicSpec[Any]
Rule = Callable[[Spec], Iterator[str]]

SERVICES: frozenset[str] = frozenset({"intake", "triage", "platform-gateway", "notify"})
#: The broker's own limit; a dead-letter topic must fit too.
MAX_NAME = 249
_WORD = r"[a-z][a-z0-9]*(-+[a-z0-9]+)*-*"
_NAME = re.compile(rf"wasl\.{_WORD}\.{_WORD}(\.{_WORD})?\.v[1-9][0-9]*")
_ORDER = list(Sensitivity)
_SECRET = frozenset({Sensitivity.PERSONAL, Sensitivity.RESTRICTED})
_SEAL = next(m for m in get_args(Sealed) if isinstance(m, StringConstraints))


def name_shape(spec: Spec) -> Iterator[str]:
    if not _NAME.fullmatch(spec.name):
        yield "expected wasl.<aggregate>.<event>[.<connector>].v<major> in a-z, 0-9, '-' and '.'"
    longest = max(map(len, (spec.name, *(spec.dead_letter(c) for c in spec.consumers))))
    if longest > MAX_NAME:
        yield f"the name or a dead-letter name has {longest} characters; shorten it to {MAX_NAME}"


def described(spec: Spec) -> Iterator[str]:
    if not re.fullmatch(r"\S.*\S\.", spec.description):
        yield "the description must be one or more sentences"


def retention_allowed(spec: Spec) -> Iterator[str]:
    allowed = RETENTION.get(spec.classification, frozenset())
    if spec.retention not in allowed:
        days = ", ".join(str(r.days) for r in sorted(allowed)) or "none"
        yield f"retention of {spec.classification} data must be one of (days): {days}"


def dead_letters_outlast(spec: Spec) -> Iterator[str]:
    if spec.dead_letter_retention < spec.retention:
        yield "dead letters must be kept at least as long as events; raise dead_letter_retention"


def classified(spec: Spec) -> Iterator[str]:
    highest = max((m for _, f in fields(spec.data) for m in marks(f)), key=_ORDER.index)
    if spec.classification is not highest:
        yield f"classification must be '{highest}', the highest sensitivity among its fields"


def keyed(spec: Spec) -> Iterator[str]:
    field = spec.data.model_fields.get(spec.key)
    if field is None or field.annotation is not str or not field.is_required():
        yield f"key '{spec.key}' must be a required text field of {spec.data.__name__}"


def known_services(spec: Spec) -> Iterator[str]:
    for service in sorted({*spec.producers, *spec.consumers} - SERVICES):
        yield f"'{service}' is no service; expected one of {', '.join(sorted(SERVICES))}"
    if not spec.producers:
        yield "a topic needs a producer"


def named_mechanically(spec: Spec) -> Iterator[str]:
    """wasl.case.opened.v1 → module case_opened_v1, class CaseOpenedV1, constant CASE_OPENED_V1."""
    words = re.split(r"[.-]", spec.type.removeprefix("org.wasl."))
    module, cls = "_".join(words), "".join(w.capitalize() for w in words)
    if spec.data.__module__ != f"wasl_schemas.events.{module}":
        yield f"its model must live in the module wasl_schemas.events.{module}"
    if spec.data.__name__ != cls:
        yield f"its model must be called {cls}"
    if spec.connector is None:
        if getattr(topics, module.upper(), None) is not spec:
            yield f"it must be the constant {module.upper()} of wasl_schemas.topics"
    elif not callable(getattr(topics, module, None)):
        yield f"it must be made by the function {module} of wasl_schemas.topics"


def marked_once(spec: Spec) -> Iterator[str]:
    for path, field in fields(spec.data):
        if len(marks(field)) != 1:
            yield f"field '{path}' must carry exactly one of Public, Internal, Personal, Restricted"


def sealed(spec: Spec) -> Iterator[str]:
    for name, field in spec.data.model_fields.items():
        if _SECRET & set(marks(field)) and not _is_sealed(field):
            yield f"field '{name}' is sensitive and must be Sealed, or a model of sealed values"


def absent_by_default(spec: Spec) -> Iterator[str]:
    """None is never written, so a reader must find it as the default."""
    for path, field in fields(spec.data):
        nullable = type(None) in get_args(field.annotation)
        if nullable and (field.is_required() or field.default is not None):
            yield f"field '{path}' may be None, which is not written: give it the default None"


RULES: tuple[Rule, ...] = (
    name_shape, described, retention_allowed, dead_letters_outlast, classified, keyed,
    known_services, named_mechanically, marked_once, sealed, absent_by_default,
)  # fmt: skip


def lint(specs: Iterable[Spec]) -> list[str]:
    """Every broken rule as ``<topic>: <sentence>``; empty when the registry is sound."""
    listed = list(specs)
    problems = [f"{spec.name}: {p}" for spec in listed for rule in RULES for p in rule(spec)]
    return problems + [f"{name}: {p}" for name, p in one_type_per_topic(listed)]


def one_type_per_topic(specs: Iterable[Spec]) -> Iterator[tuple[str, str]]:
    """A topic is listed once, and two topics share a type only as connectors of one family."""
    seen: dict[str, Spec] = {}
    owners: dict[str, Spec] = {}
    for spec in specs:
        if seen.setdefault(spec.name, spec) is not spec:
            yield spec.name, "the topic is listed twice; keep one"
            continue
        owner = owners.setdefault(spec.type, spec)
        family = spec.connector is not None and owner.connector is not None
        if owner is not spec and not (family and owner.data is spec.data):
            yield spec.name, f"the type {spec.type} belongs to {owner.name}; give it its own"


def fields(model: type[EventData]) -> Iterator[tuple[str, FieldInfo]]:
    """Every field of an event with its dotted path, nested models included."""
    yield from _walk(model, "")


def _walk(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}", field
        for inner in models_in(field.annotation):
            yield from _walk(inner, f"{prefix}{name}.")


def _is_sealed(field: FieldInfo) -> bool:
    if _SEAL in field.metadata:
        return True
    return _seals(field.annotation)


def _seals(annotation: Any) -> bool:
    """Whether every value this type can hold is sealed, None aside."""
    if annotation == Sealed:
        return True
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        secret = [f for f in annotation.model_fields.values() if _SECRET & set(marks(f))]
        return bool(secret) and all(map(_is_sealed, secret))
    parts = [a for a in get_args(annotation) if a not in (type(None), Ellipsis)]
    return bool(parts) and all(map(_seals, parts))
