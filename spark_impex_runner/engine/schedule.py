"""Which task may start: its needs are good and its lane has a free worker."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Task:
    """One unit of work: tasks of one lane share its workers, in the given order."""

    name: str
    lane: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Work(Generic[R]):
    """What to do with a task, what to make of one that may not start, and what is good.

    ``do`` and ``skip`` do not raise. ``halted`` is asked before each start and gives the reason
    for which nothing new may start, or an empty text. ``abort`` is called when the waiting
    itself is broken off (Ctrl-C in a program that embeds the runner): running work should end.
    """

    do: Callable[[str], R]
    skip: Callable[[str, str], R]
    good: Callable[[R], bool]
    halted: Callable[[], str]
    abort: Callable[[], None]


@dataclass
class _Board(Generic[R]):
    work: Work[R]
    waiting: dict[str, Task]
    running: dict[Future[R], str] = field(default_factory=dict)
    results: dict[str, R] = field(default_factory=dict)

    def start_ready(self, pools: Mapping[str, ThreadPoolExecutor]) -> None:
        """Start what may start; skip what never can. Repeats, since a skip can cause another."""
        progress = True
        while progress:
            progress = False
            for task in list(self.waiting.values()):
                reason = self.work.halted() or self._lost_need(task)
                if reason:
                    self.results[task.name] = self.work.skip(task.name, reason)
                elif all(need in self.results for need in task.needs):
                    future = pools[task.lane].submit(self._do, task.name)
                    self.running[future] = task.name
                else:
                    continue
                del self.waiting[task.name]
                progress = True

    def _do(self, name: str) -> R:
        """Look again whether work may start: the task may have waited for a worker."""
        reason = self.work.halted()
        return self.work.skip(name, reason) if reason else self.work.do(name)

    def _lost_need(self, task: Task) -> str:
        for need in task.needs:
            if need in self.results and not self.work.good(self.results[need]):
                return f"it needs {need}, which did not succeed"
        return ""

    def collect(self) -> None:
        """Wait until something has finished and take its result."""
        for future in wait(self.running, return_when=FIRST_COMPLETED).done:
            self.results[self.running.pop(future)] = future.result()


def run_all(tasks: Sequence[Task], workers: Mapping[str, int], work: Work[R]) -> dict[str, R]:
    """Run tasks on one pool of ``workers[lane]`` threads a lane; return every task's result.

    Needs must name tasks of the same call and form no cycle. A task whose need is not good is
    skipped; a bad result never stops the others.
    """
    board: _Board[R] = _Board(work, {task.name: task for task in tasks})
    with ExitStack() as stack:
        pools = {
            lane: stack.enter_context(ThreadPoolExecutor(count, f"impex-{lane}"))
            for lane, count in workers.items()
        }
        try:
            board.start_ready(pools)
            while board.running:
                board.collect()
                board.start_ready(pools)
        except BaseException:
            work.abort()
            raise
    return {task.name: board.results[task.name] for task in tasks}
