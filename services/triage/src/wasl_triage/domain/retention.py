# SPDX-License-Identifier: Apache-2.0
"""What may be erased, when, and what stops it: the country pack's clocks applied to reports, cases
and helpline cases.

Nothing that is open or held is ever due, whatever the clocks say. A report in several cases waits
for the last of them; a report that came after its case had ended has its own clock. What has no
clock in the pack is kept.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from wasl_schemas.country_pack import CountryPack, Retention

#: When to look again at what is stopped by something that does not tell us when it ends.
AGAIN = timedelta(days=1)
_NEVER = timedelta(days=365)


class Data(StrEnum):
    """What is erased, in the order in which it usually goes."""

    #: How the reporter may be written to; intake and notify have it.
    CONTACT = "contact"
    #: What the reporter wrote, messages included; of a case, the desk's own notes.
    TEXT = "text"
    #: The row of a report, or a whole case; of the helpline, all there is.
    RECORD = "record"


#: Names of the pack's clocks.
_CLOCK = {Data.CONTACT: "contact", Data.TEXT: "report-text", Data.RECORD: "case-metadata"}
AUDIT_CLOCK, HELPLINE_CLOCK = "audit-log", "helpline-case"


class Stop(StrEnum):
    """Why something stays."""

    OPEN = "open"
    HELD = "held"
    NOT_DUE = "not_due"
    NO_CLOCK = "no_clock"


@dataclass(frozen=True, slots=True)
class Rest:
    """A case with all it is worked with. ``since``: it is at rest from then on; None: somebody
    still has to act or to look.
    """

    since: datetime | None
    held: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One thing and its fate. ``stop``: None: it is due and free."""

    kind: str
    id: str
    data: Data
    due_at: datetime | None
    stop: Stop | None


def clock(pack: CountryPack, name: str) -> Retention | None:
    return next((r for r in pack.clocks.retention if r.data == name), None)


def together(rests: Iterable[Rest]) -> Rest:
    """Several cases as one: held if one is, at rest when the last is."""
    since: datetime | None = None
    held, all_rest = False, True
    for rest in rests:
        held |= rest.held
        if rest.since is None:
            all_rest = False
        elif since is None or rest.since > since:
            since = rest.since
    return Rest(since if all_rest else None, held)


@dataclass(frozen=True, slots=True)
class Thing:
    """A report, a case or a helpline case. ``received_at``: of the report, or of the case's newest;
    when a helpline case was opened.
    """

    kind: Literal["report", "case", "helpline"]
    id: str
    received_at: datetime


def judge(pack: CountryPack, thing: Thing, data: Data, rest: Rest, now: datetime) -> Line:
    """Whether that of the thing is due."""
    kind, id_, received_at = thing.kind, thing.id, thing.received_at
    rule = clock(pack, HELPLINE_CLOCK if kind == "helpline" else _CLOCK[data])
    if rule is None:
        return Line(kind, id_, data, None, Stop.NO_CLOCK)
    due: datetime | None = None
    if rest.since is not None:
        start = received_at if rule.starts == "received" else max(rest.since, received_at)
        due = pack.due(start, rule.keep)
    if rest.held:
        stop: Stop | None = Stop.HELD
    elif due is None:
        stop = Stop.OPEN
    else:
        stop = Stop.NOT_DUE if due > now else None
    return Line(kind, id_, data, due, stop)


def first_look(
    pack: CountryPack, since: datetime | None, *, held: bool, helpline: bool = False
) -> datetime | None:
    """When something of a case may be due for the first time; None while it is open or held."""
    if since is None or held:
        return None
    names = (HELPLINE_CLOCK,) if helpline else _CLOCK.values()
    rules = [r for name in names if (r := clock(pack, name)) is not None]
    return min((pack.due(since, r.keep) for r in rules), default=since + _NEVER)


def next_look(lines: Sequence[Line], now: datetime) -> datetime:
    """When to look at a case again, given what was left of it."""
    times = [
        line.due_at if line.stop is Stop.NOT_DUE and line.due_at else now + AGAIN
        for line in lines
        if line.stop not in (None, Stop.NO_CLOCK)
    ]
    return max(min(times, default=now + _NEVER), now + timedelta(minutes=1))


def audit_over(pack: CountryPack, written: datetime, now: datetime) -> bool:
    """Whether the audit rows of a time are over theirs."""
    rule = clock(pack, AUDIT_CLOCK)
    return rule is not None and pack.due(written, rule.keep) <= now
