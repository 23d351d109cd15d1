"""Which task may start: one whose needs are good."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Generic, TypeVar

from spark_impex_runner.engine.loop import Loop
from spark_impex_runner.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.engine.course import Course

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Task:
    """One unit of work, after those that it needs."""

    name: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Work(Generic[R]):
    """What to do with a task, what to make of one that may not start, and what is not good.

    ``fault`` says so in the end of "a, which …", and says nothing of a good result. ``do`` and
    ``skip`` do not raise. ``abort`` is called when the waiting itself is broken off
    (Ctrl-C in a program that embeds the runner): running work should end. ``abandoned`` makes the
    result of a task that was given up after a stop.
    """

    do: Callable[[str], Course[R]]
    skip: Callable[[str, str], R]
    fault: Callable[[R], str]
    abort: Callable[[], None]
    abandoned: Callable[[str], R]


class _Board(Generic[R]):
    """The tasks that have not started, by what they wait for, and the results so far."""

    def __init__(self, tasks: Sequence[Task], work: Work[R], loop: Loop) -> None:
        self.results: dict[str, R] = {}
        self._work = work
        self._loop = loop
        self._missing = {task.name: len(task.needs) for task in tasks}
        self._lost: dict[str, str] = {}
        self._dependents: dict[str, list[str]] = defaultdict(list)
        for task in tasks:
            for need in task.needs:
                self._dependents[need].append(task.name)

    def start(self) -> None:
        """Start what needs nothing."""
        for name in [name for name, missing in self._missing.items() if not missing]:
            self._begin(name)

    def _begin(self, name: str) -> None:
        lost = self._lost.get(name)
        course = _skipping(self._work, name, lost) if lost else self._work.do(name)
        self._loop.start(course, partial(self._note, name))

    def _note(self, name: str, result: R, error: BaseException | None) -> None:
        """Take a result, and start those that waited for it."""
        if isinstance(error, Interrupted):
            result = self._work.abandoned(name)
        elif error:
            raise error
        self.results[name] = result
        for dependent in self._dependents[name]:
            if fault := self._work.fault(result):
                self._lost.setdefault(dependent, f"it needs {name}, which {fault}")
            self._missing[dependent] -= 1
            if not self._missing[dependent]:
                self._begin(dependent)


def _skipping(work: Work[R], name: str, reason: str) -> Course[R]:
    """Skip a task as a course, which waits for nothing."""
    yield from ()
    return work.skip(name, reason)


def run_all(tasks: Sequence[Task], work: Work[R], clock: Clock) -> dict[str, R]:
    """Run all tasks, each as soon as its needs are good; return every task's result.

    Needs must name tasks of the same call and form no cycle. A task whose need is not good is
    skipped; a bad result never stops the others. What limits the work are the gates that its
    courses enter.
    """
    with Loop(clock) as loop:
        board: _Board[R] = _Board(tasks, work, loop)
        board.start()
        _drive(loop, work.abort)
    return {task.name: board.results[task.name] for task in tasks}


def _drive(loop: Loop, abort: Callable[[], None]) -> None:
    """Run a loop to its end on a thread of its own, where no Ctrl-C can fall into its middle.

    What is raised here or there aborts the work; it is raised when all of that has ended.
    """
    errors: list[BaseException] = []

    def run() -> None:
        try:
            loop.run()
        except BaseException as error:  # noqa: BLE001 - raised below, where somebody waits
            errors.append(error)
            abort()
            loop.run()

    thread = Thread(target=run, name="impex-loop")
    thread.start()
    try:
        thread.join()
    except BaseException:
        abort()
        thread.join()
        raise
    if errors:
        raise errors[0]
