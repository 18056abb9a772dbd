# SPDX-License-Identifier: Apache-2.0
"""The sample reports, what the API is sent of them, and what must become of each."""

import json
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_SENT = (
    "channel", "language", "category", "danger_now", "under_18", "under_13", "contact",
    "consent_partner", "consent_authority",
)  # fmt: skip
#: Books of a partner that say what the partner did in the end.
_ANSWERS = {"removed", "refused"}


@dataclass(frozen=True)
class Sample:
    """One line of a samples file."""

    id: str
    text: str
    urls: tuple[str, ...]
    accepted: bool
    duplicate_of: str | None
    assessment: Mapping[str, Any] | None
    decisions: tuple[Mapping[str, Any], ...]
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def channel(self) -> str:
        return str(self.fields.get("channel", ""))

    @property
    def language(self) -> str:
        return str(self.fields.get("language", ""))

    @property
    def contact(self) -> str | None:
        contact = self.fields.get("contact")
        return str(contact["address"]) if contact else None

    def request(self) -> dict[str, Any]:
        """The body of ``POST /api/v1/reports``."""
        return {**self.fields, "locations": list(self.urls), "narrative": self.text}

    def narrative(self) -> str:
        """The text as the hub keeps it."""
        return unicodedata.normalize("NFC", self.text).strip()

    def expected(self, books: Iterable[str]) -> str:
        """The status its receipt must show, given what the asked partners did (their own books)."""
        action = self.decisions[-1]["action"] if self.decisions else ""
        told = set(books)
        if "removed" in told:
            return "removed"
        if told:
            return "partner_refused" if told <= _ANSWERS else "sent_partner"
        if action == "refer":
            return "referred"
        return "no_ground" if self.decisions[-1].get("close_reason") == "no_ground" else "closed"


def load(folder: Path) -> list[Sample]:
    """All samples of ``folder/*.jsonl``, in the order they are sent."""
    rows = [
        json.loads(line)
        for file in sorted(folder.glob("*.jsonl"))
        for line in file.read_text(encoding="utf-8").splitlines()
        if line.strip()
    ]
    return [_sample(row) for row in rows]


def _sample(row: Mapping[str, Any]) -> Sample:
    analyst = row.get("analyst") or {}
    return Sample(
        id=row["id"],
        text=row["text"],
        urls=tuple(row["urls"]),
        accepted=row["expected_intake"] == "accepted",
        duplicate_of=row.get("duplicate_of"),
        assessment=analyst.get("assessment"),
        decisions=tuple(analyst.get("decisions", ())),
        fields={name: row[name] for name in _SENT if row.get(name) is not None},
    )
