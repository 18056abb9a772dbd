# SPDX-License-Identifier: Apache-2.0
"""The one place notify's objects are built."""

import os
from datetime import timedelta

from wasl_chassis.service import Service
from wasl_chassis.settings import SettingsError
from wasl_schemas.country_pack import CountryPack, CountryPackError, load_country_pack

from wasl_notify import sending
from wasl_notify.consumers import register
from wasl_notify.domain.channels import Channels, ChannelsError, read_channels
from wasl_notify.handlers import NotifyHandlers
from wasl_notify.http import create_app
from wasl_notify.joining import Joiner
from wasl_notify.metrics import METRICS
from wasl_notify.outside.hooks import Hooks
from wasl_notify.outside.relay import Relay, RelayConfig
from wasl_notify.outside.spool import Spool
from wasl_notify.referring import Referring
from wasl_notify.repository import COLLECTIONS
from wasl_notify.sending import Mailing, Posting
from wasl_notify.settings import NotifySettings


def build(settings: NotifySettings) -> Service:
    """The service, not yet running. Raises SettingsError for a pack, file or folder of no use."""
    pack = _pack(settings)
    channels = _channels(settings, pack)
    _spool_is_ours(settings)
    service = Service.open(settings, "notify", collections=COLLECTIONS, metrics=METRICS)
    keep = timedelta(days=settings.notify_contact_days)
    handlers = NotifyHandlers(
        service,
        channels,
        mail=settings.smtp_host is not None,
        keep=keep,
        settle=timedelta(seconds=settings.notify_settle_seconds),
    )
    register(service, handlers)
    joiner = Joiner(
        service,
        channels,
        hold=timedelta(seconds=settings.notify_hold_seconds),
        keep=keep,
        window_length=timedelta(minutes=settings.notify_window_minutes),
    )
    hooks = Hooks()
    referring = Referring(service, hooks, Spool(settings.notify_spool), pack, channels)
    posting = Posting(service, hooks, channels, small=settings.notify_small_count)
    service.every("join-pages", 0.5, joiner.pages)
    service.every("join-reporters", 0.5, joiner.reporters)
    service.every("join-links", 0.5, joiner.links)
    service.every("statistics", 2, joiner.windows)
    service.every("webhooks", 1, posting.turn)
    service.every("referrals", 1, referring.turn)
    if (relay := _relay(settings)) is not None:
        quiet = timedelta(minutes=settings.notify_quiet_minutes)
        service.every("mail", 1, Mailing(service, relay, pack, channels, quiet=quiet).turn)

    async def gauges() -> None:
        await sending.gauges(service)
        await referring.gauges()

    service.every("gauges", 15, gauges)
    service.serve(create_app(handlers), settings.notify_host, settings.notify_port)
    service.on_stop(hooks.close)
    return service


def _relay(settings: NotifySettings) -> Relay | None:
    if settings.smtp_host is None or settings.smtp_from is None:
        return None
    password = settings.smtp_password
    return Relay(
        RelayConfig(
            host=settings.smtp_host,
            port=settings.smtp_port,
            starttls=settings.smtp_starttls,
            sender=settings.smtp_from,
            user=settings.smtp_user,
            password=password.get_secret_value() if password else None,
            ca=settings.smtp_ca,
            timeout=settings.smtp_timeout_seconds,
        )
    )


def _pack(settings: NotifySettings) -> CountryPack:
    try:
        return load_country_pack(settings.country_pack)
    except CountryPackError as error:
        raise SettingsError(f"WASL_COUNTRY_PACK: {error}") from error


def _channels(settings: NotifySettings, pack: CountryPack) -> Channels:
    try:
        channels = read_channels(settings.notify_channels)
    except ChannelsError as error:
        raise SettingsError(f"WASL_NOTIFY_CHANNELS: {error}") from error
    if settings.smtp_host is None and any(d.notice for d in channels.authorities.values()):
        raise SettingsError(
            "WASL_NOTIFY_CHANNELS: an authority has a 'notice' but there is no mail relay;"
            " set WASL_SMTP_HOST or remove the notice"
        )
    if unknown := sorted(set(channels.authorities) - set(pack.authorities)):
        raise SettingsError(
            f"WASL_NOTIFY_CHANNELS: the country pack has no authority {', '.join(unknown)};"
            f" expected some of {', '.join(sorted(pack.authorities))}"
        )
    return channels


def _spool_is_ours(settings: NotifySettings) -> None:
    spool = settings.notify_spool
    try:
        spool.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"WASL_NOTIFY_SPOOL: cannot make {spool} ({error.strerror}); mount a volume there"
        ) from error
    if not os.access(spool, os.W_OK | os.X_OK):
        raise SettingsError(f"WASL_NOTIFY_SPOOL: {spool} is not writable; give it to this user")
