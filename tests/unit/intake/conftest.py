# SPDX-License-Identifier: Apache-2.0
"""Intake on a store in memory: real handlers, real app, real sealing; no broker, no database."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from intake_hub import Hub
from wasl_intake import bootstrap
from wasl_intake.domain import receipt
from wasl_intake.gate import Gate
from wasl_intake.handlers import IntakeHandlers
from wasl_schemas import topics
from wasl_schemas.country_pack import (
    AdviceCard,
    Clocks,
    CountryPack,
    HelpContact,
    Language,
    LegalFile,
    PackInfo,
    PluralRule,
    RoutingFile,
    SeverityClock,
    Span,
)
from wasl_schemas.envelope import Event
from wasl_schemas.events.common import Severity
from wasl_schemas.lifecycle import ReporterStatus
from wasl_schemas.platforms import Platforms, Service
from wasl_schemas.taxonomy import Category, FourEyes, Group, Safeguard, Taxonomy
from wasl_schemas.timeline import TimelineKind

PEPPER = hashlib.sha256(b"tests only").digest()
BODY_LIMIT = 65_536
THREAD_LIMIT = 5


def _words(text: str) -> dict[str, str]:
    return {"ar": f"{text} بالعربية", "fr": f"{text} (fr)", "en": text}


def _texts(lang: str) -> dict[str, Any]:
    plain = {
        "error_nothing": "Say where or what.",
        "error_too_long": "Too long, the limit is {max}.",
        "error_server": "Nothing was saved.",
        "notification_sender": "Message service",
        "error_code": "No report has this receipt.",
        "timeline_received": "Received.",
        "timeline_withdrawn": "Withdrawn.",
        **{f"timeline_{k.value}": f"{k.value} {{partner}}" for k in TimelineKind},
        **{f"status_{s.value}": f"Status: {s.value}" for s in ReporterStatus},
    }
    counted = {f"span_{u}": {"other": f"{{n}} {u}"} for u in ("minutes", "hours", "working_days")}
    return {k: f"[{lang}] {v}" for k, v in plain.items()} | counted


def small_pack() -> CountryPack:
    """A country of two categories; the real pack has tests of its own."""
    language: Mapping[str, tuple[str, str, str]] = {
        "ar": ("ar-MA", "العربية", "rtl"),
        "fr": ("fr-MA", "Français", "ltr"),
        "en": ("en-GB", "English", "ltr"),
    }

    def category(name: str, group: str, severity: Severity) -> Category:
        return Category(
            id=name,
            group=group,
            label=_words(f"Category {name}"),
            definition=_words("Definition"),
            base_severity=severity,
            four_eyes=FourEyes.NONE,
            expression_safeguard=Safeguard.FE0,
        )

    def contact(name: str, status: Any, phone: str) -> HelpContact:
        return HelpContact(
            id=name,
            title=_words(f"Contact {name}"),
            phone=phone,
            status=status,
            checked="2026-07-01" if name == "police" else "2026-06",
            source="test",
        )

    clock = SeverityClock(
        first_look=Span(minutes=30),
        round_the_clock=True,
        dispatch=Span(hours=1),
        feedback=Span(hours=4),
        reminders=(Span(hours=8),),
        no_reply_after=Span(days=10),
    )
    return CountryPack(
        info=PackInfo(
            id="test",
            version="1.0.0",
            country="MA",
            title=_words("Test"),
            timezone="Africa/Casablanca",
            weekend=(),
            default_language="ar",
            languages=tuple(
                Language(
                    tag=tag,
                    locale=locale,
                    name=name,
                    direction=direction,
                    plural=PluralRule.OTHER,
                )
                for tag, (locale, name, direction) in language.items()
            ),
        ),
        taxonomy=Taxonomy(
            groups=(
                Group(id="abuse", label=_words("Abuse")),
                Group(id="fraud", label=_words("Fraud")),
            ),
            categories=(
                category("threats", "abuse", Severity.HIGH),
                category("scam", "fraud", Severity.LOW),
            ),
            unclassified_severity=Severity.MEDIUM,
            many_reporters=5,
        ),
        legal=LegalFile(laws=()),
        clocks=Clocks(severities=dict.fromkeys(Severity, clock), confirm_within=Span(hours=4)),
        platforms=Platforms(
            host_prefixes=("www.",),
            drop_parameters=("utm_*",),
            fallback="web",
            services=(Service(id="web", company="web", title=_words("Web")),),
        ),
        partners=(),
        authorities=(),
        routing=RoutingFile(routes=()),
        contacts=(
            contact("police", "sourced", "19"),
            contact("helpline", "sourced", "25 11"),
            contact("rumour", "unverified", "99"),
        ),
        advice=(
            AdviceCard(
                id="do-not-pay",
                title=_words("Do not pay"),
                categories=("threats",),
                steps=(_words("Keep the messages"),),
                contacts=("helpline", "rumour"),
            ),
        ),
        notices=(),
        texts={lang: _texts(lang) for lang in language},
    )


def build(hub: Hub) -> tuple[FastAPI, IntakeHandlers]:
    pack = small_pack()
    handlers = IntakeHandlers(hub, pack, pepper=PEPPER, thread_limit=THREAD_LIMIT)
    # As strict at rest as anywhere; a test's many reports are no flood.
    gate = Gate(pack, hub.clock, hub.metrics, pepper=PEPPER, rate=1e6, similar=10**6)
    app = bootstrap.compose(
        handlers,
        pack,
        hub.metrics,
        pepper=PEPPER,
        body_limit=BODY_LIMIT,
        gate=gate,
        clock=hub.clock,
    )
    return app, handlers


class Portal:
    """A reporter's side: the API and the pages over ASGI."""

    def __init__(self, client: httpx.AsyncClient, hub: Hub, handlers: IntakeHandlers) -> None:
        self.http, self.hub, self.handlers = client, hub, handlers

    async def post(self, body: Any = None, /, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        names = {k.replace("_", "-"): v for k, v in headers.items()}
        return await self.http.post(
            "/api/v1/reports",
            content=content,
            headers={"content-type": "application/json", **names},
        )

    async def send(self, **fields: Any) -> str:
        """A report; returns the receipt."""
        answer = await self.post({"narrative": "Something happened here", **fields})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["receipt"])

    def report_id(self, code: str) -> str:
        return receipt.report_id(self.handlers._receipt_key, receipt.read(code))

    async def follow(self, code: str, **headers: str) -> httpx.Response:
        names = {k.replace("_", "-"): v for k, v in headers.items()}
        return await self.http.get(
            "/api/v1/reports", headers={"authorization": f"Receipt {code}", **names}
        )

    async def write(self, code: str, body: Any, **headers: str) -> httpx.Response:
        names = {k.replace("_", "-"): v for k, v in headers.items()}
        return await self.http.post(
            "/api/v1/reports/messages",
            json={"body": body},
            headers={"authorization": f"Receipt {code}", **names},
        )

    async def withdraw(self, code: str) -> httpx.Response:
        return await self.http.post(
            "/api/v1/reports/withdrawal", headers={"authorization": f"Receipt {code}"}
        )

    async def form(self, path: str, fields: Mapping[str, str]) -> httpx.Response:
        return await self.http.post(path, data=dict(fields))

    async def learn(self, events: Iterable[Event[Any]], *, prefetch: bool = True) -> None:
        """Deliver events to the consumers, as one batch."""
        h = self.handlers
        table: Mapping[str, Any] = {
            topics.CASE_OPENED_V1.type: h.on_case_opened,
            topics.CASE_UPDATED_V1.type: h.on_case_updated,
            topics.DISPATCH_UPDATED_V1.type: h.on_dispatch_updated,
            topics.REFERRAL_UPDATED_V1.type: h.on_referral_updated,
            topics.STAFF_MESSAGE_SENT_V1.type: h.on_staff_message,
        }
        uow = self.hub.unit()
        events = list(events)
        if prefetch:
            messages = [e for e in events if e.type == topics.STAFF_MESSAGE_SENT_V1.type]
            await h.prefetch_cases([e for e in events if e not in messages], uow)
            await h.prefetch_messages(messages, uow)
        for event in events:
            await table[event.type](event, uow)
        await self.hub.store.commit(uow.changes())

    def later(self, **delta: float) -> None:
        self.hub.clock.advance(timedelta(**delta))


@pytest.fixture
def hub() -> Hub:
    return Hub()


@pytest.fixture
async def portal(hub: Hub) -> Any:
    app, handlers = build(hub)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://hub.test") as client:
        yield Portal(client, hub, handlers)
