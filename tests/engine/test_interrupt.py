"""SIGINT and SIGTERM: nothing new, the slot freed, the report written."""

from __future__ import annotations

import json
import random
import signal
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.errors import Interrupted
from spark_impex_runner.models import Outcome
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
