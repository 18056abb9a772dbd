# SPDX-License-Identifier: Apache-2.0
"""Where the local run keeps its files and which ports it takes; all from ``WASL_LOCAL_*``."""

from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

REPOSITORY = Path(__file__).parents[4]


class LocalSettings(BaseSettings):
    """Port 0 takes a free one."""

    model_config = SettingsConfigDict(env_prefix="WASL_LOCAL_", frozen=True, extra="ignore")

    directory: Path = Field(default=REPOSITORY / ".wasl", description="Data, secrets and logs")
    country_pack: Path = Field(
        default=REPOSITORY / "deploy" / "country-packs" / "ma",
        description="Directory of the country pack",
    )
    watch_hosts: str = Field(
        default="none.invalid",
        min_length=1,
        description="Hosts whose items may be looked at (WASL_WATCH_HOSTS); none, since the "
        "samples' addresses are made up",
    )
    connectors: Path | None = Field(
        default=None,
        description="TOML or JSON file with a table of settings for each further connector; each "
        "gets a process. `reference` or `webhook` in it replaces the simulated partner, and the "
        "samples, which need both, are not played",
    )
    samples: Path = Field(
        default=REPOSITORY / "deploy" / "local" / "samples", description="What the demo reports"
    )
    intake_port: int = Field(default=0, ge=0, le=65535, description="0 takes a free port")
    triage_port: int = Field(default=0, ge=0, le=65535, description="0 takes a free port")
    kafka_port: int = Field(default=0, ge=0, le=65535, description="0 takes a free port")
    mongo_port: int = Field(default=0, ge=0, le=65535, description="0 takes a free port")
    start_timeout: float = Field(
        default=60, gt=0, description="Seconds a process may take to become ready"
    )
    settle_timeout: float = Field(
        default=300, gt=0, description="Seconds the demo may take to settle all reports"
    )


def read() -> LocalSettings:
    """Raises SystemExit that names the variable and what is wrong with it."""
    try:
        return LocalSettings()
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False)[0]
        raise SystemExit(f"WASL_LOCAL_{str(wrong['loc'][0]).upper()}: {wrong['msg']}") from None
