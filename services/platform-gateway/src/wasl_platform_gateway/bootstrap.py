# SPDX-License-Identifier: Apache-2.0
"""The one place where the gateway's objects are built."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from pydantic import ValidationError
from wasl_chassis.service import Service
from wasl_chassis.settings import SettingsError
from wasl_connector_sdk import (
    ConnectorConfig,
    HubIdentity,
    Runtime,
    SupportsInbox,
    SupportsPolling,
    http,
)
from wasl_connector_sdk.contract import AnyConnector
from wasl_connector_sdk.registry import RegistryError, load
from wasl_schemas.country_pack import (
    CountryPack,
    CountryPackError,
    UnknownEntry,
    load_country_pack,
    takes,
)
from wasl_schemas.events.common import Ground, GroundKind, Severity

from wasl_platform_gateway import consumers
from wasl_platform_gateway.dispatch import Dispatcher, Tuning
from wasl_platform_gateway.domain.lane import Rate
from wasl_platform_gateway.domain.ledger import Dispatch, Plan
from wasl_platform_gateway.door import Door
from wasl_platform_gateway.handlers import AnswerHandlers, DeskHandlers, RequestHandlers
from wasl_platform_gateway.http import create_app
from wasl_platform_gateway.metrics import METRICS
from wasl_platform_gateway.repository import COLLECTIONS
from wasl_platform_gateway.settings import GatewaySettings


def build(settings: GatewaySettings) -> Service:
    """One connector's process. Raises SettingsError naming the variable or the field."""
    connector = _connector(settings)
    config = read_config(connector, settings.connector_config.get_secret_value())
    pack = _pack(settings)
    name = connector.manifest.name
    service = Service.open(
        settings,
        "platform-gateway",
        instance=name,
        database="gateway",
        collections=COLLECTIONS,
        metrics=METRICS,
    )
    client = http.client(
        timeout=settings.gateway_call_timeout_seconds,
        keepalive=settings.gateway_concurrency,
        proxy=settings.gateway_proxy,
        forbidden=out_of_reach(connector, config),
    )
    hub = HubIdentity(
        name=pack.words(pack.info.title, "en"),
        country=pack.info.country,
        contact=settings.gateway_hub_contact,
        url=settings.gateway_hub_url,
    )
    door = Door(
        connector,
        config,
        Runtime(client, service.clock, logging.getLogger(f"wasl.connector.{name}"), hub),
        clock=service.clock,
        metrics=service.metrics,
        call_timeout=settings.gateway_call_timeout_seconds,
    )
    plan = plan_of(connector, config, _no_reply(settings, pack))
    dispatcher = Dispatcher(
        service,
        door,
        plan,
        Tuning(
            batch=settings.gateway_batch,
            concurrency=settings.gateway_concurrency,
            test=not config.live,
        ),
        rate=rate_of(connector, config),
        ground_text=ground_text(pack),
        objection=lambda row: objection(pack, row, service.clock.now()),
        stopping=lambda: service.stopping,
    )
    answers = AnswerHandlers(service, door, plan)
    desk = DeskHandlers(service, door, plan)
    consumers.register(service, name, RequestHandlers(name))
    service.every("dispatch", 0.1, dispatcher.tick)
    service.every("answers", 1.0, answers.match_waiting)
    if issubclass(connector, SupportsInbox):
        service.every("inbox", settings.gateway_inbox_seconds, answers.collect)
    service.every("backlog", 5.0, dispatcher.measure)
    service.every("check", 60.0, door.check)
    token = settings.gateway_admin_token
    app = create_app(answers, desk, token.get_secret_value() if token else None)
    service.serve(app, settings.gateway_host, settings.gateway_port)
    service.on_stop(dispatcher.drain)
    service.on_stop(door.close)
    return service


def read_config(connector: type[AnyConnector], text: str) -> ConnectorConfig:
    """The connector's settings. Raises SettingsError naming each field, never a value."""
    try:
        return connector.Config.model_validate_json(text)
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_input=False, include_url=False, include_context=False):
            where = ".".join(str(part) for part in problem["loc"])
            said = problem["msg"].removeprefix("Value error, ")
            lines.append(f"WASL_CONNECTOR_CONFIG{f': {where}' if where else ''}: {said}")
        lines.append(
            f"(what connector '{connector.manifest.name}' needs: {connector.manifest.docs})"
        )
        raise SettingsError("\n".join(lines)) from None


def out_of_reach(connector: type[AnyConnector], config: ConnectorConfig) -> frozenset[str]:
    """Hosts that must not be called: the partner's production, unless the config is live."""
    return frozenset() if config.live else connector.manifest.production


def plan_of(
    connector: type[AnyConnector],
    config: ConnectorConfig,
    no_reply: Callable[[Severity, datetime], datetime],
) -> Plan:
    """The manifest's times, where the config has none of its own."""
    manifest = connector.manifest
    polls = issubclass(connector, SupportsPolling)
    return Plan(
        retry_seconds=config.retry_seconds or manifest.retry_seconds,
        poll_seconds=(config.poll_seconds or manifest.poll_seconds) if polls else None,
        no_reply=no_reply,
    )


def rate_of(connector: type[AnyConnector], config: ConnectorConfig) -> Rate | None:
    if config.rate_per_second is not None:
        return Rate(config.rate_per_second, config.rate_burst)
    limit = connector.manifest.rate
    return Rate(limit.per_second, limit.burst) if limit else None


def objection(pack: CountryPack, row: Dispatch, now: datetime) -> str | None:
    """Why nothing may go to a partner by the register of agreements; None: it may."""
    partner = pack.partners.get(row.partner)
    if partner is None:
        return "partner_unknown"
    if not takes(partner, row.category):
        return "category_not_agreed"
    if not partner.agreement.valid_on(now.astimezone(ZoneInfo(pack.info.timezone)).date()):
        return "agreement_not_valid"
    return None


def ground_text(pack: CountryPack) -> Callable[[Dispatch], str]:
    """A ground's title in the partner's language; empty for one the pack no longer has."""

    def text(row: Dispatch) -> str:
        try:
            found = pack.ground(Ground(kind=GroundKind(row.ground_kind), ref=row.ground_ref))
        except UnknownEntry:
            return ""
        partner = pack.partners.get(row.partner)
        return pack.words(found.title, partner.language if partner else row.language)

    return text


def _connector(settings: GatewaySettings) -> type[AnyConnector]:
    try:
        return load(settings.connector)
    except RegistryError as error:
        raise SettingsError(f"WASL_CONNECTOR: {error}") from None


def _pack(settings: GatewaySettings) -> CountryPack:
    try:
        return load_country_pack(settings.country_pack)
    except CountryPackError as error:
        raise SettingsError(f"WASL_COUNTRY_PACK: {error}") from None


def _no_reply(
    settings: GatewaySettings, pack: CountryPack
) -> Callable[[Severity, datetime], datetime]:
    seconds = settings.gateway_no_reply_after_seconds
    if seconds is not None:
        return lambda _severity, start: start + timedelta(seconds=seconds)
    return lambda severity, start: pack.due(start, pack.clock(severity).no_reply_after)
