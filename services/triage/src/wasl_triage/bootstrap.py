# SPDX-License-Identifier: Apache-2.0
"""The one place where triage is put together."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from functools import partial

import httpx
from pydantic import SecretStr, ValidationError
from wasl_chassis.service import Service
from wasl_chassis.settings import SettingsError, key_bytes
from wasl_chassis.vault import derive
from wasl_connector_sdk.signing import Keys
from wasl_schemas.country_pack import CountryPack, CountryPackError, load_country_pack
from wasl_schemas.rules import RULES_FILE, RulesError

from wasl_triage import consumers
from wasl_triage.access import COLLECTIONS as ACCESS
from wasl_triage.access.accounts import find
from wasl_triage.access.door import open_access
from wasl_triage.api.cases import CaseRooms, add_case_routes
from wasl_triage.api.protection import add_protection_routes
from wasl_triage.api.quality import QualityRooms, add_quality_routes
from wasl_triage.audit import sealing
from wasl_triage.campaigns import SKETCHES
from wasl_triage.care.helpline import CONTACTS, HELPLINE, Helpline
from wasl_triage.care.paging import PAGES, Pager
from wasl_triage.care.telephone import Telephone
from wasl_triage.care.wellbeing import DAYS, PREFERENCES
from wasl_triage.cases.appeals import APPEALS
from wasl_triage.cases.grouping import OPERATIONS
from wasl_triage.cases.opinions import OPINIONS
from wasl_triage.cases.searching import Searching
from wasl_triage.cases.working import NOTES, SKIPS
from wasl_triage.casework import Requests
from wasl_triage.console.pages import Console, Rooms
from wasl_triage.deriving import Deriver
from wasl_triage.desk import Desk
from wasl_triage.domain import signals
from wasl_triage.domain.hosting import HostSource
from wasl_triage.domain.people import Person
from wasl_triage.domain.suggesting import LexiconError, Suggester
from wasl_triage.handlers import TriageHandlers
from wasl_triage.hostsource import MmdbSource, read_addresses
from wasl_triage.http import create_app
from wasl_triage.matching.matcher import Matcher
from wasl_triage.matching.metrics import record_index
from wasl_triage.metrics import METRICS
from wasl_triage.protection import wiring as protecting
from wasl_triage.quality.kept import QUALITY, Sample
from wasl_triage.repository import ALL
from wasl_triage.rules import memory
from wasl_triage.rules.book import RuleBook
from wasl_triage.settings import Staff, TriageSettings

COLLECTIONS = (
    *ALL,
    *protecting.COLLECTIONS,
    *QUALITY,
    *memory.COLLECTIONS,
    *ACCESS,
    *(APPEALS, CONTACTS, DAYS, HELPLINE, NOTES, OPERATIONS, OPINIONS, PAGES, PREFERENCES),
    *(SKETCHES, SKIPS),
)
#: Seconds between two looks at rules.toml.
_RULES_EVERY = 3.0
#: Seconds between two looks at the index of known hashes; a look-up looks for itself, too.
_HASHES_EVERY = 30.0


def build(settings: TriageSettings) -> Service:
    """A service ready to run. Raises SettingsError where the country pack cannot be used."""
    pack = _pack(settings)
    pepper = key_bytes(settings.pepper)
    service = Service.open(settings, "triage", collections=COLLECTIONS, metrics=METRICS)
    requests = Requests(
        pack,
        frozenset(c.strip() for c in settings.connectors.split(",") if c.strip()),
        timedelta(seconds=settings.triage_resend_seconds),
    )
    try:
        book = RuleBook(settings.country_pack / RULES_FILE, pack, service)
        matcher = Matcher.open(settings.matching_directory)
        deriver = _deriver(settings, pack, pepper, matcher)
    except (RulesError, LexiconError) as error:
        raise SettingsError(f"WASL_COUNTRY_PACK is wrong: {error}") from None
    handlers = TriageHandlers(service, pack, requests, deriver, lambda: book.rules)
    desk = Desk(
        service,
        pack,
        requests,
        claim_for=timedelta(minutes=settings.triage_claim_minutes),
        sample=Sample(pack, pepper),
    )
    staff = settings.staff()
    door = open_access(
        service,
        settings,
        code_version=pack.desk.code_version,
        default_language=pack.info.default_language,
    )
    cases = CaseRooms.of(service, pack, desk, requests, _people(service, staff))
    private, former = protecting.audit_keys(settings)
    protection = protecting.start(service, settings, pack, desk)
    quality = QualityRooms.of(service, pack, desk)
    consumers.register(service, handlers)
    service.every("clocks", settings.triage_watch_seconds, handlers.watch)
    service.every("contacts", settings.triage_watch_seconds, cases.working.watch)
    service.every("gauges", max(settings.triage_watch_seconds, 5), handlers.gauge)
    service.every("rules", _RULES_EVERY, book.watch)
    service.every("known-hashes", _HASHES_EVERY, partial(_follow, service, matcher))
    service.every("pages", settings.triage_watch_seconds, _pager(service, settings).turn)
    rooms = Rooms(
        desk=desk,
        searching=Searching(service, desk, deriver.case_of, derive(pepper, "search")),
        helpline=Helpline(service, pack),
        telephone=_telephone(service, settings),
        cases=cases,
        protection=protection,
        quality=quality,
        book=book,
        audit_keys=former | {sealing.public(private)},
    )
    console = Console(
        pack,
        service.clock,
        door,
        rooms,
        public_url=settings.triage_public_url,
        stopping=lambda: service.stopping,
    )
    app = create_app(
        desk,
        pack,
        staff,
        service.metrics,
        service.clock,
        api=(
            lambda app, at: add_case_routes(app, cases, pack, at),
            lambda app, at: add_protection_routes(app, protection, at),
            lambda app, at: add_quality_routes(app, quality, pack, at),
        ),
        rooms=(console.register,),
        public=settings.triage_public_url,
    )
    service.serve(app, settings.triage_host, settings.triage_port)
    service.on_stop(door.close)
    return service


def _pack(settings: TriageSettings) -> CountryPack:
    try:
        return load_country_pack(settings.country_pack)
    except (CountryPackError, OSError) as error:
        raise SettingsError(f"WASL_COUNTRY_PACK is wrong: {error}") from None


def _deriver(
    settings: TriageSettings, pack: CountryPack, pepper: bytes, matcher: Matcher
) -> Deriver:
    """What derives signals, with the model of languages read now and not at the first report."""
    signals.prepare()
    sources: list[HostSource] = []
    addresses: Mapping[str, str] = {}
    try:
        if settings.triage_networks is not None:
            sources.append(MmdbSource(settings.triage_networks))
        if settings.triage_addresses is not None:
            addresses = read_addresses(settings.triage_addresses)
    except (ValueError, OSError) as error:
        raise SettingsError(
            f"WASL_TRIAGE_NETWORKS or WASL_TRIAGE_ADDRESSES is wrong: {error}"
        ) from None
    return Deriver(
        pack,
        Suggester(pack),
        pepper,
        matcher=matcher,
        sources=sources,
        addresses=addresses,
    )


async def _follow(service: Service, matcher: Matcher) -> bool:
    await asyncio.to_thread(matcher.view)
    record_index(service.metrics, healthy=matcher.healthy)
    return False


def _people(service: Service, staff: Staff) -> Callable[[str], Awaitable[Person | None]]:
    """Finds a person by name: of the list of tokens, or with an account."""

    async def named(name: str) -> Person | None:
        known = staff.named(name)
        if known is not None:
            return known
        account = await find(service.unit(), name)
        return account.person if account is not None else None

    return named


def _pager(service: Service, settings: TriageSettings) -> Pager:
    secret = settings.triage_page_secret or SecretStr("")
    try:
        keys = Keys.model_validate({"secret": secret} if settings.triage_page_url else {})
    except ValidationError:
        raise SettingsError(
            "WASL_TRIAGE_PAGE_SECRET is wrong: expected whsec_… or whsk_… of Standard Webhooks"
        ) from None
    http = httpx.AsyncClient(trust_env=False)
    service.on_stop(http.aclose)
    return Pager(service, settings.triage_page_url, keys, http)


def _telephone(service: Service, settings: TriageSettings) -> Telephone:
    key = settings.triage_intake_key
    http = httpx.AsyncClient(base_url=settings.triage_intake_url, trust_env=False)
    service.on_stop(http.aclose)
    return Telephone(http, key.get_secret_value() if key and settings.triage_intake_url else "")
