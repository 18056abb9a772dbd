# SPDX-License-Identifier: Apache-2.0
"""Settings of intake, on top of those every service has."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from wasl_chassis.settings import Settings
from wasl_connector_sdk.signing import Keys
from wasl_schemas.base import Slug

from wasl_intake.domain.submission import ChannelWord


class Peer(Keys):
    """How another country's hub signs, and whether its tests are answered."""

    tests: bool = Field(default=False, description="Answers its tests; nothing of them is stored")

    @model_validator(mode="after")
    def _can_be_known(self) -> Self:
        if not self.verifies:
            raise ValueError("expected the shared whsec_ secret, or the hub's whpk_ public_key")
        return self


Peers = dict[str, Peer]
_PEERS: TypeAdapter[Peers] = TypeAdapter(dict[Slug, Peer])
_EXPECTED = (
    'expected JSON: {"hub": {"secret": "whsec_..."}, "other": {"public_key": "whpk_..."}, ...}'
)

Scope = Literal["report", "xarf", "batch"]


class ApiKey(BaseModel):
    """An organisation's key and what its holder may do. ``channels``: the first is the default."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    channels: tuple[ChannelWord, ...] = Field(min_length=1)
    scopes: frozenset[Scope] = Field(min_length=1)
    tests: bool = Field(default=False, description="Nothing of its requests is stored")


def _each_once(keys: dict[str, ApiKey]) -> dict[str, ApiKey]:
    if len({k.sha256 for k in keys.values()}) != len(keys):
        raise ValueError("expected a key of its own for each name")
    return keys


ApiKeys = dict[str, ApiKey]
_API_KEYS: TypeAdapter[ApiKeys] = TypeAdapter(
    Annotated[dict[Slug, ApiKey], AfterValidator(_each_once)]
)
_KEYS_EXPECTED = (
    'expected JSON: {"name": {"sha256": "...", "channels": ["partner"], "scopes": ["xarf"]}, ...}'
)


def _parsed(adapter: TypeAdapter[Any], expected: str, text: str) -> Any:
    try:
        return adapter.validate_python(json.loads(text))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        at = ".".join(str(p) for p in first["loc"][1:])
        said = str(first["msg"]).removeprefix("Value error, ")
        raise ValueError(f"{expected}; not so at {at or 'a name'}: {said}") from None
    except (ValueError, RecursionError):
        raise ValueError(f"{expected}; this is no JSON") from None


def parse_peers(text: str) -> Peers:
    """Peers by hub id. Raises ValueError that says what is wrong without quoting it."""
    peers: Peers = _parsed(_PEERS, _EXPECTED, text)
    return peers


def parse_api_keys(text: str) -> ApiKeys:
    """Keys by the name of their holder. Raises ValueError, as ``parse_peers`` does."""
    keys: ApiKeys = _parsed(_API_KEYS, _KEYS_EXPECTED, text)
    return keys


def _are_peers(value: SecretStr) -> SecretStr:
    parse_peers(value.get_secret_value())
    return value


def _are_api_keys(value: SecretStr) -> SecretStr:
    parse_api_keys(value.get_secret_value())
    return value


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
    intake_peers: Annotated[SecretStr, AfterValidator(_are_peers)] = Field(
        default=SecretStr("{}"),
        description="Hubs of other countries that may hand reports over, by hub id: JSON; mount it"
        " and set WASL_INTAKE_PEERS_FILE",
    )
    intake_public_url: str = Field(
        default="",
        pattern=r"^(https?://[a-z0-9.-]{1,253}(:\d{1,5})?)?$",
        description="Where people reach the portal: https://HOST, in lower case; with https,"
        " browsers are told never to use anything else",
    )
    intake_onion_url: str = Field(
        default="",
        pattern=r"^(http://([a-z0-9-]{1,63}\.)*[a-z2-7]{56}\.onion)?$",
        description="The same as an onion service: http://....onion; Tor Browser is told of it",
    )
    intake_api_keys: Annotated[SecretStr, AfterValidator(_are_api_keys)] = Field(
        default=SecretStr("{}"),
        description="Keys of organisations that report by the API, by name, as 'wasl api-keys new'"
        " prints them: JSON; mount it and set WASL_INTAKE_API_KEYS_FILE",
    )
    intake_partner_body_limit: int = Field(
        default=1_048_576,
        ge=4_096,
        le=16_777_216,
        description="Largest XARF document or batch, in bytes",
    )
    intake_flood_rate: float = Field(
        default=1,
        gt=0,
        le=1_000_000,
        description="Reports, messages or failed look-ups a second, each in its own lane, that are"
        " never a flood; at least those of the busiest hour",
    )
    intake_flood_wait: int = Field(
        default=60,
        ge=5,
        le=600,
        description="Under a flood, the longest a sender waits who does not solve the challenge, in"
        " seconds",
    )
    intake_flood_bits: int = Field(
        default=20,
        ge=12,
        le=26,
        description="Under a flood, the hardest challenge, in bits; one more doubles the work",
    )
    intake_flood_similar: int = Field(
        default=8,
        ge=1,
        le=1_000_000,
        description="Near-identical reports of about ten minutes that nobody waits for",
    )
    intake_thread_limit: int = Field(
        default=200, ge=1, le=2_000, description="Messages one thread can hold"
    )
    intake_spool: Path | None = Field(
        default=None,
        description="Directory, one a replica, where reports are kept while the database is away;"
        " without it they are refused then",
    )
    intake_spool_limit: int = Field(
        default=268_435_456, ge=4_194_304, description="Largest spool, in bytes"
    )

    def peers(self) -> Peers:
        return parse_peers(self.intake_peers.get_secret_value())

    def api_keys(self) -> ApiKeys:
        return parse_api_keys(self.intake_api_keys.get_secret_value())
