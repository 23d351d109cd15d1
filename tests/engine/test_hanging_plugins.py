"""What hangs when a run is to end: a step, an observer, a source, a notifier."""

from __future__ import annotations

import json
import sys
import threading
import time
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.blocking import CALLS, END, GIVE_UP
from spark_impex_runner.errors import Interrupted
from spark_impex_runner.models import RECEIPT, Outcome
from spark_impex_runner.spark.exports import Exports
from spark_impex_runner.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from spark_impex_runner.models import Status

TARGET = "- {name: a, folders: [life]}"
STEP = "- {name: a, folders: [life], steps: [{uses: hang}]}"
# Calls the test at each place where a plugin may hang.
PLUGIN = """
from spark_impex_runner.hooks.specs import hookimpl
from stuck_here import perhaps

@hookimpl
def impex_register(registry):
    registry.step("hang", "Hangs.")
    registry.source("hang", "Hangs.", lambda key: perhaps("source"))
    registry.notifier("hang", "Hangs.", None, lambda options, report: perhaps("notifier"))
    registry.report("hang", "Hangs.", lambda report: perhaps("report"))

@hookimpl
def impex_run_step(step):
    return perhaps("step") and [] if step.uses == "hang" else None

@hookimpl
def impex_job_changed(change):
    perhaps(change.event)

@hookimpl
def impex_check_download(job):
    perhaps("check")

@hookimpl
def impex_run_started(run):
    perhaps("started")

@hookimpl
def impex_run_finished(run):
    perhaps("finished")
"""


class LateClock(FakeClock):
    """A clock of a run that was asked to stop so many seconds ago when it is."""

    def __init__(self, ago: float) -> None:
        super().__init__()
        self._ago = ago

    def stop(self, signum: int) -> None:
        """Stop as if that had been a while ago."""
        self.stopped_at = min(self.stopped_at, time.monotonic() - self._ago)
        super().stop(signum)


@pytest.fixture
def stuck(
    run: Any, serve: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Any]]:
    """Return a function that runs targets; something hangs, and asks the run to stop before."""
    plugin, release = tmp_path / "stuck.py", threading.Event()
    plugin.write_text(PLUGIN)
    module: Any = ModuleType("stuck_here")
    monkeypatch.setitem(sys.modules, "stuck_here", module)

    def start(where: str, targets: str = TARGET, ago: float = 0.0, **options: Any) -> Any:
        run.clock = LateClock(ago)

        def perhaps(here: str) -> str:
            if here == where:
                run.clock.stop(15)
                release.wait(20)
                outlived.append(here)
            return "value"

        outlived: list[str] = []
        module.perhaps = perhaps
        result = run(serve(), targets, plugin_files=(plugin,), **options)
        assert not outlived, "the run waited for what hangs"
        return result

    yield start
    release.set()


@pytest.mark.parametrize(
    ("where", "ago"),
    [("step", GIVE_UP), ("job.created", GIVE_UP), ("check", GIVE_UP), ("started", END)],
)
def test_hanging_plugin_is_abandoned(
    stuck: Callable[..., Any], only: Any, tmp_path: Path, where: str, ago: float
) -> None:
    """The target is cancelled, the report is written, and the run returns."""
    file = tmp_path / "report.json"

    result = stuck(where, STEP, ago - 0.1, reports={"json": file})

    assert only(result).outcome is Outcome.CANCELLED
    assert result.exit_code == 143
    assert '"signal": 15' in file.read_text()


def test_abandoned_target_keeps_what_is_known(stuck: Callable[..., Any], only: Any) -> None:
    """Its job, its packages and their receipt; the warning names the step that hangs."""
    target = only(stuck("step", STEP, GIVE_UP - 0.1))

    receipt = json.loads((target.target.output / RECEIPT).read_text())
    assert target.error == "interrupted by SIGTERM"
    assert target.job_id == receipt["job_id"]
    assert [each.name for each in target.artifacts] == ["package.zip"]
    assert target.warnings == ("step hang did not end after the signal and was abandoned",)


