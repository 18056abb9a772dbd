# SPDX-License-Identifier: Apache-2.0
"""Reading a form: each field once, only known fields, UTF-8, bounded."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from wasl_chassis.web import field_problem

from wasl_intake.domain.submission import CONTROL

MEDIA_TYPE = "application/x-www-form-urlencoded"
#: Percent-encoding makes a letter of Arabic six bytes.
FACTOR = 4
_MAX_FIELDS = 60

#: What a form sent: each field with its values.
Fields = Mapping[str, list[str]]


@dataclass(frozen=True, slots=True)
class FormError:
    """``field``: the id of the control the summary links to. ``text``: in the reader's words."""

    field: str
    text: str


class Refused(Exception):  # noqa: N818
    """The form cannot be taken as it is; the errors are in the reader's language."""

    def __init__(self, *errors: FormError) -> None:
        super().__init__()
        self.errors = list(errors)


def first(fields: Fields, name: str) -> str:
    """The value of a field that comes once; empty where it did not come."""
    return fields.get(name, [""])[0]


def plain(text: str) -> str:
    """What a person typed with plain line ends and a space for each character nobody can see:
    copied text brings some along, and nobody can find and remove what is not shown.
    """
    return CONTROL.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n"))


def read_fields(
    body: bytes, known: Collection[str], many: Collection[str] = ()
) -> dict[str, list[str]]:
    """The form's fields; those of ``many`` (boxes to tick) may come several times.

    Raises Problem 400 for what is no form, 422 for a field that is unknown or given twice.
    """
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MAX_FIELDS,
        )
    except ValueError:
        raise field_problem(
            "body", "is not a form in UTF-8", "Send the form again.", code="not_a_form", status=400
        ) from None
    out: dict[str, list[str]] = {}
    for name, value in pairs:
        if name in many:
            out.setdefault(name, []).append(value)
        elif name in known and name not in out:
            out[name] = [value]
        else:
            raise field_problem(
                name, "is not expected here, or given twice", "Send the form again.", code="form"
            )
    return out
