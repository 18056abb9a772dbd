# SPDX-License-Identifier: Apache-2.0
"""The one place where intake's objects are built."""

from datetime import timedelta
from pathlib import Path

from fastapi import FastAPI
from wasl_chassis.metrics import Metrics
from wasl_chassis.service import Service
from wasl_chassis.settings import SettingsError, key_bytes
from wasl_schemas.country_pack import CountryPack, CountryPackError, load_country_pack

from wasl_intake import consumers
from wasl_intake.handlers import IntakeHandlers
from wasl_intake.http import build_app
from wasl_intake.metrics import METRICS
from wasl_intake.pages import Pages
from wasl_intake.peers import PeerDoor, Peering
from wasl_intake.reconciling import Reconciler
from wasl_intake.repository import ALL
from wasl_intake.settings import IntakeSettings
from wasl_intake.words import Words


def compose(
    handlers: IntakeHandlers,
    pack: CountryPack,
    metrics: Metrics,
    *,
    body_limit: int,
    peers: PeerDoor | None = None,
) -> FastAPI:
    """The application of these handlers. Raises ValueError if a language lacks texts."""
    words = Words(pack)
    pages = Pages(handlers, words, metrics, body_limit)
    return build_app(
        handlers,
        words,
        metrics,
        body_limit=body_limit,
        pages=pages.register,
        more=peers.routes() if peers else (),
    )


def read_pack(path: Path) -> CountryPack:
    try:
        return load_country_pack(path)
    except CountryPackError as error:
        raise SettingsError(f"WASL_COUNTRY_PACK is wrong: {error}") from error


def build(settings: IntakeSettings) -> Service:
    pack = read_pack(settings.country_pack)
    service = Service.open(settings, "intake", collections=ALL, metrics=METRICS)
    handlers = IntakeHandlers(
        service,
        pack,
        pepper=key_bytes(settings.pepper),
        thread_limit=settings.intake_thread_limit,
    )
    consumers.register(service, handlers)
    repeat_after = timedelta(seconds=settings.intake_repeat_seconds)
    reconciler = Reconciler(service, repeat_after)
    service.every("unheard", min(settings.intake_repeat_seconds, 10), reconciler.turn)
    door = PeerDoor(
        Peering(service, pack, pepper=key_bytes(settings.pepper)),
        settings.peers(),
        service,
        limit=settings.intake_body_limit,
    )
    app = compose(
        handlers, pack, service.metrics, body_limit=settings.intake_body_limit, peers=door
    )
    service.serve(app, settings.intake_host, settings.intake_port)
    return service
