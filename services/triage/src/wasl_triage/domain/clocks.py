# SPDX-License-Identifier: Apache-2.0
"""When a person must have looked, sent, confirmed or answered: the pack's clocks, applied.

Times are UTC. Hours run always; working days follow the pack's weekend, holidays and time zone, so
the shifted hour of Ramadan is the time zone data's business and nobody else's.
"""

from datetime import datetime

from wasl_schemas.country_pack import CountryPack
from wasl_schemas.events.common import Severity


def first_look_due(pack: CountryPack, severity: Severity, start: datetime) -> datetime:
    return pack.due(start, pack.clock(severity).first_look)


def hastened(pack: CountryPack, due: datetime, severity: Severity, now: datetime) -> datetime:
    """The due time after a severity rose: the new clock from now, never later than promised."""
    return min(due, first_look_due(pack, severity, now))


def dispatch_due(pack: CountryPack, severity: Severity, start: datetime) -> datetime:
    return pack.due(start, pack.clock(severity).dispatch)


def authority_due(pack: CountryPack, severity: Severity, start: datetime) -> datetime:
    """Where the pack tells an authority only on request, the time for a request to a partner
    holds.
    """
    clock = pack.clock(severity)
    return pack.due(start, clock.authority or clock.dispatch)


def feedback_due(pack: CountryPack, severity: Severity, start: datetime) -> datetime:
    return pack.due(start, pack.clock(severity).feedback)


def appeal_due(pack: CountryPack, start: datetime) -> datetime:
    """By when an appeal must have been answered, however grave its case is."""
    return pack.due(start, pack.clocks.appeal_within)


def opinion_due(pack: CountryPack, severity: Severity, start: datetime) -> datetime:
    """By when another body is to answer: an opinion that comes after the reporter had to be told
    something helps nobody.
    """
    return min(pack.due(start, pack.clocks.opinion_within), feedback_due(pack, severity, start))


def confirm_due(pack: CountryPack, start: datetime) -> datetime:
    """By when the second person must have confirmed what already left."""
    return pack.due(start, pack.clocks.confirm_within)
