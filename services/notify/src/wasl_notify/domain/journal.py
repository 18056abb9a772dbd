# SPDX-License-Identifier: Apache-2.0
"""What notify is told about cases, kept as one small page per consumed batch.

Most cases have no reporter who wants mail, and which ones have is often learnt later, in any order.
So a handler decides nothing: it adds a line to the page of its batch, one document for up to a batch
of events. Pages are joined with reporters afterwards (see ``joining.py``), in either direction.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from wasl_schemas.events.case_opened_v1 import CaseOpenedV1
from wasl_schemas.events.case_updated_v1 import CaseChange, CaseUpdatedV1
from wasl_schemas.events.dispatch_updated_v1 import DispatchUpdatedV1
from wasl_schemas.events.staff_message_sent_v1 import StaffMessageSentV1
from wasl_schemas.lifecycle import ANSWERS

#: What is worth a message to the reporters of a case.
NEWS_OF_CASES = frozenset(
    {CaseChange.DECIDED, CaseChange.CONFIRMED, CaseChange.OUTCOME, CaseChange.CLOSED}
)
NEWS_OF_DISPATCHES = frozenset(ANSWERS)

NEWS, MESSAGE = "news", "message"


class Join(NamedTuple):
    """A report is part of a case since ``version``, or (``joined`` False) no longer is."""

    case_id: str
    report_id: str
    version: int
    joined: bool


class Fact(NamedTuple):
    """One line. ``about``: a case's or a report's id. ``cause``: set where it is worth a message."""

    about: str
    what: str
    at: datetime
    who: str
    cause: str | None
    template: str


@dataclass(slots=True)
class Page:
    """The lines of one batch. ``due_at`` is set until its lines have been joined with reporters."""

    page_id: str
    at: datetime
    joins: list[Join] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    #: (figure, label) → how many, for the public statistics.
    tally: Counter[tuple[str, str]] = field(default_factory=Counter)
    due_at: datetime | None = None
    lease: str | None = None
    lease_until: datetime | None = None

    def case_opened(self, data: CaseOpenedV1) -> None:
        self.joins.append(Join(data.case_id, data.report_id, data.version, True))
        self.facts.append(Fact(data.case_id, "case_opened", data.opened_at, "triage", None, NEWS))
        self.tally["cases_opened", data.platform] += 1

    def case_updated(self, data: CaseUpdatedV1) -> None:
        change = data.change
        self.tally["case_changes", change.value] += 1
        if change is CaseChange.REPORT_JOINED or change is CaseChange.REPORT_LEFT:
            if data.report_id is not None:
                joined = change is CaseChange.REPORT_JOINED
                self.joins.append(Join(data.case_id, data.report_id, data.version, joined))
            # No line: a case may have thousands of reports, and its lines are read as a whole.
            return
        cause = f"{data.case_id}|{change.value}|{data.version}" if change in NEWS_OF_CASES else None
        what = f"case_{change.value}"
        self.facts.append(Fact(data.case_id, what, data.changed_at, "triage", cause, NEWS))

    def dispatch_updated(self, data: DispatchUpdatedV1) -> None:
        state = data.state
        self.tally["dispatches", f"{data.partner}:{state.value}"] += 1
        cause = f"{data.dispatch_id}|{state.value}" if state in NEWS_OF_DISPATCHES else None
        what = f"dispatch_{state.value}"
        self.facts.append(Fact(data.case_id, what, data.changed_at, data.partner, cause, NEWS))

    def staff_message(self, data: StaffMessageSentV1) -> None:
        what, cause = "message", f"{data.message_id}|message"
        self.facts.append(Fact(data.report_id, what, data.sent_at, "triage", cause, MESSAGE))

    def about(self) -> list[str]:
        """Every id by which a late reporter or link will look for this page."""
        return sorted({j.report_id for j in self.joins} | {f.about for f in self.facts})


def encode(page: Page) -> dict[str, Any]:
    return {
        "at": page.at,
        "joins": [list(j) for j in page.joins],
        "facts": [list(f) for f in page.facts],
        "tally": [[*key, count] for key, count in page.tally.items()],
        "about": page.about(),
        "due_at": page.due_at,
        "lease": page.lease,
        "lease_until": page.lease_until,
    }


def decode(doc: dict[str, Any]) -> Page:
    return Page(
        page_id=doc["_id"],
        at=doc["at"],
        joins=[Join(*j) for j in doc["joins"]],
        facts=[Fact(*f) for f in doc["facts"]],
        tally=Counter({(figure, label): n for figure, label, n in doc["tally"]}),
        due_at=doc["due_at"],
        lease=doc["lease"],
        lease_until=doc["lease_until"],
    )
