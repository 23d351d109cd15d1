"""What was tested is what computes on the tenant; and a promotion shows it from end to end."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner import Spark, errors
from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.models import Outcome, RunOptions
from spark_impex_runner.report import receipt
from spark_impex_runner.sandbox.faults import parse_fault
from spark_impex_runner.sandbox.server import Sandbox, Settings
from tests.conftest import EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spark_impex_runner.models import RunResult

CASES = "vehicle_value,driver_factor,expected.premium\n20000,1,645\n20000,2,1885\n30000,1,955\n"
PRICING = EXAMPLES / "tenant" / "motor" / "pricing"
STEP = "- {uses: calculate_remote, with: {to: prod, cases: cases.csv%s}}"
RELEASE = """
      - {uses: package_check, with: {self_test: required}}
      - {uses: calculate, with: {cases: cases.csv}}
      - uses: import
        with: {to: prod, if_present: add_version, gate: manual, interval: 10ms}
      - {uses: calculate_remote, with: {to: prod, cases: cases.csv}}
"""
LOG = {
    "Errors": [],
    "CompilerVersion": "1.22.3",
    "SelfTestCellMatches": 1,
    "SelfTestCellsInspected": 1,
}


class Tenants:
    """Two tenants that are served from folders of the test, and runs of a manifest on them."""

    def __init__(self, folder: Path, clock: Any) -> None:
        self.folder, self.clock = folder, clock
        for name in ("sit", "prod"):
            shutil.copytree(
                EXAMPLES / "tenant" / "motor" / "pricing", folder / name / "motor/pricing"
            )
        shutil.rmtree(folder / "prod/motor/pricing/1.4.2")
        log = folder / "sit/motor/pricing/1.4.2/CompilerLog.json"
        log.write_text(json.dumps(LOG))
        (folder / "cases.csv").write_text(CASES)

    @contextmanager
    def served(self, *faults: str) -> Iterator[Sandbox]:
        """Serve both tenants; yield PROD."""
        settings = Settings(faults=tuple(map(parse_fault, faults)), job_seconds=0)
        with (
            Sandbox(self.folder / "sit", Settings(job_seconds=0)) as sit,
            Sandbox(self.folder / "prod", settings) as prod,
        ):
            self.connections = {
                name: {"base_url": each.base_url, "auth": {"token": f"${{var:{name}}}"}}
                for name, each in (("sit", sit), ("prod", prod))
            }
            self.tokens = {"sit": sit.token, "prod": prod.token}
            yield prod

    def run(self, steps: str, **options: Any) -> RunResult:
        """Run a manifest that exports the release and then does these steps."""
        connections = {
            name: {**each, "auth": {"token": f"${{file:{name}.token}}"}}
            for name, each in self.connections.items()
        }
        for name, token in self.tokens.items():
            (self.folder / f"{name}.token").write_text(token)
        text = (
            f"version: 1\nconnections: {json.dumps(connections)}\ntargets:\n"
            "  - name: motor\n    connection: sit\n    services: ['motor/pricing[1.4.2]']\n"
            f"    steps:\n      {steps.strip()}\n"
        )
        (self.folder / "release.yaml").write_text(text)
        path = self.folder / "release.yaml"
        return run_manifest(path, RunOptions(**options), clock=self.clock)


@pytest.fixture
def tenants(tmp_path: Path, clock: Any) -> Tenants:
    """Return SIT with two versions of a service, and PROD with the old one."""
    return Tenants(tmp_path, clock)


def test_same_module_computes_the_same(tenants: Tenants) -> None:
    """Each case is one labelled call; the line has what the result holds for."""
    shutil.copytree(
        tenants.folder / "sit/motor/pricing/1.4.2", tenants.folder / "prod/motor/pricing/1.4.2"
    )

    with tenants.served() as prod:
        [result] = tenants.run(STEP % ", most: 2").results
        calls = [json.loads(each.body) for each in prod.requests if "/execute" in each.path]

    assert result.outcome is Outcome.SUCCEEDED, result.error
    assert result.steps[0].message.startswith(
        "prod computes as motor/pricing[1.4.2] does: 2 of 3 cases executed (cases sha256 "
    )
    assert [each["request_data"]["inputs"]["driver_factor"] for each in calls] == [1, 2]
    assert calls[0]["request_meta"]["call_purpose"] == "Comparison after import"
    assert calls[0]["request_meta"]["correlation_id"]


def test_other_module_is_noticed(tenants: Tenants) -> None:
    """PROD has only the old version: one case of three differs."""
    with tenants.served():
        [result] = tenants.run(STEP % "").results

    assert result.outcome is Outcome.FAILED
    assert (
        "prod: 1 of 3 executed cases differ from motor/pricing[1.4.2]: case 2: premium: expected "
        "1885.0, got 1823.0 (-62, -3.29 %)"
    ) in result.error


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        (", version: 9.9.9", "HTTP 404 SERVICE_NOT_FOUND"),
        (", target: uk/pricing", "HTTP 404 SERVICE_NOT_FOUND"),
        (", outputs: {rate: {decimals: 2}}", "the service has no output rate"),
    ],
)
def test_unknown_names_fail(option: str, reason: str, tenants: Tenants) -> None:
    """With the tenant's own words, or before any call."""
    with tenants.served():
        [result] = tenants.run(STEP % option).results

    assert result.outcome is Outcome.FAILED
    assert reason in result.error


def test_transient_fault_is_retried(tenants: Tenants) -> None:
    """Calculating again changes nothing."""
    with tenants.served("execute@1=503") as prod:
        [result] = tenants.run(STEP % ", most: 1, tolerance: {relative: 0.1}").results
        hits = sum(prod.faults.hits.values())

    assert result.outcome is Outcome.SUCCEEDED, result.error
    assert hits == 1


def test_promotion_is_calculated_before_and_after(tenants: Tenants) -> None:
    """Export, self-test, golden cases, hold, approval, import, and the same results on PROD."""
    with tenants.served():
        held = tenants.run(RELEASE)
        [approved] = tenants.run(RELEASE, approved=("prod",)).results

    [first] = held.results
    assert first.outcome is Outcome.HELD
    assert approved.outcome is Outcome.SUCCEEDED, approved.error
    steps = {each.uses: each.message for each in approved.steps}
    assert list(steps) == ["package_check", "calculate", "import", "calculate_remote"]
    assert "self-test 1 of 1 outputs" in steps["package_check"]
    assert "3 of 3 cases agreed" in steps["calculate"]
    assert "prod computes as motor/pricing[1.4.2] does: 3 of 3" in steps["calculate_remote"]
    written = {
        each["uses"]: each["message"] for each in receipt.read(approved.target.output)["steps"]
    }
    assert written == steps


def test_sandbox_executes_the_documented_call() -> None:
    """The latest version, or the one that the call names; a stand-in is refused."""
    with (
        Sandbox(EXAMPLES / "tenant") as served,
        Spark(base_url=served.base_url, token=served.token) as spark,
    ):
        inputs = {"vehicle_value": 20000, "driver_factor": 2}

        assert spark.execute("motor", "pricing", inputs, {}) == {"outputs": {"premium": 1885.0}}
        old = spark.execute("motor", "pricing", inputs, {"version": "1.4.1"})
        assert old == {"outputs": {"premium": 1823.0}}
        [warning] = spark.execute("motor", "pricing", {"vehicle_value": 1}, {})["warnings"]
        assert "'driver_factor'" in warning["message"]
        with pytest.raises(errors.SparkApiError, match="NOT_EXECUTABLE"):
            spark.execute("life", "term", {}, {})
