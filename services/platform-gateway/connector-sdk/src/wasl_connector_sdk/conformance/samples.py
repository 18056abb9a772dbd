# SPDX-License-Identifier: Apache-2.0
"""The request the kit sends, and the words in it that must be seen nowhere else."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from wasl_connector_sdk.models import Ground, Submission

#: The kit's clock stands here. A callback built for the kit is dated and received now.
NOW = datetime(2026, 1, 5, 9, 0, 0, tzinfo=UTC)
#: Categories for a connector that takes all.
CATEGORIES = (
    "defamation",
    "hate_speech",
    "phishing_malware",
    "privacy_violation",
    "terrorism",
)
EXPLANATION = "شهادة-كناري-التحليل explication-canari-énoncé <b>&\"'</b>\nanalyst-canary-statement"


class FixedClock:
    """Stands still. While ``stopped``, reading it is an error."""

    stopped = False

    def now(self) -> datetime:
        if self.stopped:
            raise AssertionError("the clock was read where it must not be")
        return NOW


def key_of(number: int) -> str:
    """An idempotency key as the gateway makes them."""
    return f"019b8d3c-0000-7000-8000-{number:012d}"


def sample(number: int, category: str, changes: Mapping[str, Any]) -> Submission:
    given: dict[str, Any] = {
        "idempotency_key": key_of(number),
        "case": f"019b8d3c-1111-7000-8000-{number:012d}",
        "partner": "partner",
        "category": category,
        "severity": "high",
        "ground": Ground(kind="law", ref="law.1", text="Article 1"),
        "scope": "MA",
        "location": f"https://canary-host.example/posts/canary-path-4711/{number}",
        "platform": "web",
        "kind": "post",
        "language": "ar",
        "explanation": EXPLANATION,
        "requested_at": NOW,
        "test": True,
    }
    return Submission.model_validate({**given, **changes})


def extremes(given: Submission) -> Iterator[tuple[str, Submission]]:
    """What the hub may send and partners rarely expect, by name; all else is as in the sample."""
    location = given.location
    longer = ("&q=" if "?" in location else "?q=") if "://" in location else ""
    changes: dict[str, dict[str, Any]] = {
        "an explanation of 20,000 characters": {"explanation": "شكوى " * 4000},
        "no explanation": {"explanation": ""},
        "a ground without text": {"ground": given.ground.model_copy(update={"text": ""})},
        "the scope 'global'": {"scope": "global"},
        "the scope of another country": {"scope": "FR"},
        "a location of 2,000 characters": {"location": (location + longer).ljust(2000, "x")},
    }
    for name, change in changes.items():
        yield name, given.model_copy(update=change)


def canaries(submission: Submission, public: frozenset[str]) -> frozenset[str]:
    """What may show in no log and no exception. ``public``: hosts that are no secret."""
    location = submission.location
    parts = urlsplit(location)
    host = parts.hostname or ""
    said = {word for word in submission.explanation.split() if len(word) >= 12}
    found = {location, location.partition("://")[2], *said}
    found |= {segment for segment in parts.path.split("/") if len(segment) >= 8}
    if not any(host == h or host.endswith(f".{h}") for h in public):
        found.add(host)
    return frozenset(word for word in found if len(word) >= 6)
