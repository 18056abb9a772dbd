# SPDX-License-Identifier: Apache-2.0
"""Settings of the gateway; the shared ones are in the chassis."""

from pathlib import Path

from pydantic import Field, SecretStr
from wasl_chassis.settings import Settings


class GatewaySettings(Settings):
    connector: str = Field(description="The connector of this process; --connector wins")
    connector_config: SecretStr = Field(
        default=SecretStr("{}"), description="JSON of the connector's settings; see its docs"
    )
    country_pack: Path = Field(description="Directory of the country pack")
    gateway_host: str = Field(default="127.0.0.1", description="Where callbacks arrive")
    gateway_port: int = Field(default=0, ge=0, le=65535, description="0 takes a free port")
    gateway_admin_token: SecretStr | None = Field(
        default=None,
        min_length=24,
        description="Bearer token of /internal; without it: no such routes",
    )
    gateway_proxy: str | None = Field(
        default=None,
        pattern=r"^(https?|socks5)://",
        description="All calls to partners go through it",
    )
    gateway_call_timeout_seconds: float = Field(
        default=10, gt=0, le=120, description="Time limit of one call; a lease is 3 x this + 5 s"
    )
    gateway_concurrency: int = Field(
        default=16, ge=1, le=512, description="Calls at once, for each partner"
    )
    gateway_batch: int = Field(default=200, ge=1, le=2000, description="Rows of one transaction")
    gateway_no_reply_after_seconds: float | None = Field(
        default=None, gt=0, description="Instead of the country pack's clock for each severity"
    )
    gateway_hub_contact: str = Field(
        default="", description="The hub's mailbox for partners' questions; some require one"
    )
    gateway_hub_url: str = Field(default="", description="The hub's public page")
    gateway_inbox_seconds: float = Field(
        default=30, ge=1, description="How often a connector's mailbox is read, where it has one"
    )


class WatchSettings(Settings):
    """Of the process that follows items, ``--watch``. It has no partner's credentials."""

    country_pack: Path = Field(description="Directory of the country pack; it says when to look")
    watch_contact: str = Field(
        pattern=r"^(https?://|mailto:)\S+$",
        description="Where a site's owner learns who looks: a page or mailto: of the hub",
    )
    watch_hosts: str = Field(
        default="",
        description="Hosts that may be looked at, comma separated, with all names below them; "
        "empty: those of the country pack's services; *: every public one; host:port written out "
        "may be private",
    )
    watch_proxy: str | None = Field(
        default=None,
        pattern=r"^(https?|socks5)://",
        description="All looks go through it; it must refuse private addresses itself",
    )
    watch_speed: float = Field(
        default=1, ge=1, le=100_000, description="60 makes an hour a minute; for rehearsals"
    )
    watch_concurrency: int = Field(
        default=16, ge=1, le=512, description="Looks at once; at one host it is one"
    )
    watch_host: str = Field(default="127.0.0.1", description="Where the operator's routes listen")
    watch_port: int = Field(default=0, ge=0, le=65535, description="0 takes a free port")
    watch_admin_token: SecretStr | None = Field(
        default=None,
        min_length=24,
        description="Bearer token of /internal; without it: no such routes",
    )
