# SPDX-License-Identifier: Apache-2.0
"""Metrics, declared once with their text; an undeclared name or label raises.

``docs/metrics.md`` is generated from the declarations. Label values are words from closed lists,
never ids, addresses or exception texts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

#: Seconds; from a database round trip to a slow partner.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
#: Seconds; from an answer at once to a month of waiting.
AGES = (1, 5, 30, 60, 300, 900, 1800, 3600, 14400, 28800, 86400, 259200, 604800, 2592000)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. ``initial``: label values that exist from the start, at 0."""

    kind: Literal["counter", "gauge", "histogram"]
    name: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = SECONDS
    initial: tuple[Mapping[str, str], ...] = ()


class Metrics:
    """The registry of one process."""

    def __init__(self, specs: Iterable[Metric]) -> None:
        self.registry = CollectorRegistry()
        self.specs: dict[str, Metric] = {}
        self._held: dict[str, Any] = {}
        #: Children by name and label values: looking one up in the library takes ten times as long.
        self._children: dict[tuple[str, ...], Any] = {}
        for spec in specs:
            self.declare(spec)

    def declare(self, spec: Metric) -> None:
        if spec.name in self.specs:
            raise ValueError(f"metric {spec.name} is declared twice")
        kinds = {"counter": Counter, "gauge": Gauge, "histogram": Histogram}
        extra = {"buckets": spec.buckets} if spec.kind == "histogram" else {}
        metric = kinds[spec.kind](
            spec.name, spec.help, spec.labels, registry=self.registry, **extra
        )
        for labels in spec.initial:
            metric.labels(**labels)
        self.specs[spec.name] = spec
        self._held[spec.name] = metric

    def _labelled(self, name: str, labels: Mapping[str, str]) -> Any:
        key = (name, *labels, *labels.values())
        child = self._children.get(key)
        if child is None:
            held = self._held.get(name)
            if held is None:
                raise KeyError(f"metric {name} is not declared; add it to the service's metrics.py")
            child = self._children[key] = held.labels(**labels) if labels else held
        return child

    def inc(self, name: str, amount: float = 1, **labels: str) -> None:
        self._labelled(name, labels).inc(amount)

    def set(self, name: str, value: float, **labels: str) -> None:
        self._labelled(name, labels).set(value)

    def observe(self, name: str, value: float, **labels: str) -> None:
        self._labelled(name, labels).observe(value)

    def value(self, name: str, **labels: str) -> float:
        """The current value of a counter or gauge; for tests and health."""
        spec = self.specs[name]
        sample = name if spec.kind == "gauge" else name.removesuffix("_total") + "_total"
        return self.registry.get_sample_value(sample, dict(labels)) or 0.0

    def exposition(self) -> bytes:
        """The text format Prometheus scrapes."""
        return generate_latest(self.registry)
