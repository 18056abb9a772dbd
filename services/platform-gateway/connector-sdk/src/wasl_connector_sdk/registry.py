# SPDX-License-Identifier: Apache-2.0
"""Finds connectors by entry point, group ``wasl.connectors``; built-in and third-party ones alike.

One broken or doubtful connector stops the process at start, with its name and the fix: a connector
that is silently missing loses dispatches.
"""

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points

from wasl_connector_sdk.contract import (
    AnyConnector,
    Connector,
    ConnectorConfig,
    Idempotency,
    Manifest,
    SupportsLookup,
)

GROUP = "wasl.connectors"


class RegistryError(Exception):
    """Which connector is wrong, why, and what to do."""


def load(name: str, points: Iterable[EntryPoint] | None = None) -> type[AnyConnector]:
    """The connector class of that name. Raises :class:`RegistryError`, naming what is installed."""
    found = [p for p in _points(points) if p.name == name]
    if not found:
        installed = ", ".join(sorted({p.name for p in _points(points)})) or "none"
        raise RegistryError(
            f"connector '{name}' is not installed (installed: {installed}); correct the name or "
            f"install the package that provides it"
        )
    if len({p.value for p in found}) > 1:
        raise RegistryError(
            f"connector '{name}' is provided twice ({', '.join(sorted(p.value for p in found))}); "
            f"uninstall one"
        )
    return _checked(found[0])


def load_all(points: Iterable[EntryPoint] | None = None) -> dict[str, type[AnyConnector]]:
    """Every installed connector by name. Raises :class:`RegistryError` for the first bad one."""
    listed = _points(points)
    return {name: load(name, listed) for name in sorted({p.name for p in listed})}


def _points(points: Iterable[EntryPoint] | None) -> list[EntryPoint]:
    return list(entry_points(group=GROUP) if points is None else points)


def _checked(point: EntryPoint) -> type[AnyConnector]:
    where = f"connector '{point.name}' ({point.value})"
    try:
        loaded = point.load()
    except Exception as error:
        # Importing third-party code: whatever it raises is the reason it cannot be used.
        raise RegistryError(
            f"{where} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    if not (isinstance(loaded, type) and issubclass(loaded, Connector)):
        raise RegistryError(f"{where} is not a subclass of wasl_connector_sdk.Connector")
    manifest = getattr(loaded, "manifest", None)
    if not isinstance(manifest, Manifest):
        raise RegistryError(f"{where} has no Manifest in its class attribute 'manifest'")
    if manifest.name != point.name:
        raise RegistryError(
            f"{where} calls itself '{manifest.name}'; the entry point and the manifest must agree"
        )
    config = getattr(loaded, "Config", None)
    if not (isinstance(config, type) and issubclass(config, ConnectorConfig)):
        raise RegistryError(
            f"{where} has no ConnectorConfig subclass in its class attribute 'Config'"
        )
    abstract = sorted(getattr(loaded, "__abstractmethods__", ()))
    if abstract:
        raise RegistryError(f"{where} lacks {', '.join(abstract)}")
    if manifest.idempotency is Idempotency.LOOKUP and not issubclass(loaded, SupportsLookup):
        raise RegistryError(f"{where} declares idempotency 'lookup' and has no method 'find'")
    return loaded
