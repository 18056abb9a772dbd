# SPDX-License-Identifier: Apache-2.0
"""What a person may have written by mistake: their receipt, a telephone number, an e-mail address.

A question to the person, never a refusal, and never an assessment: triage looks for personal data
on its own. Few false alarms matter more than completeness, because whoever is asked too often stops
reading.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from wasl_intake.domain import receipt


class SlipKind(StrEnum):
    RECEIPT = "receipt"
    PHONE = "phone"
    EMAIL = "email"


@dataclass(frozen=True, slots=True)
class Slip:
    """A span of the text, in characters."""

    start: int
    end: int
    kind: SlipKind


_LINK = re.compile(r"\b(?:https?|hxxps?)://\S+", re.IGNORECASE)
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+")
# With a country code, or ten digits from a leading zero (also in Arabic-Indic digits); a date, a
# price or an order number has neither.
_PHONE = re.compile(r"(?<![\w/.=-])(?:(?:\+|00)\d(?:[ .-]?\d){7,13}|[0٠](?:[ .-]?\d){9})(?!\w)")


#: Stands where something was hidden.
HIDDEN = "[…]"


def hidden(text: str, found: Sequence[Slip]) -> str:
    """The text with what was ``found`` in it hidden."""
    for slip in reversed(found):
        text = text[: slip.start] + HIDDEN + text[slip.end :]
    return text


def slips(text: str) -> list[Slip]:
    """What was found, in the text's order, without overlaps."""
    links = [m.span() for m in _LINK.finditer(text)]
    begins = [start for start, _ in links]
    found = [Slip(start, end, SlipKind.RECEIPT) for start, end in receipt.find(text)]
    found += [Slip(*m.span(), SlipKind.EMAIL) for m in _EMAIL.finditer(text)]
    found += [Slip(*m.span(), SlipKind.PHONE) for m in _PHONE.finditer(text)]
    out: list[Slip] = []
    for slip in sorted(found, key=lambda s: (s.start, -s.end)):
        before = bisect_right(begins, slip.start)
        inside = before > 0 and slip.start < links[before - 1][1]
        if not inside and (not out or slip.start >= out[-1].end):
            out.append(slip)
    return out
