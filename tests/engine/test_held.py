"""A target that waits for an approval: nothing failed, nothing is lost, nothing is done anew."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.engine.prepare import load
from spark_impex_runner.errors import UsageError
from spark_impex_runner.masking import Masker
from spark_impex_runner.models import (
    Manifest,
    Outcome,
    RunOptions,
    RunResult,
    Target,
    TargetResult,
)

if TYPE_CHECKING:
    from collections.abc import Callable

PLUGIN = """
from spark_impex_runner import hookimpl
from spark_impex_runner.errors import HeldError
from spark_impex_runner.hookspecs import Made

@hookimpl
def impex_register(registry):
    registry.step("gate", "holds a target")

@hookimpl
def impex_run_step(job, step, artifact):
    if step.uses == "gate":
        if "sit" not in job.run.approved:
            raise HeldError(f"{artifact.name} waits", "sit")
        return Made(message="approved")
"""
GATED = """
- name: a
  folders: [life]
  steps: [{uses: checksum}, {uses: gate, retry: {attempts: 3}, on_failure: warn}, {uses: unzip}]
"""
DAYS = 3 * 24 * 3600


@pytest.fixture
def go(run: Any, tmp_path: Path) -> Callable[..., RunResult]:
    """Return a function that runs targets with the plugin."""
    plugin = tmp_path / "gate.py"
    plugin.write_text(PLUGIN)

    def start(sandbox: Any, text: str = GATED, **options: Any) -> RunResult:
        return run(sandbox, text, plugin_files=(plugin,), **options)

    return start


def created(sandbox: Any) -> int:
    """Return how many create calls reached the tenant."""
    return [r.method for r in sandbox.requests].count("POST")


def test_a_step_holds_its_target(go: Any, serve: Callable[..., Any], only: Any) -> None:
    """It is no failure: later steps wait, retry and on_failure do not apply, the way is told."""
    result = go(serve())

    target = only(result)
    assert (target.outcome, result.exit_code, target.approve) == (Outcome.HELD, 9, "sit")
    assert [(step.uses, step.outcome) for step in target.steps] == [
        ("checksum", "succeeded"),
        ("gate", "held"),
    ]
    assert target.error.endswith("waits; the same command with --approve sit lets it go on")
    receipt = json.loads((target.target.output / "impex-receipt.json").read_text())
    assert receipt["outcome"] == "held"


def test_an_approval_goes_on_with_the_very_bytes(
    go: Any, serve: Callable[..., Any], only: Any, clock: Any
) -> None:
    """Days later nothing is exported anew, no finished step is repeated, and the rest is done."""
    sandbox = serve()
    first = go(sandbox)
    clock.wait(DAYS)
    waiting = go(sandbox)

    done = go(sandbox, approved=frozenset({"sit"}))

    assert (waiting.exit_code, done.exit_code, created(sandbox)) == (9, 0, 1)
    assert only(done).artifacts[0].sha256 == only(first).artifacts[0].sha256
    assert [(step.uses, step.message) for step in only(done).steps][1:] == [
        ("gate", "approved"),
        ("unzip", ""),
    ]
    again = go(sandbox)
    assert (again.exit_code, created(sandbox)) == (9, 2)


def test_an_attempt_that_is_not_held_is_left_after_twelve_hours(
    go: Any, serve: Callable[..., Any], clock: Any
) -> None:
    """Only an approval may take its time."""
    sandbox = serve()
    go(sandbox, until="download")
    clock.wait(DAYS)

    go(sandbox, until="download")

    assert created(sandbox) == 2


def test_bytes_that_changed_while_they_waited_are_refused(
    go: Any, serve: Callable[..., Any], only: Any
) -> None:
    """Nobody approved them; nothing is exported in their place unless that is asked for."""
    sandbox = serve()
    package = only(go(sandbox)).artifacts[0].path
    content = package.read_bytes()
    package.write_bytes(content[:-1] + b"!")

    changed = go(sandbox, approved=frozenset({"sit"}))
    package.write_bytes(content)
    mended = go(sandbox, approved=frozenset({"sit"}))

    assert only(changed).outcome is Outcome.FAILED
    assert "are not those that wait for --approve sit; put them back" in only(changed).error
    assert (mended.exit_code, created(sandbox)) == (0, 1)


def test_a_delivery_that_waits_in_another_output_is_named(
    go: Any, serve: Callable[..., Any], only: Any
) -> None:
    """The next release has to wait for this one, whose packages nobody has to put back."""
    sandbox = serve()
    first = only(go(sandbox)).target.output

    second = only(go(sandbox, GATED.replace("- name: a", "- name: a\n  output: next")))
    third = go(sandbox, approved=frozenset({"sit"}))

    assert second.outcome is Outcome.FAILED
    assert f"waits for --approve sit in {first}, not in " in second.error
    assert "give it up with impex cancel" in second.error
    assert (third.exit_code, created(sandbox)) == (0, 1)


def test_fresh_exports_anew(go: Any, serve: Callable[..., Any]) -> None:
    """What was held is given up, and the new packages wait in its place."""
    sandbox = serve()
    go(sandbox)

    assert go(sandbox, fresh=True).exit_code == 9
    assert created(sandbox) == 2


def test_what_needs_a_held_target_is_skipped(go: Any, serve: Callable[..., Any]) -> None:
    """The reason is the approval, and the run still tells of no failure."""
    result = go(serve(), GATED + "- {name: b, needs: [a], folders: [life]}\n")

    assert [r.outcome.value for r in result.results] == ["held", "skipped"]
    assert result.results[1].error == "it needs a, which waits for an approval"
    assert result.exit_code == 9


def test_a_wait_is_no_failure_for_fail_fast(go: Any, serve: Callable[..., Any]) -> None:
    """What comes after a target that is held is started all the same."""
    others = "- {name: b, folders: [motor]}\n- {name: c, needs: [b], folders: [life]}\n"

    result = go(serve(job_seconds=20), GATED + others, fail_fast=True)

    assert [r.outcome.value for r in result.results] == ["held", "succeeded", "succeeded"]
    assert result.exit_code == 9


@pytest.mark.parametrize(
    ("codes", "problems", "code"),
    [
        ((9, 0), (), 9),
        ((9, 9), (), 9),
        ((9, 4), (), 4),
        ((9, 4, 0), (), 3),
        ((9, 5), (), 5),
        ((9, 6), (), 6),
        ((9, 1), (), 1),
        ((9,), ("no report",), 4),
    ],
)
def test_a_failure_is_a_worse_answer_than_a_wait(
    codes: tuple[int, ...], problems: tuple[str, ...], code: int
) -> None:
    """9 only where nothing at all went wrong."""
    now = datetime(2026, 1, 2, tzinfo=timezone.utc)
    target = Target("a", "sit", Path("a"))
    outcomes = {0: Outcome.SUCCEEDED, 9: Outcome.HELD}
    results = tuple(
        TargetResult(target, outcomes.get(each, Outcome.FAILED), now, now, exit_code=each)
        for each in codes
    )
    manifest = Manifest(Path("m"), "m", {}, (target,))

    run = RunResult("r", manifest, now, now, results, "0", problems=problems)

    assert run.exit_code == code


def test_a_name_that_is_no_connection_cannot_be_approved(run: Any, serve: Any, clock: Any) -> None:
    """A typo is found before anything is sent, and the right name is told."""
    sandbox = serve()
    path = run.write(sandbox, "- {name: a, folders: [life]}")

    with pytest.raises(UsageError, match=r"--approve sti names no connection of .*'sit'"):
        load(path, RunOptions(approved=frozenset({"sti"})), clock, Masker())

    assert not sandbox.requests
