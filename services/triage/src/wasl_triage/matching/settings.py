# SPDX-License-Identifier: Apache-2.0
"""Settings of `wasl-triage-matching`: a directory, and what each sub-command needs beside it."""

import hashlib
import hmac
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, TypeAdapter, ValidationError
from wasl_chassis.settings import ProcessSettings
from wasl_schemas.base import Slug

from wasl_triage.settings import Sha256

_KEYS = TypeAdapter(dict[Slug, Sha256])
_CREDENTIALS = TypeAdapter(dict[Slug, str])


class Keys:
    """Who may look up: names and the SHA-256 of their keys; a key itself is never stored."""

    def __init__(self, keys: dict[str, str]) -> None:
        self._keys = [(sha256.encode(), name) for name, sha256 in keys.items()]

    @classmethod
    def parse(cls, text: str) -> "Keys":
        """Raises ValueError that says what is wrong without quoting it."""
        expected = 'expected JSON: {"name": "<sha256 of the key, 64 hexadecimal digits>", ...}'
        try:
            keys = _KEYS.validate_json(text)
        except ValidationError:
            raise ValueError(expected) from None
        if not keys or len(set(keys.values())) != len(keys):
            raise ValueError(f"{expected}, each name with a key of its own")
        return cls(keys)

    def holder(self, key: str) -> str | None:
        """Whose key it is. Every entry is compared, so time tells nothing about the list."""
        given = hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest().encode()
        found = None
        for known, name in self._keys:
            if hmac.compare_digest(known, given):
                found = name
        return found


def _are_keys(value: SecretStr) -> SecretStr:
    Keys.parse(value.get_secret_value())
    return value


def _are_credentials(value: SecretStr) -> SecretStr:
    try:
        _CREDENTIALS.validate_json(value.get_secret_value())
    except ValidationError:
        raise ValueError('expected JSON: {"bank": "credentials", ...}') from None
    return value


class MatchingSettings(ProcessSettings):
    matching_directory: Path = Field(
        description="Directory of banks.toml, its lists, the exchanges' state and the index"
    )
    matching_cache: Path | None = Field(
        default=None,
        description="Directory for compiled code; it is compiled at each start where none is given"
        " and neither the installation nor the home directory can be written",
    )


class ServeSettings(MatchingSettings):
    matching_keys: Annotated[SecretStr, AfterValidator(_are_keys)] = Field(
        description="Who may look up: JSON; mount it and set WASL_MATCHING_KEYS_FILE"
    )
    matching_host: str = Field(default="127.0.0.1", description="Where look-ups come in")
    matching_port: int = Field(default=0, ge=0, le=65535, description="0 takes a free port")

    def keys(self) -> Keys:
        return Keys.parse(self.matching_keys.get_secret_value())


class SyncSettings(MatchingSettings):
    matching_credentials: Annotated[SecretStr, AfterValidator(_are_credentials)] = Field(
        default=SecretStr("{}"),
        description="Credentials of the exchanges by bank: JSON; mount it and set"
        " WASL_MATCHING_CREDENTIALS_FILE",
    )

    def credentials(self) -> dict[str, str]:
        return _CREDENTIALS.validate_json(self.matching_credentials.get_secret_value())
