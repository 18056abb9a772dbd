# SPDX-License-Identifier: Apache-2.0
"""The file that ``WASL_LOCAL_CONNECTORS`` names: connectors of a local run and their settings.

TOML or JSON: one table for each connector, with the fields of its page in ``docs/connectors``.
Checked before anything starts, by the connectors' own models.
"""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from wasl_connector_sdk.registry import RegistryError, load

Configs = dict[str, dict[str, Any]]


class ConnectorsError(Exception):
    """What is wrong with the file: its path, the connector, the field; never a value."""


def read(path: Path | None) -> Configs:
    """Settings by connector; none without a file. Raises :class:`ConnectorsError`."""
    if path is None:
        return {}
    found = _parsed(path)
    if not isinstance(found, dict):
        raise ConnectorsError(f"{path}: expected one table for each connector")
    wrong = [line for name, config in found.items() for line in _faults(name, config)]
    if wrong:
        raise ConnectorsError("\n".join(f"{path}: {line}" for line in wrong))
    return found


def _parsed(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise ConnectorsError(f"{path}: {error.strerror}; correct WASL_LOCAL_CONNECTORS") from None
    except ValueError as error:  # of either parser, with line and column
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise ConnectorsError(f"{path}: not {kind}: {error}") from None


def _said(problem: Mapping[str, Any]) -> str:
    return str(problem["msg"]).removeprefix("Value error, ")


def _faults(name: str, config: Any) -> list[str]:
    try:
        connector = load(name)
    except RegistryError as error:
        return [str(error)]
    if not isinstance(config, dict):
        return [f"connector '{name}': expected a table of settings"]
    try:
        # As JSON: so the process gets it.
        connector.Config.model_validate_json(json.dumps(config, default=str))
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False, include_context=False)
        return [
            f"connector '{name}': "
            + ": ".join([*filter(None, [".".join(map(str, p["loc"]))]), _said(p)])
            + f" (what it needs: {connector.manifest.docs})"
            for p in problems
        ]
    return []
