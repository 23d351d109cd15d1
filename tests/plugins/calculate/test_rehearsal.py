"""A rehearsal reads the cases, calculates nothing, and says so."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from spark_impex_runner.engine.simulate import Simulation
from spark_impex_runner.masking import Masker
from spark_impex_runner.models import RunOptions
from spark_impex_runner.report import rehearsal
from tests.conftest import EXAMPLES

if TYPE_CHECKING:
    from pathlib import Path

    from spark_impex_runner.report.rehearsal import Rehearsal

WHY = "a rehearsal starts no program, and a module has a process of its own"


def rehearse(folder: Path, clock: Any, cases: str) -> Rehearsal:
    """Rehearse the promotion that is calculated, with these cases."""
    shutil.copy(EXAMPLES / "calculated-promotion.yaml", folder)
    (folder / "cases").mkdir()
    (folder / "cases/pricing.csv").write_text(cases)
    path = folder / "calculated-promotion.yaml"
    return Simulation.of(path, RunOptions(), Masker(), clock).run()


def test_rehearsal_says_that_nothing_is_calculated(tmp_path: Path, clock: Any) -> None:
    """In the step's own line, in what a held import shows, and in what is not rehearsed."""
    found = rehearse(tmp_path, clock, "vehicle_value,driver_factor\n1,2\n3,4\n")

    [_, release] = found.targets
    lines = {uses: message for uses, _, message in release.steps}
    assert release.verdict == "would succeed"
    assert lines["calculate"] == f"not calculated: {WHY}; 2 cases read"
    assert lines["calculate_remote"] == f"not calculated: {WHY}; 2 cases read"
    assert found.refused == ()
    left_out = f"the calculation, since {WHY}"
    assert ("target release, step calculate", left_out) in found.replaced
    assert f"calculate: not calculated: {WHY}; 2 cases read" in rehearsal.render(found)


def test_unreadable_cases_fail_in_a_rehearsal(tmp_path: Path, clock: Any) -> None:
    """Before a run exports anything for them."""
    found = rehearse(tmp_path, clock, "vehicle_value,vehicle_value\n1,2\n")

    assert "vehicle_value is given twice" in found.targets[1].error
    assert found.exit_code


def test_results_of_a_rehearsal_hold_no_number(tmp_path: Path, clock: Any) -> None:
    """Later steps find the file that they need."""
    manifest = """
version: 1
connections: {here: {sandbox: tenant}}
targets:
  - name: motor
    services: [motor/pricing]
    steps:
      - {uses: calculate, with: {results: results.jsonl}}
      - {uses: upload, with: {to: "s3://bucket/motor"}}
"""
    shutil.copytree(EXAMPLES / "tenant/motor", tmp_path / "tenant/motor")
    (tmp_path / "release.yaml").write_text(manifest)

    found = Simulation.of(tmp_path / "release.yaml", RunOptions(), Masker(), clock).run()

    [motor] = found.targets
    assert motor.error == ""
    assert motor.steps[0][2] == f"not calculated: {WHY}"
    assert "3 files" in motor.steps[1][2]  # the package, the results and the receipt
