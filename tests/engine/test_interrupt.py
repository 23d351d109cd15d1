"""SIGINT and SIGTERM: nothing new, the slot freed, the report written."""

from __future__ import annotations

import json
import random
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner import blocking
from spark_impex_runner.engine import reports, scheduler
from spark_impex_runner.errors import Interrupted
from spark_impex_runner.models import Outcome
from spark_impex_runner.planning.connections import Connections
from spark_impex_runner.report import json as report_json
from spark_impex_runner.sandbox.faults import parse_fault
from spark_impex_runner.spark.exports import Exports
from spark_impex_runner.state.local import LocalStorage
from spark_impex_runner.state.store import State

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(("on_interrupt", "cancels"), [("cancel", 1), ("leave", 0)])
def test_interrupt_during_wait(
    run: Any,
    serve: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    on_interrupt: str,
    cancels: int,
) -> None:
    """The wait ends at once, ``on_interrupt`` applies, and other targets are not started.

    The job is known: it is not looked up first.
    """
    sandbox, file, listings = serve(job_seconds=1000), tmp_path / "report.json", []
    monkeypatch.setattr(Exports, "listed", lambda _: tuple(listings.append("") or ()))
    run.clock.at_wait = lambda elapsed: elapsed > 10 and run.clock.stop(signal.SIGTERM)
    targets = (
        f"- {{name: a, folders: [life], on_interrupt: {on_interrupt}}}\n"
        "- {name: b, folders: [life], needs: [a]}"
    )

    result = run(sandbox, targets, reports={"json": file})

    assert [r.outcome for r in result.results] == [Outcome.CANCELLED, Outcome.CANCELLED]
    assert result.exit_code == 143
    assert len([r for r in sandbox.requests if r.method == "PATCH"]) == cancels
    assert len([r for r in sandbox.requests if r.method == "POST"]) == 1
    assert listings == []
    assert json.loads(file.read_text())["signal"] == signal.SIGTERM


WATCHER = """
from spark_impex_runner import hookimpl

seen = {}

@hookimpl
def impex_job_changed(job, change):
    seen.setdefault((job.run.id, job.target.name), []).append((change.event, change.message))

@hookimpl
def impex_run_finished(run, report):
    for name in [each.name for each in run.targets]:
        print(name, seen.pop((run.id, name), None))
"""


@pytest.mark.parametrize("observed", [False, True])
def test_targets_that_never_start_cost_little(
    run: Any,
    serve: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    *,
    observed: bool,
) -> None:
    """No job, no look at the state; yet each has a result, an event and its place in the report.

    A job is made only for a plugin that observes events.
    """
    count, file, jobs, clients = 40, tmp_path / "report.json", Counter[str](), Counter[bool]()
    stopped = run.clock.stopping
    make, client = scheduler.new_job, Connections.client
    caplog.set_level("INFO")

    def new_job(planned: Any, *rest: Any) -> Any:
        jobs[planned.target.name] += stopped()
        return make(planned, *rest)

    def count_clients(self: Connections, name: str) -> Any:
        clients[stopped()] += 1
        return client(self, name)

    monkeypatch.setattr(scheduler, "new_job", new_job)
    monkeypatch.setattr(Connections, "client", count_clients)
    run.clock.at_wait = lambda elapsed: elapsed > 10 and run.clock.stop(signal.SIGTERM)
    (watcher := tmp_path / "watcher.py").write_text(WATCHER)
    targets = "\n".join(f"- {{name: t{number}, folders: [life]}}" for number in range(count))
    needed = f"- {{name: last, folders: [life], needs: [t{count - 1}]}}"

    result = run(
        serve(job_seconds=1000),
        f"{targets}\n{needed}",
        reports={"json": file},
        plugin_files=(watcher,) if observed else (),
    )

    waited = [each for each in result.results if not each.job_id]
    names = [each.target.name for each in waited]
    [begun] = [each.target.name for each in result.results if each.job_id]
    reason = "the run was interrupted before it started"
    assert len(waited) == count
    assert {(each.outcome, each.error, each.tenant) for each in waited} == {
        (Outcome.CANCELLED, reason, result.results[0].tenant)
    }
    assert [each["target"] for each in json.loads(file.read_text())["targets"]] == [
        each.target.name for each in result.results
    ]
    events = [each for each in caplog.records if getattr(each, "event", "") == "target.cancelled"]
    assert sorted(each.target for each in events) == sorted([*names, begun])
    assert sum(jobs[name] for name in names) == (count if observed else 0)
    if observed:
        change = ("target.cancelled", f"cancelled: {reason}")
        shown = capsys.readouterr().out
        assert all(f"{name} [{change!r}]" in shown for name in names)
    else:
        assert clients[True] < 20


