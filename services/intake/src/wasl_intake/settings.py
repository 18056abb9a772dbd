# SPDX-License-Identifier: Apache-2.0
"""Settings of intake, on top of those every service has."""

import json
from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from wasl_chassis.settings import Settings
from wasl_connector_sdk.signing import Keys
from wasl_schemas.base import Slug


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


def parse_peers(text: str) -> Peers:
    """Peers by hub id. Raises ValueError that says what is wrong without quoting it."""
    try:
        return _PEERS.validate_python(json.loads(text))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        at = ".".join(str(p) for p in first["loc"][1:])
        said = str(first["msg"]).removeprefix("Value error, ")
        raise ValueError(f"{_EXPECTED}; not so at {at or 'a hub'}: {said}") from None
    except (ValueError, RecursionError):
        raise ValueError(f"{_EXPECTED}; this is no JSON") from None


def _are_peers(value: SecretStr) -> SecretStr:
    parse_peers(value.get_secret_value())
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
    intake_thread_limit: int = Field(
        default=200, ge=1, le=2_000, description="Messages one thread can hold"
    )

    def peers(self) -> Peers:
        return parse_peers(self.intake_peers.get_secret_value())
