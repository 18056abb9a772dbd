# SPDX-License-Identifier: Apache-2.0
"""The one place where intake's objects are built."""

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from fastapi import FastAPI
from wasl_chassis.clock import Clock, SystemClock
from wasl_chassis.headers import Addresses
from wasl_chassis.metrics import Metrics
from wasl_chassis.service import Service
from wasl_chassis.settings import SettingsError, key_bytes
from wasl_schemas.country_pack import CountryPack, CountryPackError, load_country_pack

from wasl_intake import consumers
from wasl_intake.domain.flood import Demand
from wasl_intake.feedback import FeedbackBox
from wasl_intake.gate import Gate
from wasl_intake.handlers import IntakeHandlers
from wasl_intake.http import Api, ApiRoute, build_app
from wasl_intake.keyring import KeyRing
from wasl_intake.live import Watch
from wasl_intake.metrics import METRICS
from wasl_intake.partners import PartnerDoor
from wasl_intake.peers import PeerDoor, Peering
from wasl_intake.portal.pages import portal
from wasl_intake.portal.site import Site
from wasl_intake.reconciling import Reconciler
from wasl_intake.repository import ALL
from wasl_intake.settings import ApiKeys, IntakeSettings
from wasl_intake.spool import Spool
from wasl_intake.words import Words


def compose(
    handlers: IntakeHandlers,
    pack: CountryPack,
    metrics: Metrics,
    *,
    pepper: bytes,
    body_limit: int,
    peers: PeerDoor | None = None,
    keys: ApiKeys | None = None,
    partner_limit: int = 1_048_576,
    gate: Gate | None = None,
    addresses: Addresses | None = None,
    clock: Clock | None = None,
) -> FastAPI:
    """The application of these handlers. Raises ValueError if a language lacks texts."""
    words = Words(pack)
    ring = KeyRing(keys or {}, metrics)

    def partners(api: Api) -> Iterable[ApiRoute]:
        door = PartnerDoor(
            api,
            words,
            handlers=handlers,
            keys=ring,
            clock=clock or SystemClock(),
            metrics=metrics,
            limit=partner_limit,
        )
        return door.routes()

    addresses = addresses or Addresses()
    gate = gate or Gate(pack, clock or SystemClock(), metrics, pepper=pepper)
    site = Site(words, addresses, clock or SystemClock(), pepper=pepper, limit=body_limit)
    return build_app(
        handlers,
        words,
        metrics,
        body_limit=body_limit,
        pages=portal(site, handlers, metrics, gate, FeedbackBox(handlers.hub, pack, pepper=pepper)),
        more=peers.routes() if peers else (),
        partners=partners,
        keys=ring,
        gate=gate,
        addresses=addresses,
    )


def read_pack(path: Path) -> CountryPack:
    try:
        return load_country_pack(path)
    except CountryPackError as error:
        raise SettingsError(f"WASL_COUNTRY_PACK is wrong: {error}") from error


def build(settings: IntakeSettings) -> Service:
    pack = read_pack(settings.country_pack)
    service = Service.open(settings, "intake", collections=ALL, metrics=METRICS)
    repeat_after = timedelta(seconds=settings.intake_repeat_seconds)
    spool = _spool(settings, service, repeat_after)
    handlers = IntakeHandlers(
        service,
        pack,
        pepper=key_bytes(settings.pepper),
        thread_limit=settings.intake_thread_limit,
        spool=spool,
        watch=Watch(service.store, service.clock, stopping=lambda: service.stopping),
    )
    consumers.register(service, handlers)
    reconciler = Reconciler(service, repeat_after)
    service.every("unheard", min(settings.intake_repeat_seconds, 10), reconciler.turn)
    door = PeerDoor(
        Peering(service, pack, pepper=key_bytes(settings.pepper)),
        settings.peers(),
        service,
        limit=settings.intake_body_limit,
    )
    gate = Gate(
        pack,
        service.clock,
        service.metrics,
        pepper=key_bytes(settings.pepper),
        rate=settings.intake_flood_rate,
        most=Demand(settings.intake_flood_bits, settings.intake_flood_wait),
        similar=settings.intake_flood_similar,
    )
    service.every("flood", 5, gate.turn)
    feedback = FeedbackBox(service, pack, pepper=key_bytes(settings.pepper))
    service.every("feedback", 60, feedback.turn)
    app = compose(
        handlers,
        pack,
        service.metrics,
        gate=gate,
        pepper=key_bytes(settings.pepper),
        body_limit=settings.intake_body_limit,
        peers=door,
        keys=settings.api_keys(),
        partner_limit=settings.intake_partner_body_limit,
        addresses=Addresses(settings.intake_public_url, settings.intake_onion_url),
        clock=service.clock,
    )
    service.serve(
        app,
        settings.intake_host,
        settings.intake_port,
        without_database=spool.check if spool else None,
    )
    return service


def _spool(settings: IntakeSettings, service: Service, repeat_after: timedelta) -> Spool | None:
    if settings.intake_spool is None:
        return None
    spool = Spool.open(
        settings.intake_spool,
        service,
        master=key_bytes(settings.master_key),
        limit=settings.intake_spool_limit,
        repeat_after=repeat_after,
    )
    service.every("spool", 1.0, spool.turn)
    service.on_stop(spool.close)
    return spool
