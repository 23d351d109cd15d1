"""The trace of a finished run: spans of the run, its targets, phases, steps and HTTP calls."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from urllib.parse import SplitResult

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import Span, Tracer

    from spark_impex_runner import models

# The fixed parts of the API's paths. Names of spans have a placeholder for any other, such as a
# job's id: back ends group by these names.
_FIXED: Final = frozenset(
    (
        *("api", "v1", "v3", "v4", "auth", "realms", "protocol", "openid-connect", "token"),
        *("export", "import", "status", "product", "list", "transform", "folders", "services"),
        *("search", "execute", "exists", "engines", "get", "getversions", "isproductexists"),
    )
)


def spans(report: models.RunResult, name: str, resource: Resource) -> list[ReadableSpan]:
    """Return the spans of a run, that of the run last; ``name`` is their instrumentation's."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    _Trace(provider.get_tracer(name, report.runner_version)).add_run(report)
    return list(memory.get_finished_spans())


class _Period(NamedTuple):
    """A phase or a step, to which HTTP calls may belong; times are in nanoseconds."""

    span: Span
    began: int
    ended: int


@dataclass(frozen=True)
class _Trace:
    """Adds spans, whose times have passed, to one trace."""

    tracer: Tracer

    def add_run(self, report: models.RunResult) -> None:
        """Add the span of a run, and all below it."""
        attributes = {
            "impex.run_id": report.run_id,
            "impex.manifest": report.manifest.name,
            "impex.exit_code": str(report.exit_code),
            "impex.http_calls_omitted": report.http_calls_omitted,
        }
        span = self._start(f"run {report.manifest.name}", report.started, None, attributes)
        for call in report.http_calls:
            self._add_call(call, span)
        for each in report.results:
            self._add_target(each, span)
        _end(span, report.finished, report.refusal or next(iter(report.problems), ""))

    def _add_target(self, result: models.TargetResult, parent: Span) -> None:
        attributes = {
            "impex.target": result.target.name,
            "impex.outcome": result.outcome.value,
            "impex.tenant": result.tenant,
            "impex.job_id": result.job_id,
            "impex.http_calls_omitted": result.http_calls_omitted,
        }
        # A target is queued before work on it begins, and plugins may call a tenant before that.
        of_phases = (each.started for each in result.phases)
        of_calls = (each.started for each in result.http_calls)
        began = min([result.started, *of_phases, *of_calls])
        span = self._start(f"target {result.target.name}", began, parent, attributes)
        periods = [self._add_phase(each, span) for each in result.phases]
        named = zip(result.phases, periods, strict=True)
        steps = [period.span for phase, period in named if phase.name == "steps"] or [span]
        periods += [
            self._add_step(each, each.started, steps[-1])
            for each in result.steps
            if each.started  # else an earlier run completed it
        ]
        for call in result.http_calls:
            self._add_call(call, _innermost(periods, call) or span)
        _end(span, result.finished, "" if result.good else result.error or result.outcome.value)

    def _add_phase(self, phase: models.PhaseTime, parent: Span) -> _Period:
        span = self._start(phase.name, phase.started, parent, {"impex.job_id": phase.job_id})
        _end(span, phase.finished)
        return _Period(span, _nanoseconds(phase.started), _nanoseconds(phase.finished))

    def _add_step(self, step: models.StepResult, at: datetime, parent: Span) -> _Period:
        attributes = {"impex.step": step.uses, "impex.outcome": step.outcome}
        span = self._start(f"step {step.uses}", at, parent, attributes)
        failed = step.message if step.outcome in {"failed", "warned"} else ""
        span.set_status(*_status(failed))
        began = _nanoseconds(at)
        ended = began + int(step.seconds * 1e9)
        span.end(ended)
        return _Period(span, began, ended)

    def _add_call(self, call: models.HttpCall, parent: Span) -> None:
        """Add a span as the semantic conventions for HTTP clients say."""
        parts = urlsplit(call.url)
        template = _template(parts.path)
        failed = "_OTHER" if call.error else str(call.status) if call.status >= 400 else ""
        attributes = {
            "http.request.method": call.method,
            "server.address": parts.hostname or "",
            "server.port": _port(parts),
            # Without a path, which may hold a secret, there is no full URL.
            "url.full": call.url if parts.path else "",
            "url.path": parts.path,
            "url.template": template,
            "http.response.status_code": call.status,
            "error.type": failed,
        }
        name = f"{call.method} {template}".rstrip()
        span = self._start(name, call.started, parent, attributes, SpanKind.CLIENT)
        if failed:  # else the conventions leave the status unset
            span.set_status(StatusCode.ERROR, call.error or None)
        span.end(_nanoseconds(call.started) + int(call.seconds * 1e9))

    def _start(
        self,
        name: str,
        at: datetime,
        parent: Span | None,
        attributes: Mapping[str, Any],
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> Span:
        # An empty context: one of an embedding program is not that of this run.
        context = set_span_in_context(parent, Context()) if parent else Context()
        known = {key: value for key, value in attributes.items() if value}
        return self.tracer.start_span(name, context, kind, known, start_time=_nanoseconds(at))


def _innermost(periods: Sequence[_Period], call: models.HttpCall) -> Span | None:
    """Return the span of the step, else of the phase, that a call began in."""
    at = _nanoseconds(call.started)
    return next((each.span for each in reversed(periods) if each.began <= at <= each.ended), None)


def _template(path: str) -> str:
    """Return a path with a placeholder for each part that is not fixed."""
    if not path:
        return ""
    first, *others = path.strip("/").split("/")
    shown = (each if each in _FIXED else "{id}" for each in others)
    return "/".join(("", first if first in _FIXED else "{tenant}", *shown))


def _port(parts: SplitResult) -> int:
    with suppress(ValueError):  # no server has such a port
        return parts.port or (443 if parts.scheme == "https" else 80)
    return 0


def _end(span: Span, at: datetime, error: str = "") -> None:
    span.set_status(*_status(error))
    span.end(_nanoseconds(at))


def _status(error: str) -> tuple[StatusCode, str | None]:
    return (StatusCode.ERROR, error) if error else (StatusCode.OK, None)


def _nanoseconds(at: datetime) -> int:
    return round(at.timestamp() * 1e6) * 1000
