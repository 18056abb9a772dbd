# SPDX-License-Identifier: Apache-2.0
"""Settings of the connector ``email``.

Addresses are checked here, so no SMTP command or header is ever built from anything else.
"""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator
from wasl_connector_sdk import ConnectorConfig
from wasl_connector_sdk.asking import Language

from wasl_platform_gateway.connectors.email.profiles import DeskConfig
from wasl_platform_gateway.connectors.email.signing import usable

#: RFC 5321 dot-string@domain, ASCII; quoted strings and address literals are not taken.
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"({_ATEXT}(?:\.{_ATEXT})*)@{_LABEL}(?:\.{_LABEL})+")
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_HERE = frozenset({"localhost", "127.0.0.1"})
#: What a mailbox's name may have beside ``+`` and a token (RFC 5321: 64).
_MAX_MAILBOX = 64 - 25


def _address(text: str) -> str:
    found = _ADDRESS.fullmatch(text)
    if found is None or len(text) > 254 or len(found[1]) > 64:
        raise ValueError("expected name@domain in ASCII")
    return text


def _mailbox(text: str) -> str:
    if "+" in text or len(text.rpartition("@")[0]) > _MAX_MAILBOX:
        raise ValueError(f"expected no '+' and at most {_MAX_MAILBOX} characters before the '@'")
    return text


def _host(text: str) -> str:
    if not _HOST.fullmatch(text) or len(text) > 253:
        raise ValueError("expected a host name or IPv4 address")
    return text.lower()


def _typed(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if not (text and text.isascii() and text.isprintable()):
        raise ValueError("expected printable ASCII")
    return secret


def _rsa(secret: SecretStr) -> SecretStr:
    if not usable(secret.get_secret_value().encode()):
        raise ValueError("expected an RSA private key in PEM")
    return secret


MailAddress = Annotated[str, AfterValidator(_address)]
Mailbox = Annotated[MailAddress, AfterValidator(_mailbox)]
Password = Annotated[SecretStr, AfterValidator(_typed)]
Name = Annotated[str, Field(pattern=r"^[!#-\[\]-~]{1,200}$")]


class _Server(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    host: Annotated[str, AfterValidator(_host)] = Field(description="Name or IPv4 address")
    port: int = Field(ge=1, le=65535)
    tls: Literal["starttls", "implicit", "none"]
    ca: str | None = Field(default=None, description="PEM certificates instead of the system's")
    timeout: float = Field(gt=0, le=60)

    @model_validator(mode="after")
    def _encrypted(self) -> Self:
        if self.tls == "none" and "." in self.host and self.host not in _HERE:
            raise ValueError("tls 'none' is for this machine and for single-label hosts only")
        return self


class SmtpConfig(_Server):
    port: int = Field(default=587, ge=1, le=65535, description="Of the relay")
    tls: Literal["starttls", "implicit", "none"] = Field(
        default="starttls", description="'none' only on this machine or for a name without a dot"
    )
    username: Name | None = Field(default=None, description="Where the relay asks for one")
    password: Password | None = Field(default=None, description="With the user name")
    timeout: float = Field(
        default=4.5, gt=0, le=60, description="Seconds to get ready, and as many for the mail"
    )

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together")
        return self


class MailboxConfig(_Server):
    """Where answers arrive. ``folder`` in IMAP's own spelling (modified UTF-7)."""

    port: int = Field(default=993, ge=1, le=65535, description="Of the IMAP server")
    tls: Literal["starttls", "implicit", "none"] = Field(
        default="implicit", description="'none' only on this machine or for a name without a dot"
    )
    username: Name = Field(description="Of the mailbox")
    password: Password = Field(description="Of the mailbox")
    folder: str = Field(
        default="INBOX", pattern=r"^[ !#-\[\]-~]{1,200}$", description="Where answers arrive"
    )
    timeout: float = Field(default=8, gt=0, le=60, description="Seconds for one read")


class DkimConfig(BaseModel):
    """The public half belongs into DNS, at ``SELECTOR._domainkey.DOMAIN``."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    selector: Annotated[str, AfterValidator(_host)] = Field(description="Of the key in DNS")
    domain: Annotated[str, AfterValidator(_host)] | None = Field(
        default=None, description="That signs; the sender's by default"
    )
    key: Annotated[SecretStr, AfterValidator(_rsa)] = Field(description="RSA private key, PEM")


class MailDesk(DeskConfig):
    address: MailAddress = Field(repr=False, description="The desk's mailbox")
    roles: dict[str, MailAddress] = Field(
        default_factory=dict,
        repr=False,
        description="Further mailboxes, by role of the country pack's escalation",
    )


class EmailConfig(ConnectorConfig):
    partners: dict[str, MailDesk] = Field(default_factory=dict, description="Desks by partner")
    smtp: SmtpConfig = Field(description="The relay mail leaves by")
    sender: MailAddress = Field(description="From, and the domain of every Message-ID")
    desk: Mailbox | None = Field(
        default=None, description="Mailbox of the answers, sub-addressed; the sender's by default"
    )
    bounces_to_sender: bool = Field(
        default=False, description="For relays that take no sub-address as envelope sender"
    )
    dkim: DkimConfig | None = Field(default=None, description="Where the relay does not sign")
    token_secret: Password = Field(min_length=32, description="Links answers to requests")
    inbox: MailboxConfig | None = Field(default=None, description="Without: answers are not read")
    language: Language = Field(default="en", description="Of instructions to our own person")
    test_address: MailAddress | None = Field(default=None, description="Gets everything in test")

    @model_validator(mode="after")
    def _desk_known(self) -> Self:
        own = self.sender.rpartition("@")[2].lower()
        signs = self.dkim.domain if self.dkim and self.dkim.domain else own
        if own != signs and not own.endswith(f".{signs}"):
            raise ValueError("dkim.domain: expected the sender's domain, or one above it")
        if self.desk is None:
            try:
                _mailbox(self.sender)
            except ValueError as error:
                raise ValueError(f"sender as the mailbox of answers: {error}") from None
        return self