def test_hanging_report_is_a_problem(stuck: Callable[..., Any], only: Any, tmp_path: Path) -> None:
    """Other reports are written, and the result is what it was."""
    file = tmp_path / "report.json"

    result = stuck("report", TARGET, END, reports={"hang": tmp_path / "h", "json": file})

    assert only(result).outcome is Outcome.SUCCEEDED
    assert [text[:11] for text in result.problems] == ["report hang"]
    assert file.exists()


@pytest.mark.parametrize("where", ["finished", "notifier"])
def test_hanging_observer_or_notification(
    stuck: Callable[..., Any], run: Any, caplog: Any, where: str
) -> None:
    """Neither an observer of the end nor a notification delays a run that is to stop."""
    run.below = "notify: [{uses: hang, on: [always]}]"

    result = stuck(where, TARGET, END)

    assert result.results[0].good
    assert ("was abandoned" if where == "finished" else "not sent before") in caplog.text


def test_hanging_source_ends_the_preparation(stuck: Callable[..., Any]) -> None:
    """Nothing was started, so the result is the interrupt."""
    with pytest.raises(Interrupted):
        stuck("source", "- {name: a, folders: ['${hang:x}']}", CALLS)


def test_status_check_keeps_the_deadline(
    run: Any, serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No check may take longer than three seconds past the limit of its wait."""
    left, status = [], Exports.status

    def seen(exports: Exports, job_id: str, **options: Any) -> Status:
        clock = exports.session.http.clock
        left.append(clock.monotonic() + clock.left())
        return status(exports, job_id, **options)

    monkeypatch.setattr(Exports, "status", seen)
    polling = "polling: {deadline: 20s, stall_after: 10s}"

    result = run(serve(job_seconds=1000), f"- {{name: a, folders: [life], {polling}}}")

    assert result.exit_code == 5
    assert left
    assert max(left) <= 23.1


def test_late_preparation_is_closed(
    run: Any, serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an abandoned preparation opens after all is closed again."""
    from spark_impex_runner.engine import preparation as module  # noqa: PLC0415
    from spark_impex_runner.planning.connections import Connections  # noqa: PLC0415

    release, closed = threading.Event(), threading.Event()
    make_plan = module.prepare.__wrapped__.__globals__["make_plan"]

    def slow(*arguments: Any) -> Any:
        run.clock.stop(15)
        release.wait(20)
        return make_plan(*arguments)

    run.clock = LateClock(CALLS)
    monkeypatch.setitem(module.prepare.__wrapped__.__globals__, "make_plan", slow)
    monkeypatch.setattr(Connections, "close", lambda _: closed.set())

    with pytest.raises(Interrupted):
        run(serve(), TARGET)
    release.set()

    assert closed.wait(20)


@pytest.mark.parametrize(
    ("sent", "arrived", "warns", "cancels"),
    [(True, True, False, 1), (True, False, True, 0), (False, False, False, 0)],
)
def test_unanswered_create_is_looked_up(
    run: Any,
    serve: Callable[..., Any],
    only: Any,
    monkeypatch: pytest.MonkeyPatch,
    sent: bool,
    arrived: bool,
    warns: bool,
    cancels: int,
) -> None:
    """A job whose create call was left is cancelled if it is there; else a warning says so."""
    create, sandbox = Exports.create, serve(job_seconds=1000)

    def left(exports: Exports, request: Any) -> None:
        if arrived:
            create(exports, request)
        run.clock.stop(15)
        raise Interrupted(15, unanswered=sent)

    monkeypatch.setattr(Exports, "create", left)

    result = only(run(sandbox, TARGET))

    assert result.outcome is Outcome.CANCELLED
    assert any("a job may have been created" in text for text in result.warnings) is warns
    assert [each.method for each in sandbox.requests].count("PATCH") == cancels


def test_target_that_hangs_after_its_end_keeps_its_result(
    stuck: Callable[..., Any], only: Any
) -> None:
    """What hangs is an observer of the end; the target was delivered."""
    assert only(stuck("target.succeeded", STEP.replace("hang", "checksum"), GIVE_UP)).good
