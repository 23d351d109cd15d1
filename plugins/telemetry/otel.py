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

    from opentelemetry.sdk.resources import Resource

_log = logging.getLogger(__name__)
_MISSING = "OpenTelemetry is not installed; pip install 'spark-impex-runner[otel]'"
# Seconds for each request, with what the SDK repeats after transient errors.
_TIMEOUT = 10.0
# Spans of one request, some 400 bytes each: collectors refuse requests of many megabytes.
_BATCH = 4096
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

    from .trace import spans  # noqa: PLC0415

    about = {"service.name": _NAME, "service.version": report.runner_version}
    # ``create`` adds OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME.
    resource = Resource.create(about)
    trace, metrics = spans(report, _NAME, resource), _metrics(report, resource)

    def settings(path: str) -> dict[str, Any]:
        given = {"endpoint": f"{base}{path}"} if base else {}
        return {**given, "headers": headers or None, "timeout": _TIMEOUT}

    with _captured() as problems:
        traces = OTLPSpanExporter(**settings("/v1/traces"))
        for first in range(0, len(trace), _BATCH):
            if traces.export(trace[first : first + _BATCH]).name != "SUCCESS":
                raise errors.NotifyError(_failure("traces", problems))
        measures = OTLPMetricExporter(**settings("/v1/metrics"))
        if measures.export(metrics).name != "SUCCESS":
            raise errors.NotifyError(_failure("metrics", problems))
    context = trace[-1].context
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
