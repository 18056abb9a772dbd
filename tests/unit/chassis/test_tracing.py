# SPDX-License-Identifier: Apache-2.0
import sys

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from wasl_chassis.settings import SettingsError
from wasl_chassis.tracing import NoTracer, OtelTracer

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_batch_is_one_span_linked_to_its_events() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = OtelTracer("triage", provider)
    with tracer.batch("triage", [PARENT, PARENT, None, "not a traceparent"]):
        pass
    (span,) = exporter.get_finished_spans()
    assert span.name == "process triage"
    assert [format(link.context.trace_id, "032x") for link in span.links] == [PARENT.split("-")[1]]
    assert span.attributes["messaging.batch.message_count"] == 4


def test_off_by_default_it_needs_nothing() -> None:
    with NoTracer().batch("triage", [PARENT]):
        pass


def test_without_the_extra_it_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(SettingsError, match=r"wasl-chassis\[tracing\]"):
        OtelTracer("triage")
