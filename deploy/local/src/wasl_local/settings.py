# SPDX-License-Identifier: Apache-2.0
"""Where the local run keeps its files and which ports it takes; all from ``WASL_LOCAL_*``."""

from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

REPOSITORY = Path(__file__).parents[4]


class LocalSettings(BaseSettings):
    """Port 0 takes a free one."""

    model_config = SettingsConfigDict(env_prefix="WASL_LOCAL_", frozen=True, extra="ignore")

    directory: Path = REPOSITORY / ".wasl"
    country_pack: Path = REPOSITORY / "deploy" / "country-packs" / "ma"
    samples: Path = REPOSITORY / "deploy" / "local" / "samples"
    intake_port: int = Field(default=0, ge=0, le=65535)
    triage_port: int = Field(default=0, ge=0, le=65535)
    kafka_port: int = Field(default=0, ge=0, le=65535)
    mongo_port: int = Field(default=0, ge=0, le=65535)
    #: Seconds a process may take to become ready, and the demo to settle all reports.
    start_timeout: float = Field(default=60, gt=0)
    settle_timeout: float = Field(default=300, gt=0)


def read() -> LocalSettings:
    """Raises SystemExit that names the variable and what is wrong with it."""
    try:
        return LocalSettings()
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False)[0]
        raise SystemExit(f"WASL_LOCAL_{str(wrong['loc'][0]).upper()}: {wrong['msg']}") from None
