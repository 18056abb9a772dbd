# SPDX-License-Identifier: Apache-2.0
"""Settings: environment only, prefix ``WASL_``, frozen, printed masked.

Anything that differs between deployments has no default: a missing or wrong value stops the process
with the variable's name, what was expected and the fix. A secret may come as ``NAME_FILE``, a path
to a file that holds it (what compose and Kubernetes mount).
"""

import base64
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

PREFIX = "WASL_"
_SERVER = re.compile(r"([^\s:]+|\[[0-9A-Fa-f:]+\]):[0-9]{1,5}")


def _key32(value: SecretStr) -> SecretStr:
    try:
        size = len(base64.b64decode(value.get_secret_value().strip(), validate=True))
    except ValueError as error:
        raise ValueError(
            "expected 32 bytes in base64 (make one: openssl rand -base64 32)"
        ) from error
    if size != 32:
        raise ValueError(f"expected 32 bytes in base64, got {size} bytes")
    return value


def _servers(value: str) -> str:
    for server in value.split(","):
        if not _SERVER.fullmatch(server):
            raise ValueError("expected host:port[,host:port]")
    return value


#: 32 random bytes in base64.
Key32 = Annotated[SecretStr, AfterValidator(_key32)]


def key_bytes(value: SecretStr) -> bytes:
    return base64.b64decode(value.get_secret_value().strip())


class _FileEnv(EnvSettingsSource):
    """The environment, with ``NAME_FILE`` read into ``NAME``. Naming both is an error."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls)
        env = dict(self.env_vars)
        known = {variable(settings_cls, field).lower() for field in settings_cls.model_fields}
        for name, path in list(env.items()):
            target = name.removesuffix("_file")
            if target == name or target not in known or not path:
                continue
            if env.get(target):
                raise SettingsError(f"{target.upper()} and {name.upper()} are both set; keep one")
            try:
                env[target] = Path(path).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise SettingsError(
                    f"{name.upper()}: cannot read {path} ({error.strerror}); mount the secret there"
                ) from error
        self.env_vars: Mapping[str, str | None] = env


class SettingsError(Exception):
    """What is wrong with the environment, one line a variable."""


class ProcessSettings(BaseSettings):
    """What every process of the hub needs, also one without broker and database."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True
    )

    admin_host: str = Field(default="127.0.0.1", description="Where health and metrics listen")
    admin_port: int = Field(default=0, ge=0, le=65535, description="0 takes a free port")
    log_level: str = Field(
        default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Of our own loggers"
    )
    grace_seconds: float = Field(
        default=25, gt=0, le=600, description="Time to drain after SIGTERM"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, _FileEnv(settings_cls)

    def masked(self) -> dict[str, Any]:
        """The effective settings, fit for a log line."""
        return {name: "********" if isinstance(value, SecretStr) else value for name, value in self}


class Settings(ProcessSettings):
    """What every service needs."""

    kafka_bootstrap_servers: Annotated[str, AfterValidator(_servers)] = Field(
        validation_alias="KAFKA_BOOTSTRAP_SERVERS", description="host:port[,host:port]"
    )
    mongodb_uri: SecretStr = Field(
        validation_alias="MONGODB_URI", description="URI of a replica set, without a database"
    )
    master_key: Key32 = Field(description="Wraps the data keys; 32 bytes in base64")
    pepper: Key32 = Field(description="Keys the hashes of receipts and items; never rotated")
    replica: str = Field(
        default="0",
        pattern=r"^[a-z0-9-]{1,40}$",
        description="Name of this replica, stable over restarts",
    )
    database_prefix: str = Field(
        default="wasl", pattern=r"^[a-z0-9_]{1,20}$", description="Databases are PREFIX_SERVICE"
    )
    connectors: str = Field(
        default="reference,webhook", description="Connectors of this deployment, comma separated"
    )
    batch_max_records: int = Field(
        default=500, ge=1, le=5000, description="Events of one transaction at most"
    )
    max_poll_interval_seconds: float = Field(
        default=900,
        ge=10,
        le=3600,
        description="Longest time between two polls before we count as dead",
    )
    session_timeout_seconds: float = Field(
        default=10, ge=1, le=300, description="Silence after which Kafka gives our partitions away"
    )
    outage_budget_seconds: float = Field(
        default=300, ge=0, description="In-process retries before the batch is handed back to Kafka"
    )
    dead_letter_limit: int = Field(
        default=100, ge=1, description="Consecutive dead letters that stop a consumer"
    )
    mongo_driver: str = Field(
        default="motor", pattern="^(motor|pymongo)$", description="motor or pymongo (its successor)"
    )
    tracing: bool = Field(default=False, description="Needs the extra wasl-chassis[tracing]")

    @model_validator(mode="after")
    def _poll_outlasts_budget(self) -> Self:
        if self.outage_budget_seconds >= self.max_poll_interval_seconds:
            raise ValueError(
                "WASL_OUTAGE_BUDGET_SECONDS must stay below WASL_MAX_POLL_INTERVAL_SECONDS"
            )
        return self


SettingsT = TypeVar("SettingsT", bound=ProcessSettings)


def variable(settings: type[BaseSettings], field: str) -> str:
    """The environment variable of a field."""
    alias = settings.model_fields[field].validation_alias
    return alias if isinstance(alias, str) else f"{PREFIX}{field.upper()}"


def read(cls: type[SettingsT]) -> SettingsT:
    """Settings from the environment. Raises :class:`SettingsError` naming each variable."""
    try:
        return cls()
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_input=False, include_url=False, include_context=False):
            where = str(problem["loc"][0]) if problem["loc"] else ""
            aliased = (f for f in cls.model_fields if variable(cls, f) == where)
            field = next(aliased, where.removeprefix(PREFIX.lower()))
            name = variable(cls, field) if field in cls.model_fields else where.upper()
            info = cls.model_fields.get(field)
            what = f" ({info.description})" if info and info.description else ""
            said = problem["msg"].removeprefix("Value error, ")
            said = "is not set" if problem["type"] == "missing" else f"is wrong: {said}"
            lines.append(f"{name} {said}{what}".strip())
        raise SettingsError("\n".join(lines)) from None


def read_or_exit(cls: type[SettingsT]) -> SettingsT:
    """For ``__main__``: exit 78 (EX_CONFIG of sysexits.h) with the reason on standard error."""
    try:
        return read(cls)
    except SettingsError as error:
        sys.stderr.write(f"cannot start, the settings are incomplete:\n{error}\n")
        sys.exit(78)
