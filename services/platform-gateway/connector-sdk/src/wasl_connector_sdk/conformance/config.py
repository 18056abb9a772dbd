# SPDX-License-Identifier: Apache-2.0
"""Rules about what is known without running a connector: manifest, form of abilities, config."""

import copy
import inspect
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError

from wasl_connector_sdk.conformance import guards
from wasl_connector_sdk.conformance.bench import Bench, demand, demand_none, rule
from wasl_connector_sdk.errors import word
from wasl_connector_sdk.registry import GROUP, RegistryError, load

_CANARY = "canary-value-of-a-wrong-type"
#: Abilities that do I/O, and how many arguments each takes.
_ASYNC = {
    "status": 1, "find": 1, "withdraw": 2, "remind": 1, "correct": 2, "submit_group": 1,
    "submit_in_steps": 2, "collect": 1,
}  # fmt: skip


class ConfigRules(Bench):
    @rule
    async def test_manifest(self) -> None:
        """manifest: valid, with title, owner and docs; the entry point has the manifest's name."""
        kind = self.connector
        manifest = getattr(kind, "manifest", None)
        name = str(getattr(manifest, "name", ""))
        try:
            load(name, [_point(name, kind)])
        except RegistryError as error:
            raise AssertionError(str(error)) from None
        for field in ("title", "owner", "docs"):
            demand(getattr(manifest, field).strip(), f"Manifest.{field} is empty")
        for category in manifest.accepts or () if manifest else ():
            demand(word(category, "") == category, f"'{category}' is no category slug")
        for point in entry_points(group=GROUP):
            ours = point.value == f"{kind.__module__}:{kind.__qualname__}"
            demand(
                ours == (point.name == name),
                f"entry point '{point.name}' leads to {point.value}, the manifest says '{name}'",
            )

    @rule
    async def test_abilities(self) -> None:
        """abilities: each ability has the contract's form: what does I/O is async, the rest not."""
        kind = self.connector
        for name, arity in {"check": 0, "submit": 1, **_ASYNC}.items():
            method = getattr(kind, name, None)
            if method is not None:
                demand(inspect.iscoroutinefunction(method), f"{name} must be 'async def'")
                demand(_takes(method, arity + 1), f"{name} must take {arity} argument(s)")
        method = getattr(kind, "parse_callback", None)
        if method is not None:
            demand(not inspect.iscoroutinefunction(method), "parse_callback must not be async")
            demand(_takes(method, 2), "parse_callback must take 1 argument")

    @rule
    async def test_config_secrets(self) -> None:
        """config-secrets: a field named token, secret, password or key is a SecretStr."""
        found = guards.unprotected(self.connector.Config)
        demand_none(found, "plain text where SecretStr is needed")

    @rule
    async def test_config_strict(self) -> None:
        """config-strict: an unknown key is refused, at every level."""
        async with self._partner() as partner:
            for way, value in guards.leaves(self._configured(partner)):
                if isinstance(value, BaseModel):
                    changed = _with(partner.config, (*way, "unknown_key"), "x")
                    demand(
                        isinstance(self._validated(changed), ValidationError),
                        f"an unknown key in {_spelled(way)} was accepted",
                    )

    @rule
    async def test_config_quiet(self) -> None:
        """config-quiet: repr, str, JSON and validation errors of the config show no secret."""
        async with self._partner() as partner:
            config = self._configured(partner)
            hidden = guards.secrets(config)
            shown = f"{config!r} {config} {config.model_dump()} {config.model_dump_json()}"
            demand(not any(secret in shown for secret in hidden), "the config shows a secret")
            for way, value in guards.leaves(config):
                if isinstance(value, BaseModel):
                    wrong: list[Any] = [_with(partner.config, (*way, "unknown_key"), _CANARY)]
                elif isinstance(value, SecretStr | SecretBytes):
                    wrong = [_with(partner.config, way, given) for given in (_CANARY, [_CANARY])]
                    wrong.append(_with(partner.config, way, f"\x00 {_CANARY} " * 50))
                else:
                    continue
                for given in wrong:
                    error = self._validated(given)
                    told = str(error) if isinstance(error, Exception) else ""
                    leaks = _CANARY in told or any(secret in told for secret in hidden)
                    demand(not leaks, f"a validation error at {_spelled(way)} quotes a value")


def _point(name: str, kind: object) -> EntryPoint:
    class Point(EntryPoint):
        def load(self) -> object:
            return kind

    return Point(name, f"{getattr(kind, '__module__', '')}:{kind}", GROUP)


def _takes(method: Callable[..., object], arguments: int) -> bool:
    try:
        inspect.signature(method).bind(*range(arguments))
    except TypeError:
        return False
    return True


def _with(config: Mapping[str, Any], way: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    """The config as given with one value replaced."""
    changed = copy.deepcopy(dict(config))
    inner: Any = changed
    for step in way[:-1]:
        inner = inner.setdefault(step, {}) if isinstance(inner, dict) else inner[step]
    inner[way[-1]] = value
    return changed


def _spelled(way: tuple[str | int, ...]) -> str:
    return ".".join(map(str, way)) or "the config"
