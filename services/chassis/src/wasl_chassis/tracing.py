# SPDX-License-Identifier: Apache-2.0
"""W3C trace context through the events. OpenTelemetry is an extra, off by default.

With tracing off the context of the causing event is passed on unchanged. With it on, one consumer
span per batch links to the spans that produced its events (messaging semantic conventions:
``process``).
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

from wasl_chassis.settings import SettingsError


class Tracer(Protocol):
    def batch(self, consumer: str, parents: Sequence[str | None]) -> AbstractContextManager[None]:
        """A span around the handling of one batch; ``parents``: traceparent of each event."""


class NoTracer:
    def batch(self, consumer: str, parents: Sequence[str | None]) -> AbstractContextManager[None]:  # noqa: ARG002
        return nullcontext()


class OtelTracer:
    """Spans through whatever provider the process has configured (``OTEL_*``)."""

    def __init__(self, service: str, provider: Any = None) -> None:
        try:
            from opentelemetry import trace  # noqa: PLC0415  an extra
            from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
                TraceContextTextMapPropagator,
            )
        except ImportError as error:
            raise SettingsError(
                "WASL_TRACING is on, OpenTelemetry is not installed: install wasl-chassis[tracing]"
            ) from error
        self._trace = trace
        self._propagator = TraceContextTextMapPropagator()
        self._tracer = (provider or trace.get_tracer_provider()).get_tracer(f"wasl.{service}")

    @contextmanager
    def batch(self, consumer: str, parents: Sequence[str | None]) -> Iterator[None]:
        links = []
        for parent in dict.fromkeys(p for p in parents if p):
            context = self._propagator.extract({"traceparent": parent})
            span = self._trace.get_current_span(context).get_span_context()
            if span.is_valid:
                links.append(self._trace.Link(span))
        with self._tracer.start_as_current_span(
            f"process {consumer}",
            kind=self._trace.SpanKind.CONSUMER,
            links=links[:128],
            attributes={
                "messaging.system": "kafka",
                "messaging.consumer.group.name": f"wasl.{consumer}",
                "messaging.batch.message_count": len(parents),
            },
        ):
            yield
