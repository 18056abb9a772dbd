# SPDX-License-Identifier: Apache-2.0
"""The one place where triage is put together."""

from datetime import timedelta

from wasl_chassis.service import Service
from wasl_chassis.settings import SettingsError, key_bytes
from wasl_schemas.country_pack import CountryPackError, load_country_pack

from wasl_triage import consumers
from wasl_triage.auditing import AUDIT
from wasl_triage.casework import Requests
from wasl_triage.desk import Desk
from wasl_triage.handlers import TriageHandlers
from wasl_triage.http import create_app
from wasl_triage.metrics import METRICS
from wasl_triage.repository import ALL
from wasl_triage.settings import TriageSettings


def build(settings: TriageSettings) -> Service:
    """A service ready to run. Raises SettingsError where the country pack cannot be used."""
    try:
        pack = load_country_pack(settings.country_pack)
    except (CountryPackError, OSError) as error:
        raise SettingsError(f"WASL_COUNTRY_PACK is wrong: {error}") from None
    service = Service.open(settings, "triage", collections=(*ALL, AUDIT), metrics=METRICS)
    requests = Requests(
        pack,
        frozenset(c.strip() for c in settings.connectors.split(",") if c.strip()),
        timedelta(seconds=settings.triage_resend_seconds),
    )
    handlers = TriageHandlers(service, pack, requests, pepper=key_bytes(settings.pepper))
    desk = Desk(service, pack, requests, claim_for=timedelta(minutes=settings.triage_claim_minutes))
    consumers.register(service, handlers)
    service.every("clocks", settings.triage_watch_seconds, handlers.watch)
    service.every("gauges", max(settings.triage_watch_seconds, 5), handlers.gauge)
    app = create_app(desk, pack, settings.staff(), service.metrics, service.clock)
    service.serve(app, settings.triage_host, settings.triage_port)
    return service
