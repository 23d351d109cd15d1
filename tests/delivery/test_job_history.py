"""The durations of earlier runs decide when the status of the next job is requested."""

from __future__ import annotations

import random
import signal
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

LIFE = "- {name: a, folders: [life], on_interrupt: leave}"
MOTOR = "- {name: b, folders: [motor]}"


def waits(run: Any, sandbox: Any, target: str) -> list[float]:
    """Run a target and return its waits."""
    run.clock.waits.clear()
    run(sandbox, target)
    return [*run.clock.waits]


def test_second_run_waits_longer(run: Any, serve: Callable[..., Any]) -> None:
    """After one run of a request, the next ones request the status less often before its end."""
    sandbox = serve(job_seconds=100)

    first = waits(run, sandbox, LIFE)
    later = [waits(run, sandbox, LIFE) for _ in range(8)]

    assert len(first) > 15
    assert all(sum(each) <= 105 for each in later)
    assert all(len(each) <= 5 for each in later[4:])


def test_similar_request_learns(
    run: Any, serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request without a history uses that of requests of the same size."""
    # Without jitter, by which one that knows nothing may be in time by chance.
    monkeypatch.setattr(random, "random", lambda: 0.0)
    sandbox = serve(job_seconds=100)
    waits(run, sandbox, LIFE)

    like = waits(run, sandbox, MOTOR)
    other = waits(run, sandbox, MOTOR.replace("[motor]", "[motor, life]"))

    assert sum(like) <= 105
    assert sum(other) >= 105


def test_resumed_job_is_not_recorded(run: Any, serve: Callable[..., Any]) -> None:
    """The duration of a resumed job is unknown, so it is not recorded."""
    sandbox = serve(job_seconds=100)
    run.clock.at_wait = lambda elapsed: elapsed > 5 and run.clock.stop(signal.SIGTERM)
    run(sandbox, LIFE)
    run.clock.restart()
    run.clock.wait(3600)

    adopted = waits(run, sandbox, LIFE)
    after = waits(run, sandbox, LIFE)

    assert sum(adopted) <= 1
    assert len(after) > 15
    assert 100 <= sum(after) <= 123


def test_resumed_job_is_not_predicted(run: Any, serve: Callable[..., Any]) -> None:
    """A resumed job is checked often, whatever the history says."""
    sandbox = serve(job_seconds=100)
    waits(run, sandbox, LIFE)
    begin = run.clock.monotonic()
    run.clock.at_wait = lambda elapsed: elapsed > begin + 40 and run.clock.stop(signal.SIGTERM)
    run(sandbox, LIFE)
    run.clock.restart()
    left = begin + 100 - run.clock.monotonic()

    assert left <= sum(waits(run, sandbox, LIFE)) <= max(left * 1.23, 1)


def test_job_given_by_id_has_no_duration(
    run: Any, serve: Callable[..., Any], tmp_path: Path
) -> None:
    """``impex resume`` did not see the job start: what its own run took is no duration."""
    sandbox = serve(job_seconds=100)
    run.clock.at_wait = lambda elapsed: elapsed > 5 and run.clock.stop(signal.SIGTERM)
    [first] = run(sandbox, LIFE).results
    run.clock.restart()

    run(sandbox, LIFE, job=first.job_id, state=tmp_path / "other")

    with closing(sqlite3.connect(tmp_path / "other/state.db")) as database:
        rows = database.execute("SELECT job_id, outcome, seconds FROM attempts").fetchall()
    assert rows == [(first.job_id, "succeeded", None)]


def test_fixed_ignores_history(run: Any, serve: Callable[..., Any]) -> None:
    """``fixed`` waits in the second run as in the first."""
    sandbox = serve(job_seconds=7)
    fixed = LIFE.replace("}", ", polling: {strategy: fixed}}")

    assert waits(run, sandbox, fixed) == waits(run, sandbox, fixed) == [0, 3, 3, 3]


def test_exponential_ignores_history(run: Any, serve: Callable[..., Any]) -> None:
    """``exponential`` waits in the second run as in the first."""
    sandbox = serve(job_seconds=20)
    exponential = LIFE.replace("}", ", polling: {strategy: exponential}}")

    assert waits(run, sandbox, exponential) == waits(run, sandbox, exponential) == [0, 3, 6, 12]
