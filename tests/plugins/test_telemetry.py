"""``prometheus``, ``pushgateway`` and ``otel``: read by the official parsers of both formats."""

from __future__ import annotations

import base64
import importlib
import re
import sys
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.errors import NotifyError
from spark_impex_runner.models import (
    Artifact,
    HttpCall,
    Manifest,
    Outcome,
    PhaseTime,
    RunResult,
    StepResult,
    Target,
    TargetResult,
)

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

NOON = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
ODD = 'a "quoted"\\\nname'


def plugin(name: str) -> ModuleType:
    """Return a module of the plugin."""
    return importlib.import_module(f"spark_impex_runner.plugins.telemetry.{name}")


def at(seconds: float) -> datetime:
    """Return a time after noon."""
    return NOON + timedelta(seconds=seconds)


@pytest.fixture
def report(tmp_path: Path) -> RunResult:
    """Return a run of two targets, one of which failed in its step."""

    def target(name: str, outcome: Outcome, **more: Any) -> TargetResult:
        where = Target(name, "sit", tmp_path)
        return TargetResult(where, outcome, at(1), at(8), job_id="j1", **more)

    phases = (
        PhaseTime("running", at(1), at(3), "j1"),
        PhaseTime("running", at(3), at(3.5), "j2"),
        PhaseTime("steps", at(4), at(8), "j1"),
    )
    package = Artifact(tmp_path / "p.zip", "p.zip", 512)
    made = Artifact(tmp_path / "SUMS", "SUMS", 64, made_by="checksum")
    results = (
        target("motor", Outcome.SUCCEEDED, artifacts=(package, made)),
        target(
            "life",
            Outcome.FAILED,
            error="step unzip failed",
            exit_code=4,
            phases=phases,
            steps=(
                StepResult("checksum", "succeeded", 0.5),
                StepResult("unzip", "failed", 3.5, "broken", started=at(4)),
            ),
        ),
    )
    manifest = Manifest(tmp_path / "release.yaml", "release", {}, ())
    return RunResult("r1", manifest, NOON, at(9), results, "0.1")


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Return the values of an exposition by name and label values, by the official parser."""
    parser = pytest.importorskip("prometheus_client.parser")
    families = list(parser.text_string_to_metric_families(text))
    assert all(each.type == "gauge" and each.documentation for each in families)
    return {
        (each.name, *each.labels.values()): each.value
        for family in families
        for each in family.samples
    }


def test_official_parser_reads_figures(report: RunResult) -> None:
    """Each sample has the manifest, and the target with phase or step; phases are added up."""
    found = samples("".join(plugin("prometheus").lines(report)))

    assert found["impex_run_exit_code", "release"] == 3
    assert found["impex_run_duration_seconds", "release"] == 9
    assert found["impex_run_finished_timestamp_seconds", "release"] == at(9).timestamp()
    assert found["impex_targets", "release", "succeeded"] == 1
    assert found["impex_targets", "release", "held"] == 0
    assert found["impex_target_good", "release", "motor"] == 1
    assert found["impex_target_good", "release", "life"] == 0
    assert found["impex_target_duration_seconds", "release", "life"] == 7
    assert found["impex_target_phase_duration_seconds", "release", "life", "running"] == 2.5
    assert found["impex_target_step_duration_seconds", "release", "life", "2", "unzip"] == 3.5
    assert found["impex_target_packages_size_bytes", "release", "motor"] == 512


def test_any_name_is_escaped(report: RunResult) -> None:
    """Quotes, backslashes and line ends come back as they were."""
    odd = replace(report, manifest=replace(report.manifest, name=ODD))

    assert ("impex_run_exit_code", ODD) in samples("".join(plugin("prometheus").lines(odd)))


def test_refused_run_has_figures(report: RunResult) -> None:
    """No target, and the exit code of what kept it from beginning."""
    refused = replace(report, results=(), refusal="no such file", refused_with=2)

    found = samples("".join(plugin("prometheus").lines(refused)))

    assert found["impex_run_exit_code", "release"] == 2
    assert {name.split("_")[1] for name, *_ in found} == {"run", "targets"}


def test_pushed_group_is_replaced(report: RunResult, receiver: Any) -> None:
    """PUT replaces what the manifest's run before has pushed; the body is that of the file."""
    options = {"url": f"{receiver.url}/", "headers": {"X-Key": "sesame"}}

    plugin("pushgateway").send(options, report)

    [sent] = receiver.received
    *head, job, _, manifest = sent.path.split("/")
    assert (sent.method, head) == ("PUT", ["", "metrics", "job@base64"])
    assert [base64.urlsafe_b64decode(each) for each in (job, manifest)] == [b"impex", b"release"]
    assert sent.headers["x-key"] == "sesame"
    assert sent.body.decode() == "".join(plugin("prometheus").lines(report))


