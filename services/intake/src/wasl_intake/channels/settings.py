# SPDX-License-Identifier: Apache-2.0
"""Settings of a channel's process: it has no database and no broker, so not those of a service.

Names, files (``NAME_FILE``) and errors are the chassis'. What one provider needs is JSON in
``WASL_CHANNEL_CONFIG``, as with connectors.
"""

import json
from pathlib import Path
from typing import TypeVar

from pydantic import Field, SecretStr, ValidationError
from wasl_chassis.settings import Key32, ProcessSettings, SettingsError

from wasl_intake.channels.contract import ChannelConfig

ConfigT = TypeVar("ConfigT", bound=ChannelConfig)
_URL = r"^https?://[A-Za-z0-9.-]{1,253}(:\d{1,5})?(/[^\s?#]*)?$"


class ChannelSettings(ProcessSettings):
    country_pack: Path = Field(description="Folder of the country pack: languages, numbers, words")
    channel_intake_url: str = Field(
        pattern=_URL, description="Intake's public API, for example http://intake:8080"
    )
    channel_portal_url: str = Field(
        pattern=_URL, description="The portal as people open it; it stands in answers"
    )
    channel_secret: Key32 = Field(
        description="Keys the ids of messages; 32 bytes in base64, the same for all replicas of a"
        " channel, not rotated while deliveries are repeated"
    )
    channel_config: SecretStr = Field(
        description="What the provider needs: JSON; mount it and set WASL_CHANNEL_CONFIG_FILE"
    )
    channel_api_key: SecretStr = Field(
        default=SecretStr(""),
        description="Intake's key for this channel, as 'wasl api-keys new' made it; without one"
        " intake takes reports as of the channel 'api' only, and refuses these",
    )
    channel_host: str = Field(default="127.0.0.1", description="Where deliveries come in")
    channel_port: int = Field(
        default=0, ge=0, le=65535, description="Port of deliveries; 0 takes a free one"
    )
    channel_body_limit: int = Field(
        default=4_194_304,
        ge=4_096,
        le=16_777_216,
        description="Bytes of one webhook delivery, Meta's have at most 3 MB; mail has a limit of"
        " its own",
    )
    channel_thread_minutes: float = Field(
        default=30,
        ge=0,
        le=1440,
        description="Further messages of a conversation belong to its report for so long",
    )
    channel_answers_per_hour: int = Field(
        default=20, ge=1, le=1000, description="Answers to one conversation; reports go on"
    )

    def config(self, cls: type[ConfigT]) -> ConfigT:
        """What the provider needs. Raises SettingsError, which names fields and no value."""
        try:
            return cls.model_validate(json.loads(self.channel_config.get_secret_value()))
        except ValidationError as error:
            lines = [
                f"WASL_CHANNEL_CONFIG: {'.'.join(map(str, problem['loc'])) or 'it'}: "
                f"{problem['msg'].removeprefix('Value error, ')}"
                for problem in error.errors(
                    include_input=False, include_url=False, include_context=False
                )
            ]
            raise SettingsError("\n".join(lines)) from None
        except (ValueError, RecursionError):
            raise SettingsError("WASL_CHANNEL_CONFIG is no JSON; see docs/channels.md") from None
