"""The events of a target: what is retried says when, how the target ended says where time went."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

FLAKY_STEP = """
from spark_impex_runner import StepOutput, errors, hookimpl

calls = []

@hookimpl
def impex_register(registry):
    registry.step("flaky", "Fails once.")

@hookimpl
def impex_run_step(step):
    if step.uses == "flaky":
        calls.append(step)
        if len(calls) == 1:
            raise errors.StepError("not yet")
        return StepOutput()
"""
ANNOUNCED = r"retrying (in [\d.]+ s|now) \(attempt {}( of \d+|, until \d\d:\d\dZ)\)"


@pytest.mark.parametrize(
    ("fault", "event", "attempt"),
    [
        ("create@1=busy", "job.waiting", 2),
        ("create@1=503", "job.create_failed", 2),
        ("status@1=503", "job.look_failed", 2),
        ("download@1=403", "package.link_expired", 2),
        ("download@1=corrupt", "package.refused", 2),
        ("cancel@9=503", "step.retry", 2),
    ],
)
def test_retries_say_attempt_and_end(
    run: Any,
    serve: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
    fault: str,
    event: str,
    attempt: int,
) -> None:
    """A line with ``retrying`` says for how long the runner retries."""
    plugin = run.folder / "flaky.py"
    plugin.write_text(FLAKY_STEP)
    step = "steps: [{uses: flaky, retry: {attempts: 3, interval: 5s}}]"
    caplog.set_level("INFO")

    result = run(serve(fault), f"- {{name: a, folders: [life], {step}}}", plugin_files=[plugin])

    (message,) = (
        each.getMessage() for each in caplog.records if getattr(each, "event", "") == event
    )
    assert result.exit_code == 0
    assert re.search(ANNOUNCED.format(attempt), message), message


def test_end_of_target_has_its_phases(
    run: Any, serve: Callable[..., Any], events: Any, only: Callable[..., Any]
) -> None:
    """The last event says how long the target took, and in which phases."""
    target = "- {name: a, folders: [life], polling: {strategy: fixed}, retry_interval: 3}"

    result = only(run(serve(job_seconds=6), target, plugin_files=[events.plugin]))

    name, detail = events.all()[-1]
    phases = {"queued": 0, "creating": 0, "running": 6, "downloading": 0}
    assert (name, detail) == ("target.succeeded", {"seconds": 6, "phases": phases})
    assert sum(detail["phases"].values()) == (result.finished - result.started).total_seconds()


def test_failed_target_names_its_cause(run: Any, serve: Callable[..., Any], events: Any) -> None:
    """The second target that fails so refers to the first; one that fails otherwise does not."""
    targets = "".join(
        f"- {{name: {name}, folders: [life], connection: sit}}\n" for name in ("a", "b", "c")
    )

    run(serve("create@1-2=401", "create@3-=400"), targets, plugin_files=[events.plugin], jobs=1)

    ends = [detail for name, detail in events.all() if name == "target.failed"]
    # Which of them comes first is not promised.
    first, second, third = (each.get("same_as") for each in ends)
    assert second in {"a", "b", "c"}
    assert (first, third) == (None, None)
    assert [each["cause"][:8] for each in ends] == ["HTTP 401", "HTTP 401", "HTTP 400"]
