# SPDX-License-Identifier: Apache-2.0
"""Base types of every published model.

Writers are strict: a constructor refuses an unknown field. Readers are tolerant: they validate with
``extra="ignore"`` so that a producer's new optional field harms nobody. Errors never quote input.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, Self, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.annotated_handlers import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue

from wasl_schemas.sensitivity import marks


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: Any, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Pydantic's schema, with the sensitivity of each marked field as ``x-sensitivity``."""
        schema = handler(core_schema)
        for name, prop in handler.resolve_ref_schema(schema).get("properties", {}).items():
            for mark in marks(cls.model_fields[name]):
                prop["x-sensitivity"] = mark.value
        return schema


class EventData(Model):
    """The ``data`` of one event type. Inside a major version only optional fields are added."""


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models a field of this type can hold, directly or inside a union or collection."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_in(part)


class OpenEnum(StrEnum):
    """A closed list that may grow: a reader maps what it does not know to ``UNKNOWN``.

    Every subclass declares ``UNKNOWN = "unknown"``.
    """

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        return cls("unknown") if isinstance(value, str) and value != "unknown" else None

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: Any, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Any string is valid; ``x-known-values`` are the ones that mean something today."""
        return {"type": "string", "title": cls.__name__, "x-known-values": [m.value for m in cls]}


#: The version of an aggregate: 1 when it is created, one more with every change.
Version = Annotated[int, Field(ge=1, le=2**53 - 1)]

#: How many; bounded so that every JSON reader and the database hold it exactly.
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]

#: UTC or offset-carrying time; a naive time is an error.
Timestamp = AwareDatetime

#: Ciphertext of one field: ``s1.<key id>.<base64url(nonce || ciphertext || tag)>``, AES-256-GCM
#: (NIST SP 800-38D). Without the key of that id it is noise; destroying the key erases it
#: everywhere.
Sealed = Annotated[
    str, StringConstraints(pattern=r"^s1\.[A-Za-z0-9:_-]{1,80}\.[A-Za-z0-9_-]{22,}$")
]

#: BCP 47 language tag, lower-case primary subtag: ar, ary, ary-Latn, fr, en, zgh, und.
LanguageTag = Annotated[
    str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$", max_length=35)
]

#: A lower-case identifier of the country pack: category, partner, authority, legal reference.
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,79}$")]
