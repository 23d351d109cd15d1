"""The notifier ``otel``: one trace a run, and its figures, by the OpenTelemetry SDK."""

from __future__ import annotations

import importlib
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from spark_impex_runner import errors, models

from .figures import figures
from .options import check_headers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import Span, Tracer

_log = logging.getLogger(__name__)
_MISSING = "OpenTelemetry is not installed; pip install 'spark-impex-runner[otel]'"
# Seconds for each of both requests, with what the SDK repeats after transient errors.
_TIMEOUT = 10.0
_NAME = "spark-impex-runner"


def lacks() -> str:
    """Return how to install the SDK, empty if it is installed."""
    try:
        importlib.import_module("opentelemetry.exporter.otlp.proto.http")
        importlib.import_module("opentelemetry.sdk.trace")
    except ImportError:
        return _MISSING
    return ""


def send(options: Mapping[str, Any], report: models.RunResult) -> None:
    """Send the trace, then the figures; raise ``NotifyError`` if the collector takes one of them.

    Everything is sent after the run, with the times of its phases, so a collector that is slow
    delays no target.
    """
    base, headers = options.get("endpoint", "").rstrip("/"), dict(options.get("headers", {}))
    check_headers(base, headers)
    if message := lacks():
        raise errors.NotifyError(message)
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415 - an extra
        OTLPMetricExporter,
    )
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415

    about = {"service.name": _NAME, "service.version": report.runner_version}
    # ``create`` adds OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME.
    resource = Resource.create(about)
    spans, metrics = _spans(report, resource), _metrics(report, resource)

    def settings(path: str) -> dict[str, Any]:
        given = {"endpoint": f"{base}{path}"} if base else {}
        return {**given, "headers": headers or None, "timeout": _TIMEOUT}

    with _captured() as problems:
        traces = OTLPSpanExporter(**settings("/v1/traces"))
        if traces.export(spans).name != "SUCCESS":
            raise errors.NotifyError(_failure("traces", problems))
        measures = OTLPMetricExporter(**settings("/v1/metrics"))
        if measures.export(metrics).name != "SUCCESS":
            raise errors.NotifyError(_failure("metrics", problems))
    context = spans[-1].context
    if context:
        _log.info("trace %032x", context.trace_id)


def _failure(kind: str, problems: list[str]) -> str:
    reason = f": {problems[-1]}" if problems else ""
    return f"the collector did not take the {kind}{reason}; check endpoint and headers"


@contextmanager
def _captured() -> Iterator[list[str]]:
    """Yield the warnings of the SDK, which returns no reason, instead of printing them."""
    found: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    logger, handler = logging.getLogger("opentelemetry"), Handler(logging.WARNING)
    propagates, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield found
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates


def _spans(report: models.RunResult, resource: Resource) -> list[ReadableSpan]:
    """Return the spans of a run: the run itself, its targets, their phases and steps."""
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import (  # noqa: PLC0415
        InMemorySpanExporter,
    )
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON  # noqa: PLC0415

    memory = InMemorySpanExporter()
    provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer(_NAME, report.runner_version)
    attributes = {"impex.run_id": report.run_id, "impex.manifest": report.manifest.name}
    attributes["impex.exit_code"] = str(report.exit_code)
    span = _start(tracer, f"run {report.manifest.name}", report.started, None, attributes)
    for each in report.results:
        _add_target(tracer, each, span)
    _end(span, report.finished, report.refusal or next(iter(report.problems), ""))
    return list(memory.get_finished_spans())


def _add_target(tracer: Tracer, result: models.TargetResult, parent: Span) -> None:
    attributes = {
        "impex.target": result.target.name,
        "impex.outcome": result.outcome.value,
        "impex.tenant": result.tenant,
        "impex.job_id": result.job_id,
    }
    # A target is queued before work on it begins.
    began = min([result.started, *(each.started for each in result.phases)])
    span = _start(tracer, f"target {result.target.name}", began, parent, attributes)
    steps = span
    for each in result.phases:
        phase = _start(tracer, each.name, each.started, span, {"impex.job_id": each.job_id})
        _end(phase, each.finished)
        if each.name == "steps":
            steps = phase
    for step in result.steps:
        if step.started is None:  # an earlier run completed it
            continue
        about = {"impex.step": step.uses, "impex.outcome": step.outcome}
        child = _start(tracer, f"step {step.uses}", step.started, steps, about)
        failed = step.message if step.outcome in {"failed", "warned"} else ""
        child.set_status(*_status(failed))
        child.end(_nanoseconds(step.started) + int(step.seconds * 1e9))
    _end(span, result.finished, "" if result.good else result.error or result.outcome.value)


def _start(
    tracer: Tracer, name: str, at: datetime, parent: Span | None, attributes: Mapping[str, str]
) -> Span:
    from opentelemetry.context import Context  # noqa: PLC0415
    from opentelemetry.trace import set_span_in_context  # noqa: PLC0415

    # An empty context: one of an embedding program is not that of this run.
    context = set_span_in_context(parent, Context()) if parent else Context()
    known = {key: value for key, value in attributes.items() if value}
    return tracer.start_span(name, context, attributes=known, start_time=_nanoseconds(at))


def _end(span: Span, at: datetime, error: str = "") -> None:
    span.set_status(*_status(error))
    span.end(_nanoseconds(at))


def _status(error: str) -> tuple[Any, str | None]:
    from opentelemetry.trace import StatusCode  # noqa: PLC0415

    return (StatusCode.ERROR, error) if error else (StatusCode.OK, None)


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * 1e6) * 1000


def _metrics(report: models.RunResult, resource: Resource) -> Any:
    """Return the figures as metrics of the SDK."""
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader  # noqa: PLC0415

    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
    meter = provider.get_meter(_NAME, report.runner_version)
    for each in figures(report):
        gauge = meter.create_gauge(each.name, unit=each.unit, description=each.summary)
        for labels, value in each.values:
            gauge.set(value, labels)
    return reader.get_metrics_data()
