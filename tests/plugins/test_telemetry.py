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
    """The file and the trace of a run have its phases, in their order, and its step."""
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
    traces, _ = requests_of(receiver)
    spans = [each for r in traces.resource_spans for s in r.scope_spans for each in s.spans]
    names = [each.name for each in sorted(spans, key=lambda each: each.start_time_unix_nano)]
    assert {"run m", "target a", "running", "downloading", "steps", "step checksum"} <= set(names)
    assert all(each.status.code == 1 for each in spans)