def test_refused_push_is_one_line(report: RunResult, receiver: Any) -> None:
    """With where and what to check."""
    receiver.replies.append((400, {}))

    with pytest.raises(NotifyError, match=r"^PUT http://\S+: HTTP 400; check url and headers$"):
        plugin("pushgateway").send({"url": receiver.url}, report)


@pytest.mark.parametrize(("name", "key"), [("pushgateway", "url"), ("otel", "endpoint")])
def test_headers_of_figures_need_https(report: RunResult, name: str, key: str) -> None:
    """To this machine they may go in the clear; to any other, nothing is sent."""
    options = {key: "http://gateway.invalid:9091", "headers": {"X-Key": "sesame"}}

    with pytest.raises(NotifyError, match=r"^headers hold secrets, but the address is not https"):
        plugin(name).send(options, report)


@pytest.fixture
def otel() -> ModuleType:
    """Return the module of the notifier ``otel``, where its extra is installed."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    return plugin("otel")


def requests_of(receiver: Any) -> tuple[Any, Any]:
    """Return what an OTLP receiver was sent, by the official protobuf classes."""
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2  # noqa: PLC0415
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2  # noqa: PLC0415

    traces, metrics = receiver.received
    assert (traces.path, metrics.path) == ("/v1/traces", "/v1/metrics")
    return (
        trace_service_pb2.ExportTraceServiceRequest.FromString(traces.body),
        metrics_service_pb2.ExportMetricsServiceRequest.FromString(metrics.body),
    )


def attributes(span: Any) -> dict[str, Any]:
    """Return the attributes of a span."""
    return {
        each.key: getattr(each.value, str(each.value.WhichOneof("value")))
        for each in span.attributes
    }


def test_trace_has_run_targets_phases_and_steps(
    otel: ModuleType, report: RunResult, receiver: Any
) -> None:
    """One trace with the times of the run; what failed has its error."""
    otel.send({"endpoint": f"{receiver.url}/", "headers": {"X-Key": "sesame"}}, report)

    traces, metrics = requests_of(receiver)
    [resource] = traces.resource_spans
    [scope] = resource.scope_spans
    spans, names = list(scope.spans), {each.span_id: each.name for each in scope.spans}
    assert {each.key: each.value.string_value for each in resource.resource.attributes}[
        "service.name"
    ] == "spark-impex-runner"
    assert len({each.trace_id for each in spans}) == 1
    assert sorted((each.name, names.get(each.parent_span_id)) for each in spans) == [
        ("run release", None),
        ("running", "target life"),
        ("running", "target life"),
        ("step unzip", "steps"),
        ("steps", "target life"),
        ("target life", "run release"),
        ("target motor", "run release"),
    ]
    [run] = [each for each in spans if each.name == "run release"]
    assert (run.start_time_unix_nano, run.end_time_unix_nano) == (
        int(NOON.timestamp()) * 10**9,
        int(at(9).timestamp()) * 10**9,
    )
    errors = {each.name: each.status.message for each in spans if each.status.code == 2}
    assert errors == {"target life": "step unzip failed", "step unzip": "broken"}
    [measured] = [scope for each in metrics.resource_metrics for scope in each.scope_metrics]
    points = {each.name: each.gauge.data_points for each in measured.metrics}
    assert [point.as_double for point in points["impex.run.duration"]] == [9]
    assert len(points["impex.targets"]) == len(Outcome)
    assert all(each.headers["x-key"] == "sesame" for each in receiver.received)


def received_spans(receiver: Any) -> dict[str, Any]:
    """Return the spans of all requests by their names."""
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2  # noqa: PLC0415

    decode = trace_service_pb2.ExportTraceServiceRequest.FromString
    sent = [decode(each.body) for each in receiver.received if each.path == "/v1/traces"]
    resources = [each for request in sent for each in request.resource_spans]
    scopes = [scope for each in resources for scope in each.scope_spans]
    return {each.name: each for scope in scopes for each in scope.spans}


def test_calls_are_client_spans(otel: ModuleType, report: RunResult, receiver: Any) -> None:
    """In the step, phase, target or run that they began in, by the conventions for HTTP."""
    api = "https://excel.sit.coherent.global/acme/api/v4/export"
    motor, life = report.results
    life = replace(
        life,
        http_calls=(
            HttpCall("PATCH", f"{api}/j1", at(0.5), 0.1, 200),
            HttpCall("GET", f"{api}/j1/status", at(3), 0.1, 503),
            HttpCall("GET", "http://[::1]:8080", at(3.75), 0.5, 200, "the connection failed"),
            HttpCall("PUT", "https://runner.acme.internal", at(7), 0.25, 0, "no answer"),
        ),
        http_calls_omitted=2,
    )
    listing = HttpCall("POST", f"{api[:38]}/api/v3/services/search", at(0), 0.25, 200)
    report = replace(report, results=(motor, life), http_calls=(listing,))

    otel.send({"endpoint": receiver.url}, report)

    spans = received_spans(receiver)
    names = {each.span_id: each.name for each in spans.values()}
    calls = [each for each in spans.values() if each.kind == 3]
    search, cancel = "POST /{tenant}/api/v3/services/search", "PATCH /{tenant}/api/v4/export/{id}"
    assert {each.name: names[each.parent_span_id] for each in calls} == {
        search: "run release",
        cancel: "target life",
        "GET /{tenant}/api/v4/export/{id}/status": "running",
        "GET": "target life",
        "PUT": "step unzip",
    }
    assert spans["target life"].start_time_unix_nano == spans[cancel].start_time_unix_nano
    status = spans["GET /{tenant}/api/v4/export/{id}/status"]
    assert attributes(status) == {
        "http.request.method": "GET",
        "server.address": "excel.sit.coherent.global",
        "server.port": 443,
        "url.full": f"{api}/j1/status",
        "url.path": "/acme/api/v4/export/j1/status",
        "url.template": "/{tenant}/api/v4/export/{id}/status",
        "http.response.status_code": 503,
        "error.type": "503",
    }
    assert (status.status.code, status.status.message) == (2, "")
    assert status.end_time_unix_nano - status.start_time_unix_nano == 10**8
    assert attributes(spans["GET"]) == {
        "http.request.method": "GET",
        "server.address": "::1",
        "server.port": 8080,
        "http.response.status_code": 200,
        "error.type": "_OTHER",
    }
    assert (spans["PUT"].status.code, spans["PUT"].status.message) == (2, "no answer")
    assert spans[search].status.code == 0
    assert attributes(spans["target life"])["impex.http_calls_omitted"] == 2


def test_large_trace_is_sent_in_parts(
    otel: ModuleType, report: RunResult, receiver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Collectors refuse large requests."""
    monkeypatch.setattr(otel, "_BATCH", 3)

    otel.send({"endpoint": receiver.url}, report)

    assert [each.path for each in receiver.received] == [*["/v1/traces"] * 3, "/v1/metrics"]
    spans = received_spans(receiver).values()
    assert len({each.trace_id for each in spans}) == 1
    assert {each.name for each in spans} >= {"run release", "target life", "step unzip"}


