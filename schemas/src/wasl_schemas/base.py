# SPDX-License-Identifier: Apache-2.0
"""Base types of every published model.

Writers are strict: a constructor refuses an unknown field. Readers are tolerant: they validate with
``extra="ignore"`` so that a producer's new optional field harms nobody. Errors never quote input.
"""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class EventData(Model):
    """The ``data`` of one event type. Inside a major version only optional fields are added."""


class OpenEnum(StrEnum):
    """A closed list that may grow: a reader maps what it does not know to ``UNKNOWN``.

    Every subclass declares ``UNKNOWN = "unknown"``.
    """

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        return cls("unknown") if isinstance(value, str) and value != "unknown" else None


#: UTC or offset-carrying time; a naive time is an error.
Timestamp = AwareDatetime

#: Ciphertext of one field: ``s1.<key id>.<base64url(nonce || ciphertext || tag)>``, AES-256-GCM
#: (NIST SP 800-38D). Without the key of that id it is noise; destroying the key erases it everywhere.
Sealed = Annotated[str, StringConstraints(pattern=r"^s1\.[A-Za-z0-9:_-]{1,80}\.[A-Za-z0-9_-]{22,}$")]

#: BCP 47 language tag, lower-case primary subtag: ar, ary, ary-Latn, fr, en, zgh, und.
LanguageTag = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$", max_length=35)]

#: A lower-case identifier of the country pack: category, partner, authority, legal reference.
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,79}$")]
