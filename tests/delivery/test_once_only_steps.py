"""A step that may run once only is never run twice, whatever happens in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.models import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

# ``done.log`` has a line for each time that the step was done; ``END`` is how it ends.
PLUGIN = """
import os, signal
from pathlib import Path
from spark_impex_runner import errors, hookimpl, models

@hookimpl
def impex_register(registry):
    registry.step("post", "Posts it.", idempotent=False)

@hookimpl
def impex_run_step(job, step, artifact):
    if step.uses != "post":
        return None
    with Path(__file__).with_name("done.log").open("a") as log:
        log.write("done\\n")
    END
"""
TARGET = "- {name: a, folders: [life], on_interrupt: leave, steps: [{uses: post}]}"
REFUSED = (
    "step post: an earlier run began it and did not finish it, so that it may be complete; it is "
    "not run twice: check what it did, then remove it from this run if it is complete, or use "
    "--fresh, which exports again and runs it for the new package"
)


@pytest.fixture
def post(run: Any, serve: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function that runs a target with a step that ends in a way of its own."""
    sandbox = serve()

    def post(end: str, target: str = TARGET, **options: Any) -> Any:
        plugin = run.folder / "post.py"
        plugin.write_text(PLUGIN.replace("END", end))
        [result] = run(sandbox, target, plugin_files=(plugin,), **options).results
        run.clock.restart()
        return result

    return post


def times(run: Any) -> int:
    """Return how often the step was done."""
    return (run.folder / "done.log").read_text().count("done")


@pytest.fixture
def killed(run: Any, post: Callable[..., Any]) -> None:
    """Have a run killed in the middle of the step."""
    post("return []", TARGET, until="download")
    plugin = run.folder / "post.py"
    plugin.write_text(PLUGIN.replace("END", "os.kill(os.getpid(), signal.SIGKILL)"))
    words = [str(run.folder / "manifest.yaml"), "-p", str(plugin)]
    program = "from spark_impex_runner.cli.main import run; run()"
    done = subprocess.run(
        [sys.executable, "-c", program, *words], env=os.environ, check=False, capture_output=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.usefixtures("killed")
def test_killed_step_is_not_repeated(run: Any, post: Callable[..., Any]) -> None:
    """Every later run fails with the same line, whatever steps stand before this one."""
    second = post("return []")
    third = post("return []", TARGET.replace("[{", "[{uses: checksum}, {"))

    assert (second.outcome, second.error) == (Outcome.FAILED, REFUSED)
    assert (third.outcome, third.error) == (Outcome.FAILED, REFUSED)
    assert post("return []", TARGET.replace("[{", "[{uses: checksum}, {")).error == REFUSED
    assert times(run) == 1


@pytest.mark.usefixtures("killed")
def test_fresh_after_a_kill(run: Any, post: Callable[..., Any]) -> None:
    """With ``--fresh`` the step runs for the new package."""
    assert post("return []", fresh=True).outcome is Outcome.SUCCEEDED
    assert times(run) == 2


@pytest.mark.usefixtures("killed")
def test_run_without_the_killed_step(run: Any, post: Callable[..., Any]) -> None:
    """A run without the step closes the attempt; the next one has a new package."""
    alone = post("return []", TARGET.replace("{uses: post}", "{uses: checksum}"))
    after = post("return []")

    assert (alone.outcome, after.outcome) == (Outcome.SUCCEEDED, Outcome.SUCCEEDED)
    assert alone.job_id != after.job_id
    assert times(run) == 2


@pytest.mark.parametrize("end", ["1 / 0", "return 'nonsense'", "raise errors.Interrupted(15)"])
def test_bug_or_interrupt_is_unknown(run: Any, post: Callable[..., Any], end: str) -> None:
    """After a bug or an interrupt the step counts as started."""
    post(end)

    assert post("return []").error == REFUSED
    assert times(run) == 1


def test_stop_before_the_step(run: Any, post: Callable[..., Any]) -> None:
    """A step that had not started runs in the next run."""
    stop = (
        "return []\n\n@hookimpl\ndef impex_job_changed(job, change):\n"
        "    if change.event == 'step.succeeded' and change.detail['uses'] == 'checksum':\n"
        "        job.stopping.__self__.stop(15)\n"
    )
    target = TARGET.replace("[{", "[{uses: checksum}, {")
    assert post(stop, target).outcome is Outcome.CANCELLED

    assert post("return []", target).outcome is Outcome.SUCCEEDED
    assert times(run) == 1


def test_step_error_is_retried(run: Any, post: Callable[..., Any]) -> None:
    """A step that raises StepError did nothing, and runs again in the next run."""
    first = post("raise errors.StepError('no such place')")

    assert first.error == "step post: no such place"
    assert post("return []").outcome is Outcome.SUCCEEDED
    assert times(run) == 2


def test_finished_step_is_not_repeated(run: Any, post: Callable[..., Any]) -> None:
    """A finished step is not repeated for a later one, even at another place in the list."""
    failing = ", {uses: unzip, with: {max_files: 1}}"
    first = post("return []", TARGET.replace("post}", "post}" + failing))
    second = post("return []", TARGET.replace("[{", "[{uses: checksum}, {"))

    assert (first.outcome, second.outcome) == (Outcome.FAILED, Outcome.SUCCEEDED)
    assert [step.uses for step in second.steps] == ["checksum", "post"]
    assert times(run) == 1


def test_deleted_result_is_not_remade(run: Any, post: Callable[..., Any]) -> None:
    """A finished step is not repeated to replace a deleted file."""
    made = (
        "path = job.target.output / 'posted'; path.write_text(''); "
        "return [models.Artifact(path, 'posted')]"
    )
    failing = TARGET.replace("post}", "post}, {uses: unzip, with: {max_files: 1}}")
    post(made, failing)
    (run.folder / "exports/a/posted").unlink()

    second = post(made, failing)

    assert second.error.startswith("step post: an earlier run completed it, and its files are gone")
    assert times(run) == 1
