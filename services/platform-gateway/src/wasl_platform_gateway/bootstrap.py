# SPDX-License-Identifier: Apache-2.0
"""The one place where the gateway's objects are built."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import ValidationError
from wasl_chassis.operating import connectors
from wasl_chassis.service import Service
from wasl_chassis.settings import SettingsError, key_bytes
from wasl_chassis.vault import derive
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
    Span,
    load_country_pack,
    may_fetch,
)
from wasl_schemas.events.common import Severity

from wasl_platform_gateway import consumers
from wasl_platform_gateway.calling import Tuning
from wasl_platform_gateway.dispatch import Dispatcher
from wasl_platform_gateway.domain.agreed import ground_text, objection, reminder_of, sending_time
from wasl_platform_gateway.domain.lane import Rate
from wasl_platform_gateway.domain.ledger import Plan, Reminders, no_reminders
from wasl_platform_gateway.domain.watch import After, Schedule
from wasl_platform_gateway.door import Door
from wasl_platform_gateway.handlers import AnswerHandlers, DeskHandlers, RequestHandlers
from wasl_platform_gateway.http import create_app, create_watch_app
from wasl_platform_gateway.looking import Allowed, Looker, Probe
from wasl_platform_gateway.metrics import METRICS
from wasl_platform_gateway.repository import COLLECTIONS, WATCH_COLLECTIONS
from wasl_platform_gateway.settings import GatewaySettings, WatchSettings
from wasl_platform_gateway.watching import (
    LOOKING,
    Follower,
    FollowHandlers,
    Probes,
    Rules,
    WatchDesk,
    WatchTuning,
)

_TICK = timedelta(milliseconds=1)


def build(settings: GatewaySettings) -> Service:
    """One connector's process. Raises SettingsError naming the variable or the field."""
    connector = _connector(settings)
    name = connector.manifest.name
    if name not in connectors(settings):
        raise SettingsError(
            f"WASL_CONNECTORS: does not name '{name}', so triage asks nobody behind it and it has "
            "no topic; add it there, for every service, and run 'wasl topics apply'"
        )
    config = read_config(connector, settings.connector_config.get_secret_value())
    pack = read_pack(settings.country_pack)
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
    plan = plan_of(connector, config, _no_reply(settings, pack), reminder_of(pack))
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
    consumers.register(service, name, RequestHandlers(name, sending_time(pack), dispatcher.poke))
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


def build_watch(settings: WatchSettings) -> Service:
    """The process that follows items. Raises SettingsError naming the variable."""
    pack = read_pack(settings.country_pack)
    rules = Rules(
        schedule_of(pack, settings.watch_speed),
        lambda category: may_fetch(pack, category),
        derive(key_bytes(settings.pepper), LOOKING),
    )
    service = Service.open(
        settings,
        "platform-gateway",
        # No connector's name holds a hyphen.
        instance=LOOKING,
        database="gateway",
        collections=WATCH_COLLECTIONS,
        metrics=METRICS,
    )
    looker = Looker(
        _allowed(settings, pack), contact=settings.watch_contact, proxy=settings.watch_proxy
    )
    follower = Follower(
        service,
        looker,
        rules,
        WatchTuning(concurrency=settings.watch_concurrency),
        probe=probe_of(pack),
        stopping=lambda: service.stopping,
    )
    consumers.register_watch(service, FollowHandlers(service.store, rules))
    service.every("looks", 0.5, follower.tick)
    service.every("watches", 15.0, follower.measure)
    token = settings.watch_admin_token
    app = create_watch_app(
        WatchDesk(service, rules.schedule), token.get_secret_value() if token else None
    )
    service.serve(app, settings.watch_host, settings.watch_port)
    service.on_stop(follower.stop)
    service.on_stop(looker.aclose)
    return service


def schedule_of(pack: CountryPack, speed: float = 1) -> Schedule:
    """When to look, ``speed`` times as fast. Raises SettingsError where the pack does not say."""
    following = pack.clocks.following
    if following is None:
        raise SettingsError(
            f"WASL_COUNTRY_PACK: pack '{pack.info.id}' has no [following] in clocks.toml, so no "
            "item may be looked at; add it, or do not start the watch"
        )

    def after(span: Span) -> After:
        def due(start: datetime) -> datetime:
            wait = (pack.due(start, span) - start) / speed
            # Whole milliseconds, as the database keeps them, and never none.
            return start + max(wait // _TICK, 1) * _TICK

        return due

    return Schedule(
        check=tuple(map(after, following.check)),
        confirm=after(following.confirm_after),
        give_up=after(following.give_up_after),
        reappearance=tuple(map(after, following.reappearance)),
    )


def probe_of(pack: CountryPack) -> Probes:
    """Where each service itself says whether an item can be seen."""
    probes = {
        service.id: Probe(said.address, frozenset(said.gone), frozenset(said.wall))
        for service in pack.services.values()
        if (said := service.presence) is not None
    }
    return lambda item: probes.get(item.platform)


def _allowed(settings: WatchSettings, pack: CountryPack) -> Allowed:
    named = [host for part in settings.watch_hosts.split(",") if (host := part.strip())]
    known = (host for service in pack.services.values() for host in service.hosts)
    try:
        return Allowed(named or known)
    except ValueError as error:
        raise SettingsError(f"WASL_WATCH_HOSTS: {error}") from None


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
    reminder: Reminders = no_reminders,
) -> Plan:
    """The manifest's times, where the config has none of its own."""
    manifest = connector.manifest
    polls = issubclass(connector, SupportsPolling)
    return Plan(
        retry_seconds=config.retry_seconds or manifest.retry_seconds,
        poll_seconds=(config.poll_seconds or manifest.poll_seconds) if polls else None,
        no_reply=no_reply,
        reminder=reminder,
    )


def rate_of(connector: type[AnyConnector], config: ConnectorConfig) -> Rate | None:
    if config.rate_per_second is not None:
        return Rate(config.rate_per_second, config.rate_burst)
    limit = connector.manifest.rate
    return Rate(limit.per_second, limit.burst) if limit else None


def _connector(settings: GatewaySettings) -> type[AnyConnector]:
    try:
        return load(settings.connector)
    except RegistryError as error:
        raise SettingsError(f"WASL_CONNECTOR: {error}") from None


def read_pack(path: Path) -> CountryPack:
    """Raises SettingsError naming what is wrong with it."""
    try:
        return load_country_pack(path)
    except CountryPackError as error:
        raise SettingsError(f"WASL_COUNTRY_PACK: {error}") from None


def _no_reply(
    settings: GatewaySettings, pack: CountryPack
) -> Callable[[Severity, datetime], datetime]:
    seconds = settings.gateway_no_reply_after_seconds
    if seconds is not None:
        return lambda _severity, start: start + timedelta(seconds=seconds)
    return lambda severity, start: pack.due(start, pack.clock(severity).no_reply_after)
