# SPDX-License-Identifier: Apache-2.0
"""Reading a form: each field once, only known fields, UTF-8, bounded."""

from collections.abc import Collection, Mapping
from urllib.parse import parse_qsl

from wasl_chassis.web import field_problem

MEDIA_TYPE = "application/x-www-form-urlencoded"
#: Percent-encoding makes a letter of Arabic six bytes.
FACTOR = 4
_MAX_FIELDS = 120

#: What a form sent: each field with its values.
Fields = Mapping[str, list[str]]


def first(fields: Fields, name: str) -> str:
    """The value of a field that comes once; empty where it did not come."""
    return fields.get(name, [""])[0]


def read_pairs(body: bytes) -> list[tuple[str, str]]:
    """Whatever the form holds, in its order. Raises Problem 400 for what is no form."""
    try:
        return parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MAX_FIELDS,
        )
    except ValueError:
        raise field_problem(
            "body", "is not a form in UTF-8", "Send the form again.", code="not_a_form", status=400
        ) from None


def read_fields(
    body: bytes, known: Collection[str], many: Collection[str] = ()
) -> dict[str, list[str]]:
    """The form's fields; those of ``many`` (boxes to tick) may come several times.

    Raises Problem 400 for what is no form, 422 for a field that is unknown or given twice.
    """
    out: dict[str, list[str]] = {}
    for name, value in read_pairs(body):
        if name in many:
            out.setdefault(name, []).append(value)
        elif name in known and name not in out:
            out[name] = [value]
        else:
            raise field_problem(
                name, "is not expected here, or given twice", "Send the form again.", code="form"
            )
    return out
