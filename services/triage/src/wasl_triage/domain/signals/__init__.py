# SPDX-License-Identifier: Apache-2.0
"""Facts a machine can read from a report's text: language, personal data, copies, a cry for help.

Every fact comes with its reason and none decides anything. Pure functions of the text (and, for
copies, of the deployment's secret): names are not found, irony is not understood, and a miss is
expected. Text is data: it is never interpreted, rendered or executed.
"""

from dataclasses import dataclass

from wasl_triage.domain.signals.danger import self_harm_cue
from wasl_triage.domain.signals.language import Hint, language_hint, prepare
from wasl_triage.domain.signals.neardup import (
    NEAR,
    SHORTEST,
    Campaigns,
    Candidate,
    Join,
    Sketch,
    Sketcher,
    join,
)
from wasl_triage.domain.signals.personal import (
    SCAN_LIMIT,
    Found,
    PersonalData,
    kinds,
    personal_data,
    redact,
)
from wasl_triage.domain.signals.reporter import Circumstances, reporter_words

__all__ = (
    "NEAR",
    "SCAN_LIMIT",
    "SHORTEST",
    "VERSION",
    "Campaigns",
    "Candidate",
    "Circumstances",
    "Found",
    "Hint",
    "Join",
    "PersonalData",
    "Signals",
    "Sketch",
    "Sketcher",
    "join",
    "kinds",
    "language_hint",
    "personal_data",
    "prepare",
    "read",
    "redact",
    "reporter_words",
    "self_harm_cue",
)

#: Stored with what was derived. One more whenever a change here can change an answer.
VERSION = 1


@dataclass(frozen=True, slots=True)
class Signals:
    """What one text says. ``sketch``: None for a short text, or where no sketcher was given."""

    version: int
    language: Hint
    found: tuple[Found, ...]
    self_harm: bool
    sketch: Sketch | None

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of personal data: fit to be stored beside the report."""
        return kinds(self.found)

    @property
    def why(self) -> tuple[tuple[str, int], ...]:
        """Constant words and how often each held; no word of the text."""
        said: dict[str, int] = {f"language:{self.language.because}": 1}
        said |= {f"language:{word}": count for word, count in self.language.cues if count}
        for one in self.found:
            word = f"{one.kind}:{one.because}"
            said[word] = said.get(word, 0) + 1
        if self.self_harm:
            said["self_harm:words"] = 1
        return tuple(said.items())


def read(narrative: str, sketcher: Sketcher | None = None) -> Signals:
    """All signals of a text, each computed once."""
    found = personal_data(narrative)
    return Signals(
        version=VERSION,
        language=language_hint(narrative),
        found=found,
        self_harm=self_harm_cue(narrative),
        sketch=sketcher.sketch(narrative, found) if sketcher else None,
    )
