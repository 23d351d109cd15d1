"""The order of work: needs, lanes, skips, halts."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.engine.schedule import Task, Work, run_all

if TYPE_CHECKING:
    from collections.abc import Callable


class Recorder:
    """Does tasks by writing down their names; a name in ``bad`` ends badly."""

    def __init__(self, bad: frozenset[str] = frozenset()) -> None:
        self.bad = bad
        self.done: list[str] = []
        self.aborted = False
        self._lock = threading.Lock()

    def do(self, name: str) -> str:
        """Write the name down."""
        with self._lock:
            self.done.append(name)
        return "bad" if name in self.bad else "good"

    def abort(self) -> None:
        """Note that the wait was broken off."""
        self.aborted = True

    def work(self, halted: Callable[[], str] = lambda: "") -> Work[str]:
        """Return the work of this recorder."""
        return Work(
            self.do, lambda _, why: f"skipped: {why}", lambda r: r == "good", halted, self.abort
        )


@st.composite
def graphs(draw: st.DrawFn) -> list[Task]:
    """Return tasks in which each needs only earlier ones, shuffled."""
    count = draw(st.integers(1, 12))
    tasks = []
    for number in range(count):
        needs = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        lane = draw(st.sampled_from("xyz"))
        tasks.append(Task(f"t{number}", lane, tuple(f"t{need}" for need in needs)))
    return draw(st.permutations(tasks))


@given(graphs(), st.sets(st.integers(0, 11)))
def test_every_task_has_a_result_after_those_it_needs(tasks: list[Task], bad: set[int]) -> None:
    """Whatever the graph: a task is done after its needs and only if all of them were good."""
    recorder = Recorder(frozenset(f"t{number}" for number in bad))

    results = run_all(tasks, {"x": 1, "y": 2, "z": 1}, recorder.work())

    assert set(results) == {task.name for task in tasks}
    assert len(recorder.done) == len(set(recorder.done))
    for task in tasks:
        good_needs = all(results[need] == "good" for need in task.needs)
        assert (task.name in recorder.done) == good_needs
        if good_needs:
            at = recorder.done.index(task.name)
            assert all(recorder.done.index(need) < at for need in task.needs)


def test_lanes_run_side_by_side() -> None:
    """A task that waits for one of another lane gets it: lanes do not queue for each other."""
    meeting = threading.Barrier(2, timeout=10)
    recorder = Recorder()

    def do(name: str) -> str:
        meeting.wait()
        return recorder.do(name)

    work = Work(do, lambda _, why: why, lambda r: r == "good", lambda: "", recorder.abort)

    assert run_all([Task("a", "x"), Task("b", "y")], {"x": 1, "y": 1}, work) == {
        "a": "good",
        "b": "good",
    }


def test_a_halt_skips_what_has_not_started() -> None:
    """Once ``halted`` gives a reason, everything else gets it as its result."""
    recorder = Recorder()
    tasks = [Task(name, "x") for name in "abc"]

    results = run_all(tasks, {"x": 1}, recorder.work(lambda: "enough" if recorder.done else ""))

    assert recorder.done == ["a"]
    assert results == {"a": "good", "b": "skipped: enough", "c": "skipped: enough"}


def test_a_broken_off_wait_aborts_the_work() -> None:
    """Ctrl-C in an embedding program asks running work to end instead of waiting for it."""
    recorder = Recorder()

    def interrupted() -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_all([Task("a", "x")], {"x": 1}, recorder.work(interrupted))

    assert recorder.aborted
