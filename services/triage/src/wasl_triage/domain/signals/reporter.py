# SPDX-License-Identifier: Apache-2.0
"""What a report's own circumstances say of it, where nobody knows or asks who sent it.

Words, never a number: they order equal cases and show an analyst where to look. Nothing here lowers
the severity of a danger; a copy by a crowd can be true.
"""

import math
from dataclasses import dataclass

#: Decided reports of a partner below which their outcome says nothing.
HISTORY = 20
_SHORT = 40
_Z = 1.96  # 95 %


@dataclass(frozen=True, slots=True)
class Circumstances:
    """``partner``: who sent it on; ``history``: that partner's (upheld, decided)."""

    channel: str
    partner: str | None = None
    history: tuple[int, int] = (0, 0)
    flood: bool = False
    copy: bool = False
    located: bool = True
    length: int = 0
    consent: bool = False


def reporter_words(known: Circumstances) -> tuple[str, ...]:
    """Constant words about a report, in a fixed order.

    ``flood`` and ``copy``; ``no_location``, ``short``, ``detailed``; ``may_be_told`` where a
    partner may be told; ``staff_intake`` where somebody took it down; ``partner``, and with at
    least :data:`HISTORY` decisions ``partner_with_history`` and, where the bound of the Wilson
    interval allows to say so, ``often_upheld`` (over 80 %) or ``seldom_upheld`` (under 30 %).
    ValueError for a history that cannot be.
    """
    words = [word for word, holds in (
        ("flood", known.flood),
        ("copy", known.copy),
        ("no_location", not known.located),
        ("short", known.length < _SHORT),
        ("detailed", known.located and known.length >= 5 * _SHORT),
        ("may_be_told", known.consent),
        ("staff_intake", known.channel == "phone"),
        ("partner", known.partner is not None),
    ) if holds]  # fmt: skip
    upheld, decided = known.history
    if not 0 <= upheld <= decided:
        raise ValueError(f"{upheld} of {decided} upheld: history is (upheld, decided)")
    if known.partner is not None and decided >= HISTORY:
        words.append("partner_with_history")
        low, high = _wilson(upheld, decided)
        if low > 0.8:
            words.append("often_upheld")
        elif high < 0.3:
            words.append("seldom_upheld")
    return tuple(words)


def _wilson(successes: int, total: int) -> tuple[float, float]:
    """The Wilson score interval of a share (Wilson 1927)."""
    share, z2 = successes / total, _Z * _Z
    centre = share + z2 / (2 * total)
    reach = _Z * math.sqrt(share * (1 - share) / total + z2 / (4 * total * total))
    return (centre - reach) / (1 + z2 / total), (centre + reach) / (1 + z2 / total)
