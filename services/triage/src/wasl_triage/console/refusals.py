# SPDX-License-Identifier: Apache-2.0
"""What a use case refuses, as lines that are shown beside the form that was sent."""

from pydantic import ValidationError

from wasl_triage.desk import NotLawful, Refused
from wasl_triage.domain.decisions import Missing

#: What a form is shown again for.
REFUSALS = (NotLawful, Refused, ValidationError)


def lines(error: NotLawful | Refused | ValidationError) -> tuple[Missing, ...]:
    """One line for each thing that is missing or wrong."""
    if isinstance(error, NotLawful):
        return tuple(error.missing)
    if isinstance(error, Refused):
        return (Missing("", str(error), error.fix),)
    # An empty field that must not be is missing; anything else has a value that does not fit.
    out: dict[str, Missing] = {}
    for one in error.errors(include_context=False, include_url=False):
        place = str(one["loc"][0]) if one["loc"] else ""
        if one["type"] in {"string_too_short", "missing"}:
            out[place] = Missing(place, "is missing", "Fill it in.")
        else:
            out[place] = Missing(
                place,
                "cannot be used as it is",
                "Choose one of the values, or shorten the text.",
            )
    return tuple(out.values())


def status(error: Exception) -> int:
    return 409 if isinstance(error, Refused) else 422
