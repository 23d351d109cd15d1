"""What earlier runs took tells when the next one is looked at."""

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


def test_the_second_run_waits_for_the_likely_end(run: Any, serve: Callable[..., Any]) -> None:
    """The first run of a request learns, the next ones look little before its end."""
    sandbox = serve(job_seconds=100)

    first = waits(run, sandbox, LIFE)
    later = [waits(run, sandbox, LIFE) for _ in range(8)]

    assert len(first) > 15
    assert all(sum(each) <= 105 for each in later)
    assert all(len(each) <= 5 for each in later[4:])


def test_another_request_of_the_same_size_learns_from_it(
    run: Any, serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request without a past of its own is also looked at when its like would end."""
    # Without jitter, by which one that knows nothing may be in time by chance.
    monkeypatch.setattr(random, "random", lambda: 0.0)
    sandbox = serve(job_seconds=100)
    waits(run, sandbox, LIFE)

    like = waits(run, sandbox, MOTOR)
    other = waits(run, sandbox, MOTOR.replace("[motor]", "[motor, life]"))

    assert sum(like) <= 105
    assert sum(other) >= 105


def test_a_job_that_was_left_alone_teaches_nothing(run: Any, serve: Callable[..., Any]) -> None:
    """A run that goes on with a job does not know its age: it neither learns nor predicts."""
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


def test_a_job_that_is_gone_on_with_is_not_predicted(run: Any, serve: Callable[..., Any]) -> None:
    """It is near its end when the second run comes: no long silence, whatever the past says."""
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


def test_fixed_waits_as_ever(run: Any, serve: Callable[..., Any]) -> None:
    """A strategy without memory does in the second run what it did in the first."""
    sandbox = serve(job_seconds=7)
    fixed = LIFE.replace("}", ", polling: {strategy: fixed}}")

    assert waits(run, sandbox, fixed) == waits(run, sandbox, fixed) == [0, 3, 3, 3]


def test_exponential_waits_as_ever(run: Any, serve: Callable[..., Any]) -> None:
    """So does the other one."""
    sandbox = serve(job_seconds=20)
    exponential = LIFE.replace("}", ", polling: {strategy: exponential}}")

    assert waits(run, sandbox, exponential) == waits(run, sandbox, exponential) == [0, 3, 6, 12]
