# SPDX-License-Identifier: Apache-2.0
"""How sensitive each field is. Every field of every schema carries exactly one mark.

PUBLIC may be published. INTERNAL may be logged. PERSONAL and RESTRICTED travel only sealed:
encrypted with the data key of the person or item they belong to.
"""

from enum import StrEnum
from typing import Annotated, TypeVar

from pydantic.fields import FieldInfo

T = TypeVar("T")


class Sensitivity(StrEnum):
    PUBLIC = "public"
    INTERNAL = "internal"
    PERSONAL = "personal"
    RESTRICTED = "restricted"


Public = Annotated[T, Sensitivity.PUBLIC]
Internal = Annotated[T, Sensitivity.INTERNAL]
Personal = Annotated[T, Sensitivity.PERSONAL]
Restricted = Annotated[T, Sensitivity.RESTRICTED]


def marks(field: FieldInfo) -> list[Sensitivity]:
    """The sensitivities a field declares; exactly one in a published event."""
    return [m for m in field.metadata if isinstance(m, Sensitivity)]
