# SPDX-License-Identifier: Apache-2.0
"""What the hub writes about a request: the request, a reminder, a correction, a withdrawal, several
requests at once. Pure, and in the desk's language; used for mail and for what a person copies.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from wasl_connector_sdk import Reminder
from wasl_connector_sdk.asking import Language

from wasl_platform_gateway.connectors.email.profiles import (
    MINUTE,
    TEXTS,
    Prepared,
    line,
)


@dataclass(frozen=True, slots=True)
class Letter:
    """``purpose``: empty for a request, else what its Message-ID tells it from the request by.

    ``reports``: what a desk's machine reads beside the text.
    """

    subject: str
    text: str
    language: Language
    purpose: str = ""
    reports: tuple[Mapping[str, Any], ...] = ()


def request(prepared: Prepared, reports: Sequence[Mapping[str, Any]], *, test: bool) -> Letter:
    subject = _marked(prepared.subject, prepared.language, test=test)
    text = _letter([prepared.opening, *_fields(prepared)], prepared.language, test=test)
    return Letter(subject, text, prepared.language, reports=tuple(reports))


def reminder(prepared: Prepared, said: Reminder, *, test: bool) -> Letter:
    """To the same desk, or to the one that is turned to because the first did not answer."""
    words = TEXTS[prepared.language].follow
    since = f"{said.sent_at.astimezone(UTC):{MINUTE}}"
    note = words["reminder" if said.role is None else "escalation"]
    opening = note.format(number=said.number, time=since)
    return _about(prepared, opening, f"r{said.number}", (), test=test)


def correction(
    prepared: Prepared, revision: int, reports: Sequence[Mapping[str, Any]], *, test: bool
) -> Letter:
    words = TEXTS[prepared.language].follow
    opening = words["correction"].format(revision=revision)
    return _about(prepared, opening, f"c{revision}", reports, test=test)


def withdrawal(token: str, reason: str, language: Language, *, test: bool) -> Letter:
    words = TEXTS[language].follow
    said = [f"{words['reason']}:\n{line(reason)}"] if reason.strip() else []
    text = _letter([words["withdrawal"].format(token=token), *said], language, test=test)
    subject = f"Re: {_marked(words['withdrawal_subject'], language, test=test)}"
    return Letter(subject, text, language, "w")


def group(
    listed: Sequence[tuple[str, Prepared]],
    purpose: str,
    reports: Sequence[Mapping[str, Any]],
    *,
    test: bool,
) -> Letter:
    """Several requests, each under its own token. All are of one language."""
    _, first = listed[0]
    words, count = TEXTS[first.language].follow, len(listed)
    subjects = dict.fromkeys(prepared.subject for _, prepared in listed)
    subject = f"{next(iter(subjects))}{' …' if len(subjects) > 1 else ''} ({count})"
    parts = [words["group"].format(count=count)]
    for number, (token, prepared) in enumerate(listed, 1):
        name = words["group_item"].format(number=number, count=count)
        parts += [f"== {name} [wasl:{token}] ==", prepared.opening, *_fields(prepared)]
    text = _letter(parts, first.language, test=test)
    marked = _marked(subject, first.language, test=test)
    return Letter(marked, text, first.language, purpose, tuple(reports))


def _about(
    prepared: Prepared,
    opening: str,
    purpose: str,
    reports: Sequence[Mapping[str, Any]],
    *,
    test: bool,
) -> Letter:
    subject = f"Re: {_marked(prepared.subject, prepared.language, test=test)}"
    text = _letter([opening, *_fields(prepared)], prepared.language, test=test)
    return Letter(subject, text, prepared.language, purpose, tuple(reports))


def _fields(prepared: Prepared) -> list[str]:
    return [f"{label}:\n{value}" for label, value in prepared.fields]


def _marked(subject: str, language: Language, *, test: bool) -> str:
    return f"{TEXTS[language].test_subject} {subject}" if test else subject


def _letter(parts: Sequence[str], language: Language, *, test: bool) -> str:
    texts = TEXTS[language]
    head = [texts.test_body] if test else []
    return "\n\n".join([*head, texts.greeting, *parts, texts.closing]) + "\n"
