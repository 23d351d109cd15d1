"""The phases of a target: where its time went, in its result, the report and the receipt."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from spark_impex_runner.models import PhaseTime, TargetResult

SLOW_STEP = """
from spark_impex_runner import StepOutput, hookimpl

@hookimpl
def impex_register(registry):
    registry.step("rest", "Waits for two seconds.")

@hookimpl
def impex_run_step(job, step):
    if step.uses == "rest":
        job.wait(2)
        return StepOutput()
"""
EXPORT = ["queued", "creating", "running", "downloading"]


def seconds(phases: tuple[PhaseTime, ...]) -> list[tuple[str, float]]:
    """Return name and length of each phase."""
    return [(each.name, (each.finished - each.started).total_seconds()) for each in phases]


def test_each_phase_has_its_time(
    run: Any, serve: Callable[..., Any], only: Callable[..., TargetResult]
) -> None:
    """The phases follow one another; the steps are one phase, and each step has its own start."""
    plugin = run.folder / "rest.py"
    plugin.write_text(SLOW_STEP)
    steps = "steps: [{uses: rest}, {uses: rest}], polling: {strategy: fixed}, retry_interval: 3"

    result = only(
        run(serve(job_seconds=6), f"- {{name: a, folders: [life], {steps}}}", plugin_files=[plugin])
    )

    phases = result.phases
    assert seconds(phases) == [
        ("queued", 0),
        ("creating", 0),
        ("running", 6),
        ("downloading", 0),
        ("steps", 4),
    ]
    assert all(a.finished <= b.started for a, b in pairwise(phases))
    assert [each.job_id for each in phases] == ["", *[result.job_id] * 4]
    first, second = (each.started for each in result.steps)
    assert first == phases[-1].started
    assert (second - first).total_seconds() == 2


def test_a_target_queues_for_its_slot(run: Any, serve: Callable[..., Any]) -> None:
    """The second target of a tenant with one slot is queued while the first one's job runs."""
    keys = "folders: [life], polling: {strategy: fixed}, retry_interval: 3"

    result = run(serve(job_seconds=6), f"- {{name: a, {keys}}}\n- {{name: b, {keys}}}")

    queued = sorted(dict(seconds(each.phases))["queued"] for each in result.results)
    assert queued == [0, 6]


def test_a_failed_target_has_its_phases(
    run: Any, serve: Callable[..., Any], only: Callable[..., TargetResult]
) -> None:
    """The last phase of a target that failed is the one in which it failed."""
    result = only(run(serve(ending="failed"), "- {name: a, folders: [life]}"))

    assert result.error
    assert [each.name for each in result.phases] == EXPORT[:3]


def test_report_and_receipt_have_the_phases(
    run: Any, serve: Callable[..., Any], only: Callable[..., TargetResult]
) -> None:
    """The report and the receipt show name, job, times and length of each phase."""
    report = run.folder / "report.json"

    keys = "polling: {strategy: fixed}, retry_interval: 3"

    result = only(
        run(
            serve(job_seconds=3),
            f"- {{name: a, folders: [life], {keys}}}",
            reports={"json": report},
        )
    )

    written = json.loads(report.read_text())["targets"][0]["phases"]
    receipt = json.loads((result.target.output / "impex-receipt.json").read_text())
    assert written == receipt["phases"]
    assert [each["name"] for each in written] == EXPORT
    assert written[2] == {
        "name": "running",
        "job_id": result.job_id,
        "started": "2026-01-02T12:00:00.000Z",
        "finished": "2026-01-02T12:00:03.000Z",
        "seconds": 3,
    }
