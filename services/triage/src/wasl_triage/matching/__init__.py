# SPDX-License-Identifier: Apache-2.0
"""Known-hash matching: triage calls :class:`Matcher`; see docs/architecture/matching.md."""

from wasl_triage.matching.matcher import Match, Matcher

__all__ = ["Match", "Matcher"]
