# SPDX-License-Identifier: Apache-2.0
"""What reading costs the person who reads: points a day, a budget, breaks. Pure.

Points are the country pack's (``desk.exposure``). A look at a case counts each time, because a text
read twice weighs twice. Days are local days of the pack's time zone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from wasl_schemas.desk import DeskRules


@dataclass(frozen=True, slots=True)
class Day:
    """One person's day. ``looks``: category → how many cases were opened; "" where none was said.

    ``since``: when the present stretch of work began; a pause of the pack's length ends one.
    """

    person: str
    day: date
    points: int = 0
    looks: Mapping[str, int] | None = None
    since: datetime | None = None
    last: datetime | None = None

    @property
    def id(self) -> str:
        return f"{self.person}|{self.day.isoformat()}"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a person's day stands. ``rest``: seconds until a break is proposed; 0: now."""

    points: int
    budget: int
    rotate: bool
    spent: bool
    rest: int

    @property
    def percent(self) -> int:
        return min(100, round(100 * self.points / self.budget))


def looked(rules: DeskRules, day: Day, category: str | None, now: datetime) -> Day:
    """The day after one more look at a case of ``category``."""
    looks = dict(day.looks or {})
    looks[category or ""] = looks.get(category or "", 0) + 1
    pause = timedelta(minutes=rules.exposure.break_minutes)
    rested = day.last is None or now - day.last >= pause
    return replace(
        day,
        points=day.points + rules.points(category),
        looks=looks,
        since=now if rested or day.since is None else day.since,
        last=now,
    )


def standing(rules: DeskRules, day: Day, now: datetime) -> Standing:
    plan = rules.exposure
    pause = timedelta(minutes=plan.break_minutes)
    rest = plan.break_after_minutes * 60
    if day.since is not None and day.last is not None and now - day.last < pause:
        rest = max(0, rest - int((now - day.since).total_seconds()))
    return Standing(
        points=day.points,
        budget=plan.budget,
        rotate=day.points >= plan.rotate_at * plan.budget,
        spent=day.points >= plan.budget,
        rest=rest,
    )


def may_look(rules: DeskRules, day: Day, category: str | None) -> bool:
    """Whether the person may open one more case: distressing ones only within the budget."""
    return category not in rules.exposure.distressing or day.points < rules.exposure.budget
