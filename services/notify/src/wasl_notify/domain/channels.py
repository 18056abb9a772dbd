# SPDX-License-Identifier: Apache-2.0
"""Where the deployment sends: subscribers of figures, and the door of each authority.

One JSON file, mounted as a secret. Wrong content stops the process with every fault named by field,
and never quotes a secret.
"""

import base64
import binascii
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from wasl_schemas.base import Model, Slug

from wasl_notify.domain.mail import usable


class ChannelsError(ValueError):
    """The file is not usable. The message has one line per fault."""


def _secret(value: SecretStr) -> SecretStr:
    raw = value.get_secret_value().removeprefix("whsec_")
    try:
        size = len(base64.b64decode(raw, validate=True))
    except (ValueError, binascii.Error) as error:
        raise ValueError("expected 'whsec_' and 24 to 64 bytes in base64") from error
    if not 24 <= size <= 64:
        raise ValueError(f"expected 24 to 64 bytes in base64, got {size} bytes")
    return value


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise ValueError("expected an address such as https://example.org/hook") from error
    # A name without a dot is a container beside us; nothing in between can read it.
    near = host in {"localhost", "127.0.0.1", "::1"} or (host != "" and "." not in host)
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and near)):
        raise ValueError("expected https (http only for this machine or a name without a dot)")
    if parts.username is not None or parts.fragment:
        raise ValueError("expected no user name, password or #fragment in the address")
    return value


def _mailbox(value: str) -> str:
    if usable(value) is None:
        raise ValueError("expected a plain e-mail address")
    return value


Url = Annotated[str, AfterValidator(_url)]
Secret = Annotated[SecretStr, AfterValidator(_secret)]
Mailbox = Annotated[str, AfterValidator(_mailbox)]


class Subscriber(Model):
    """Gets the public figures, signed with ``secret`` (Standard Webhooks)."""

    id: Slug
    url: Url
    secret: Secret


class WebhookDoor(Model):
    """An authority with an endpoint. ``secret`` signs our package and its acknowledgement."""

    channel: Literal["webhook"]
    url: Url
    secret: Secret
    #: Gets a content-free notice when a package was delivered.
    notice: Mailbox | None = None


class FileDoor(Model):
    """An authority that fetches its packages from the spool folder."""

    channel: Literal["file"]
    notice: Mailbox | None = None


Door = Annotated[WebhookDoor | FileDoor, Field(discriminator="channel")]


class Channels(Model):
    subscribers: tuple[Subscriber, ...] = ()
    authorities: dict[Slug, Door] = Field(default_factory=dict)

    def subscriber(self, name: str) -> Subscriber | None:
        return next((s for s in self.subscribers if s.id == name), None)

    def door(self, authority: str) -> WebhookDoor | FileDoor:
        """The authority's door; one that is not named here gets a file."""
        return self.authorities.get(authority) or FileDoor(channel="file")


def read_channels(path: Path | None) -> Channels:
    """The channels in the file; without a file, none. Raises :class:`ChannelsError`."""
    if path is None:
        return Channels()
    try:
        channels = Channels.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ChannelsError(f"{path}: cannot be read ({error.strerror}); mount it there") from error
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        lines = (
            f"{path}: {'.'.join(map(str, f['loc'])) or 'the file'}: "
            f"{f['msg'].removeprefix('Value error, ')}"
            for f in faults
        )
        raise ChannelsError("\n".join(lines)) from None
    ids = [s.id for s in channels.subscribers]
    if len(set(ids)) != len(ids):
        raise ChannelsError(f"{path}: subscribers: expected each id once")
    return channels
