# SPDX-License-Identifier: Apache-2.0
"""Settings of intake, on top of those every service has."""

from pathlib import Path

from pydantic import Field
from wasl_chassis.settings import Settings


class IntakeSettings(Settings):
    intake_host: str = Field(
        default="127.0.0.1", description="Where the public API and pages listen"
    )
    intake_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Port of the public API and pages; 0 takes a free one",
    )
    country_pack: Path = Field(
        description="Folder of the country pack, for example country-packs/ma"
    )
    intake_body_limit: int = Field(
        default=65_536, ge=4_096, le=1_048_576, description="Largest request body, in bytes"
    )
    intake_repeat_seconds: float = Field(
        default=900,
        ge=1,
        le=86_400,
        description="A report of which no case was heard for so long is told again",
    )
    intake_thread_limit: int = Field(
        default=200, ge=1, le=2_000, description="Messages one thread can hold"
    )
