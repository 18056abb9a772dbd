# SPDX-License-Identifier: Apache-2.0
"""What operators ask of intake: from a receipt to its report and cases, and new keys.

A receipt is turned into its keyed hash and forgotten; what a person wrote is never read. A key is
shown once and kept nowhere: the settings take its hash.
"""

import json

from pydantic import TypeAdapter, ValidationError
from wasl_chassis.operating import (
    Command,
    Commands,
    Desk,
    Refused,
    Row,
    TraceLine,
    Trail,
)
from wasl_chassis.settings import key_bytes
from wasl_chassis.vault import KEYS, derive
from wasl_schemas.base import Slug
from wasl_schemas.timeline import CaseView

from wasl_intake.domain import api_key, receipt
from wasl_intake.repository import CASE_VIEWS, LINKS, MESSAGES, REPORTS, Message, Report


async def trace(desk: Desk, trail: Trail) -> list[TraceLine]:
    wanted = sorted({_meant(desk, trail.given), *trail.reports})
    held = await desk.store.read(REPORTS, wanted)
    reports = [REPORTS.decode(doc) for doc in held.values()]
    trail.reports |= {r.report_id for r in reports}
    lines = [line for report in reports for line in _report(report)]
    lines += await _keys(desk, [r.report_id for r in reports])
    for doc in (await desk.store.read(LINKS, wanted)).values():
        links = LINKS.decode(doc)
        trail.cases |= set(links.linked())
        lines += [
            TraceLine(
                None, "case link", case, "linked" if on else "left", f"case version {version}"
            )
            for case, (version, on) in sorted(links.cases.items())
        ]
    where = {"report_id": {"$in": sorted(trail.reports)}}
    thread = await desk.store.find(MESSAGES, where, sort=(("sent_at", 1),))
    lines += [_message(MESSAGES.decode(doc)) for doc in thread]
    views = await desk.store.read(CASE_VIEWS, sorted(trail.cases))
    return lines + [_view(CASE_VIEWS.decode(doc)) for doc in views.values()]


def _meant(desk: Desk, given: str) -> str:
    """The id of the report a receipt opens, or the id itself."""
    code = receipt.read(given)
    if not receipt.well_formed(code):
        return given
    return receipt.report_id(derive(key_bytes(desk.settings.pepper), "receipt"), code)


def _report(r: Report) -> list[TraceLine]:
    detail = ", ".join(w for w in (r.channel, r.language, r.category) if w)
    lines = [TraceLine(r.received_at, "report received", r.report_id, "stored", detail)]
    if r.withdrawn_at is not None:
        lines.append(TraceLine(r.withdrawn_at, "report withdrawn", r.report_id, "erased"))
    return lines


async def _keys(desk: Desk, reports: list[str]) -> list[TraceLine]:
    held = await desk.store.read(KEYS, reports)
    lines = []
    for report in reports:
        key = KEYS.decode(held[report]) if report in held else None
        if key is None:
            lines.append(TraceLine(None, "data key", report, "missing"))
        elif key.destroyed_at is not None:
            lines.append(TraceLine(key.destroyed_at, "data key", report, "destroyed"))
    return lines


def _message(m: Message) -> TraceLine:
    who = "staff to reporter" if m.by_staff else "reporter to staff"
    return TraceLine(m.sent_at, "message", m.message_id, "", f"{who}{', asks' * m.question}")


def _view(v: CaseView) -> TraceLine:
    """What the receipt's page is made of; behind triage's version, it has not heard yet."""
    last = max((e.time for e in v.entries.values()), default=v.opened_at)
    return TraceLine(last, "case as intake knows it", v.case_id, v.state.value, f"v{v.version}")


_NAME: TypeAdapter[str] = TypeAdapter(Slug)


async def new_api_key(_: Desk, name: str) -> list[Row]:
    """A fresh key, and the entry that makes it known. Raises Refused."""
    try:
        _NAME.validate_python(name)
    except ValidationError:
        raise Refused(
            "the name of a key is made of a-z, 0-9, '.', '-' and '_', for example security-feed"
        ) from None
    key = api_key.new()
    entry = {
        "sha256": api_key.digest(key),
        "channels": ["partner"],
        "scopes": ["report", "xarf", "batch"],
    }
    return [
        {"what": "key", "value": key},
        {"what": "settings", "value": f'"{name}": {json.dumps(entry)}'},
    ]


API_KEYS: Commands = (
    Command(
        "new",
        "Make a key. It is shown once: give it to its holder by a way nobody else reads. Add"
        " the second line to WASL_INTAKE_API_KEYS, with the channels and scopes agreed, and"
        " restart intake. To withdraw a key, remove its line.",
        new_api_key,
        "NAME",
    ),
)
