"""The order of work: needs, skips, and what happens when the wait is broken off."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.clock import Clock
from spark_impex_runner.engine.course import Pause
from spark_impex_runner.engine.schedule import Task, Work, run_all
from spark_impex_runner.errors import Interrupted

if TYPE_CHECKING:
    from spark_impex_runner.engine.course import Course


class Recorder:
    """Does tasks by writing down their names; a name in ``bad`` ends badly."""

    def __init__(self, bad: frozenset[str] = frozenset()) -> None:
        self.bad = bad
        self.done: list[str] = []

    def do(self, name: str) -> Course[str]:
        """Write the name down, after a wait of no length."""
        yield Pause(0)
        self.done.append(name)
        return "bad" if name in self.bad else "good"

    def work(self) -> Work[str]:
        """Return the work of this recorder."""
        return Work(
            self.do,
            lambda _, why: f"skipped: {why}",
            lambda r: "" if r == "good" else "did not succeed",
            lambda: None,
            lambda name: f"abandoned: {name}",
        )


def waiting(name: str, ended: list[str]) -> Course[str]:
    """Wait for an hour; note the name when that is interrupted."""
    try:
        yield Pause(3600)
    except Interrupted:
        ended.append(name)
    return name


@st.composite
def graphs(draw: st.DrawFn) -> list[Task]:
    """Return tasks in which each needs only earlier ones, shuffled."""
    count = draw(st.integers(1, 12))
    tasks = []
    for number in range(count):
        needs = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        tasks.append(Task(f"t{number}", tuple(f"t{need}" for need in needs)))
    return draw(st.permutations(tasks))


@given(graphs(), st.sets(st.integers(0, 11)))
def test_every_task_has_a_result_after_those_it_needs(tasks: list[Task], bad: set[int]) -> None:
    """Whatever the graph: a task is done after its needs and only if all of them were good."""
    recorder = Recorder(frozenset(f"t{number}" for number in bad))

    results = run_all(tasks, recorder.work(), Clock())

    assert list(results) == [task.name for task in tasks]
    assert len(recorder.done) == len(set(recorder.done))
    for task in tasks:
        good_needs = all(results[need] == "good" for need in task.needs)
        assert (task.name in recorder.done) == good_needs
        if good_needs:
            at = recorder.done.index(task.name)
            assert all(recorder.done.index(need) < at for need in task.needs)


def test_a_task_is_skipped_with_the_need_that_was_not_good() -> None:
    """The reason names the first need that ended badly; what needs a skipped task is skipped."""
    tasks = [Task("a"), Task("b", ("a",)), Task("c", ("b",))]

    results = run_all(tasks, Recorder(frozenset("a")).work(), Clock())

    assert results == {
        "a": "bad",
        "b": "skipped: it needs a, which did not succeed",
        "c": "skipped: it needs b, which did not succeed",
    }


def test_a_broken_off_wait_ends_the_work_before_it_is_raised() -> None:
    """Ctrl-C in an embedding program: what waits is interrupted and ends, then it is raised."""
    clock, ended = Clock(), []

    def good(_: str) -> str:
        return ""

    def broken() -> Course[str]:
        yield Pause(0)
        raise KeyboardInterrupt

    work = Work(
        lambda name: waiting(name, ended) if name == "a" else broken(),
        str,
        good,
        lambda: clock.stop(2),
        str,
    )
    with pytest.raises(KeyboardInterrupt):
        run_all([Task("a"), Task("b")], work, clock)

    assert ended == ["a"]


def test_a_ctrl_c_anywhere_ends_the_work_before_it_is_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It reaches the caller, who only waits: nothing of the loop can be cut in its middle."""
    clock, ended, join = Clock(), [], threading.Thread.join
    interrupts = iter([KeyboardInterrupt()])

    def interrupted(thread: threading.Thread, timeout: float | None = None) -> None:
        if thread.name == "impex-loop":
            for interrupt in interrupts:
                raise interrupt
        join(thread, timeout)

    monkeypatch.setattr(threading.Thread, "join", interrupted)
    work = Work(
        lambda name: waiting(name, ended),
        lambda name, _: name,
        lambda _: "",
        lambda: clock.stop(2),
        str,
    )

    with pytest.raises(KeyboardInterrupt):
        run_all([Task("a"), Task("b")], work, clock)

    assert sorted(ended) == ["a", "b"]
