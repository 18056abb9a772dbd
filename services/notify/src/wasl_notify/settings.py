# SPDX-License-Identifier: Apache-2.0
"""Settings of notify, on top of those every service has."""

import ipaddress
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from wasl_chassis.settings import Settings

from wasl_notify.domain.mail import usable


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class NotifySettings(Settings):
    country_pack: Path = Field(description="Folder of the country pack, e.g. country-packs/ma")
    notify_host: str = Field(default="127.0.0.1", description="Where acknowledgements come in")
    notify_port: int = Field(
        default=0, ge=0, le=65535, description="Port of acknowledgements; 0 takes a free one"
    )
    smtp_host: str | None = Field(
        default=None, description="Mail relay; without one no contact is kept and no mail sent"
    )
    smtp_port: int = Field(default=587, ge=1, le=65535, description="Port of the mail relay")
    smtp_user: str | None = Field(default=None, description="Only if the relay asks for one")
    smtp_password: SecretStr | None = Field(default=None, description="Goes with the user")
    smtp_starttls: Literal["required", "offered", "never", "implicit"] = Field(
        default="required", description="required, offered (if the relay has it), never, implicit"
    )
    smtp_ca: Path | None = Field(
        default=None, description="Certificates to trust, PEM, where the relay has its own"
    )
    smtp_from: str | None = Field(
        default=None, description="Neutral sender address, e.g. info@example.org"
    )
    smtp_timeout_seconds: float = Field(
        default=10, gt=0, le=20, description="For one message, from connecting to accepted"
    )
    notify_hold_seconds: float = Field(
        default=30, ge=0, le=3600, description="News waits so long for more of the same report"
    )
    notify_quiet_minutes: float = Field(
        default=15, ge=0, le=1440, description="At most one mail per report in this time"
    )
    notify_contact_days: int = Field(
        default=400, ge=1, le=3650, description="A contact is forgotten after this time"
    )
    notify_window_minutes: int = Field(
        default=60, ge=1, le=44640, description="Window of the public figures"
    )
    notify_small_count: int = Field(
        default=5, ge=1, le=1000, description="Figures below it are pooled"
    )
    notify_channels: Path | None = Field(
        default=None, description="JSON file with subscribers and authorities' endpoints"
    )
    notify_spool: Path = Field(
        description="Folder for packages that authorities fetch; must be durable and private"
    )
    notify_settle_seconds: float = Field(
        default=5, ge=0, le=300, description="A package waits so long for the facts of its case"
    )

    @field_validator("smtp_from")
    @classmethod
    def _usable(cls, value: str | None) -> str | None:
        if value is not None and usable(value) is None:
            raise ValueError("expected a plain e-mail address, such as info@example.org")
        return value

    @model_validator(mode="after")
    def _mail(self) -> Self:
        if self.smtp_host is None:
            return self
        if self.smtp_from is None:
            raise ValueError("WASL_SMTP_HOST needs WASL_SMTP_FROM, the address mail is sent from")
        if (self.smtp_user is None) != (self.smtp_password is None):
            raise ValueError("WASL_SMTP_USER and WASL_SMTP_PASSWORD go together: set both or none")
        encrypted = self.smtp_starttls in {"required", "implicit"}
        if self.smtp_user is not None and not encrypted and not _loopback(self.smtp_host):
            raise ValueError(
                "WASL_SMTP_STARTTLS must be required or implicit with WASL_SMTP_USER,"
                " or the password may travel in clear"
            )
        return self