def test_signal_during_report_leaves_it_whole(
    run: Any, serve: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report has time of its own, however late it begins, and the process is kept for it."""
    kept, target = [], report_json._target
    monkeypatch.setitem(blocking.interruptible.__kwdefaults__, "least", 0.0)

    def stop(result: Any) -> Any:
        run.clock.stopped_at = time.monotonic() - 2 * blocking.END
        run.clock.stop(signal.SIGTERM)
        kept.append(run.clock.reserved_until - time.monotonic())
        return target(result)

    monkeypatch.setattr(report_json, "_target", stop)
    monkeypatch.setattr(reports, "REPORT", 60.0)
    names = [f"t{number}" for number in range(5)]
    targets = "\n".join(f"- {{name: {name}, folders: [life]}}" for name in names)

    result = run(serve(), targets, reports={"json": tmp_path / "report.json"})

    written = json.loads((tmp_path / "report.json").read_text())["targets"]
    assert [each["target"] for each in written] == names
    assert result.problems == ()
    assert all(each > 0 for each in kept)
    assert run.clock.reserved_until < time.monotonic()


def test_job_that_may_not_be_cancelled_is_named(
    run: Any, serve: Callable[..., Any], only: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lease that cannot be renewed forbids the cancel call: the job may be another runner's."""
    sandbox = serve(job_seconds=1000)

    def check(_: object) -> None:
        run.clock.check()  # as in the wait for a renewal

    monkeypatch.setattr(LocalStorage, "check", check)
    run.clock.at_wait = lambda elapsed: elapsed > 10 and run.clock.stop(signal.SIGTERM)

    result = only(run(sandbox, "- {name: a, folders: [life], on_interrupt: cancel}"))

    [warning] = result.warnings
    assert warning.startswith(f"job {result.job_id} could not be cancelled and may still run: ")
    assert result.outcome == Outcome.CANCELLED
    assert not [each for each in sandbox.requests if each.method == "PATCH"]


def test_interrupt_during_wait_for_lease(
    run: Any, serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scheduler waits for a lease that is late; its targets are not started."""

    def check(_: object) -> None:
        run.clock.stop(signal.SIGINT)
        run.clock.check()

    monkeypatch.setattr(LocalStorage, "check", check)
    sandbox = serve()

    result = run(sandbox, "- {name: a, folders: [life]}\n- {name: b, folders: [life]}")

    assert {(each.outcome, each.error) for each in result.results} == {
        (Outcome.CANCELLED, "the run was interrupted before it started")
    }
    assert not [each for each in sandbox.requests if each.method == "POST"]


def test_end_that_is_not_stored_keeps_the_result(
    run: Any, serve: Callable[..., Any], only: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state is in a store that does not reply after the signal."""

    def end_run(*_: object) -> None:
        raise Interrupted

    monkeypatch.setattr(State, "end_run", end_run)
    run.clock.at_wait = lambda elapsed: elapsed > 10 and run.clock.stop(signal.SIGINT)

    result = run(serve(job_seconds=1000), "- {name: a, folders: [life]}")

    assert (only(result).outcome, result.exit_code) == (Outcome.CANCELLED, 130)


def test_interrupt_before_first_job(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """A stop before the first job sends nothing."""
    sandbox = serve()
    run.clock.stop(signal.SIGINT)

    result = run(sandbox, "- {name: a, folders: [life]}")

    assert (only(result).outcome, result.exit_code) == (Outcome.CANCELLED, 130)
    assert not [r for r in sandbox.requests if r.method == "POST"]


def test_interrupt_during_download(run: Any, serve: Callable[..., Any], tree: Path) -> None:
    """The next run resumes the partial file of the same job."""
    (tree / "life/annuity/1.0.0/model.data").write_bytes(random.Random(1).randbytes(3 << 20))  # noqa: S311
    sandbox, checks, check = serve(), iter(range(100)), run.clock.check

    def stop_in_the_third_piece() -> None:
        if next(checks) == 4:
            run.clock.stop(signal.SIGTERM)
        check()

    run.clock.check = stop_in_the_third_piece
    first = run(sandbox, "- {name: a, folders: [life]}")
    part = next(first.results[0].target.output.glob(".*.part")).stat().st_size
    run.clock.restart()

    second = run(sandbox, "- {name: a, folders: [life]}")

    assert (first.exit_code, second.exit_code) == (143, 0)
    assert second.results[0].job_id == first.results[0].job_id
    requests = [r.headers.get("range") for r in sandbox.requests if r.origin == "download"]
    assert requests[0] is None
    assert part > 0
    assert requests[1] == f"bytes={part}-"
    assert sandbox.jobs_created == 1


def test_interrupt_while_tenant_is_busy(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """No job was created, and the next run creates its own."""
    sandbox = serve(faults=(parse_fault("create@1-100=busy:409"),))
    run.clock.at_wait = lambda elapsed: elapsed > 20 and run.clock.stop(signal.SIGINT)
    first = run(sandbox, "- {name: a, folders: [life]}")
    run.clock.restart()
    sandbox.faults._faults = ()

    second = run(sandbox, "- {name: a, folders: [life]}")

    assert (only(first).outcome, first.exit_code) == (Outcome.CANCELLED, 130)
    assert (only(second).outcome, sandbox.jobs_created) == (Outcome.SUCCEEDED, 1)
