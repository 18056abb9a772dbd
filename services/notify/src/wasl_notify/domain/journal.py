# SPDX-License-Identifier: Apache-2.0
"""What notify is told about cases, kept as one small page per consumed batch.

Most cases have no reporter who wants mail, and which ones have is often learnt later, in any
order. So a handler decides nothing: it adds a line to the page of its batch, one document for all
events of the batch. Pages are joined with reporters afterwards, whatever came first.
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
    """One line about a case or a report. ``cause``: set where it is worth a message."""

    about: str
    what: str
    at: datetime
    who: str
    cause: str | None
    template: str

    @property
    def of_report(self) -> bool:
        """Whether ``about`` names a report; else a case."""
        return self.template == MESSAGE


#: (figure, label) → how many, for the public statistics.
Tally = Counter[tuple[str, str]]


@dataclass(slots=True)
class Unread:
    """A page whose lines have not been joined with reporters yet, and what it counts."""

    page_id: str
    due_at: datetime
    tally: Tally = field(default_factory=Counter)
    lease: str | None = None
    lease_until: datetime | None = None


@dataclass(slots=True)
class Page:
    """The lines of one batch. Written once, never changed: it may be large."""

    page_id: str
    at: datetime
    joins: list[Join] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Notes:
    """Writes the lines of one batch."""

    page: Page
    unread: Unread

    def case_opened(self, data: CaseOpenedV1) -> None:
        self.page.joins.append(Join(data.case_id, data.report_id, data.version, True))
        self.page.facts.append(
            Fact(data.case_id, "case_opened", data.opened_at, "triage", None, NEWS)
        )
        self.unread.tally["cases_opened", data.platform] += 1

    def case_updated(self, data: CaseUpdatedV1) -> None:
        change = data.change
        self.unread.tally["case_changes", change.value] += 1
        if change is CaseChange.REPORT_JOINED or change is CaseChange.REPORT_LEFT:
            if data.report_id is not None:
                joined = change is CaseChange.REPORT_JOINED
                self.page.joins.append(Join(data.case_id, data.report_id, data.version, joined))
            # No line: a case may have thousands of reports, and its lines are read as a whole.
            return
        cause = f"{data.case_id}|{change.value}|{data.version}" if change in NEWS_OF_CASES else None
        what = f"case_{change.value}"
        self.page.facts.append(Fact(data.case_id, what, data.changed_at, "triage", cause, NEWS))

    def dispatch_updated(self, data: DispatchUpdatedV1) -> None:
        state = data.state
        self.unread.tally["dispatches", f"{data.partner}:{state.value}"] += 1
        cause = f"{data.dispatch_id}|{state.value}" if state in NEWS_OF_DISPATCHES else None
        what = f"dispatch_{state.value}"
        self.page.facts.append(Fact(data.case_id, what, data.changed_at, data.partner, cause, NEWS))

    def staff_message(self, data: StaffMessageSentV1) -> None:
        what, cause = "message", f"{data.message_id}|message"
        self.page.facts.append(Fact(data.report_id, what, data.sent_at, "triage", cause, MESSAGE))


def about(page: Page) -> list[str]:
    """Every id by which a late reporter or link will look for this page."""
    return sorted({j.report_id for j in page.joins} | {f.about for f in page.facts})


def encode_page(page: Page) -> dict[str, Any]:
    return {
        "at": page.at,
        "joins": [list(j) for j in page.joins],
        "facts": [list(f) for f in page.facts],
        "about": about(page),
    }


def decode_page(doc: dict[str, Any]) -> Page:
    joins, facts = [Join(*j) for j in doc["joins"]], [Fact(*f) for f in doc["facts"]]
    return Page(doc["_id"], doc["at"], joins, facts)


def encode_unread(unread: Unread) -> dict[str, Any]:
    return {
        "tally": [[*key, count] for key, count in unread.tally.items()],
        "due_at": unread.due_at,
        "lease": unread.lease,
        "lease_until": unread.lease_until,
    }


def decode_unread(doc: dict[str, Any]) -> Unread:
    tally = Counter({(figure, label): n for figure, label, n in doc["tally"]})
    return Unread(doc["_id"], doc["due_at"], tally, doc["lease"], doc["lease_until"])
