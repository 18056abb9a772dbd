# SPDX-License-Identifier: Apache-2.0
"""The services' settings, asking for no more than a command needs.

A command that only talks to Kafka must run where no database address and no key is mounted, so what
it does not use has a default and is not looked at.
"""

from pydantic import Field, SecretStr
from wasl_chassis.operating import connectors
from wasl_chassis.settings import Key32, Settings, SettingsError
from wasl_schemas.base import EventData
from wasl_schemas.topics import TopicSpec, registry

_UNUSED = SecretStr("")


class BrokerSettings(Settings):
    """For commands that only talk to Kafka."""

    mongodb_uri: SecretStr = Field(default=_UNUSED, validation_alias="MONGODB_URI")
    master_key: SecretStr = _UNUSED
    pepper: SecretStr = _UNUSED


class StoreSettings(Settings):
    """For commands that only read databases."""

    kafka_bootstrap_servers: str = Field(default="", validation_alias="KAFKA_BOOTSTRAP_SERVERS")
    master_key: SecretStr = _UNUSED
    pepper: SecretStr = _UNUSED


class TraceSettings(StoreSettings):
    """Receipts are found by a keyed hash, so tracing needs its key."""

    pepper: Key32 = Field(description="Keys the hashes of receipts and items; never rotated")


def topics_of(settings: Settings) -> tuple[TopicSpec[EventData], ...]:
    """The deployment's topics. Raises :class:`SettingsError` for what is no connector's name."""
    try:
        return registry(connectors(settings))
    except ValueError as error:
        raise SettingsError(f"WASL_CONNECTORS is wrong: {error}") from None