@pytest.mark.parametrize(("replies", "kind"), [([400], "traces"), ([200, 403], "metrics")])
def test_refusing_collector_is_one_line(
    otel: ModuleType,
    report: RunResult,
    receiver: Any,
    replies: list[int],
    kind: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The SDK's own words are in it, not beside it."""
    receiver.replies += [(status, {}) for status in replies]

    with pytest.raises(NotifyError) as caught:
        otel.send({"endpoint": receiver.url}, report)

    text = str(caught.value)
    assert re.fullmatch(
        rf"the collector did not take the {kind}: .*{replies[-1]}.*; check endpoint and headers",
        text,
    )
    assert "opentelemetry" not in {each.name.partition(".")[0] for each in caplog.records}


def test_missing_sdk_names_extra(monkeypatch: pytest.MonkeyPatch, report: RunResult) -> None:
    """Before the run, and instead of sending."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http", None)

    assert plugin("otel").lacks().endswith("pip install 'spark-impex-runner[otel]'")
    with pytest.raises(NotifyError, match="OpenTelemetry is not installed"):
        plugin("otel").send({}, report)


def test_real_run_is_observed(
    otel: ModuleType, tmp_path: Path, examples: Path, receiver: Any, clock: Any
) -> None:
    """The file and the trace of a run have its phases, its step and its HTTP calls."""
    assert otel
    (tmp_path / "m.yaml").write_text(
        f"version: 1\nconnections: {{demo: {{sandbox: '{examples / 'tenant'}'}}}}\n"
        "targets: [{name: a, folders: [life], steps: [{uses: checksum}]}]\n"
        "report: {prometheus: out/impex.prom}\n"
        f"notify: [{{uses: otel, on: [always], with: {{endpoint: '{receiver.url}'}}}}]\n"
    )

    result = run_manifest(tmp_path / "m.yaml", clock=clock)

    assert result.exit_code == 0
    found = samples((tmp_path / "out/impex.prom").read_text())
    assert found["impex_target_good", "m", "a"] == 1
    spans = received_spans(receiver)
    ours = {"run m", "target a", "running", "downloading", "steps", "step checksum"}
    assert ours <= spans.keys()
    assert {spans[each].status.code for each in ours} == {1}
    assert {name for name, each in spans.items() if each.kind == 3} == {
        "GET /{tenant}/api/v4/export/status",
        "POST /{tenant}/api/v4/export",
        "GET /{tenant}/api/v4/export/{id}/status",
        "GET",  # the package
    }
