"""Work that stops and goes on: what it may wait for, and the gates that limit how much of it runs.

A course is a generator. Between two ``yield`` it runs on a worker thread like any function; what
it yields is what it waits for, and a course that waits has no thread. ``engine/loop.py`` drives
courses. An interrupted run raises ``Interrupted`` out of the ``yield``.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

R = TypeVar("R")


class Pool(Enum):
    """Which workers a course runs on: quick API calls never queue behind long transfers."""

    CALLS = "calls"
    DOWNLOADS = "downloads"
    STEPS = "steps"


class Gate:
    """Lets ``width`` courses in at a time, in the order in which they came; safe for threads.

    A course goes on with the workers of the gate's ``pool``.
    """

    def __init__(self, width: int, pool: Pool = Pool.CALLS) -> None:
        self.pool = pool
        self._free = width
        self._queue: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()

    def ask(self, enter: Callable[[], None]) -> None:
        """Call ``enter`` as soon as there is room, perhaps at once."""
        with self._lock:
            self._queue.append(enter)
        self._let_in()

    def withdraw(self, enter: Callable[[], None]) -> bool:
        """Take a question back; False when it was answered already."""
        with self._lock:
            if enter not in self._queue:
                return False
            self._queue.remove(enter)
            return True

    def leave(self) -> None:
        """Make room for the next."""
        self.widen(1)

    def widen(self, more: int) -> None:
        """Let so many more in at a time."""
        with self._lock:
            self._free += more
        self._let_in()

    def _let_in(self) -> None:
        while True:
            with self._lock:
                if not self._free or not self._queue:
                    return
                self._free -= 1
                enter = self._queue.popleft()
            enter()


@dataclass(frozen=True, slots=True)
class Pause:
    """Go on after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Enter:
    """Go on inside a gate; whoever entered has to leave. ``Permits`` sees to that."""

    gate: Gate


@dataclass(frozen=True, slots=True)
class Together:
    """Go on when all of these courses have ended; the ``yield`` gives their results, in order.

    Where some raise, all are waited for, and the first error in their order is raised.
    """

    courses: Sequence[Course[Any]]


Wait = Pause | Enter | Together
Course = Generator[Wait, Any, R]


class Permits:
    """The gates that one course is inside of; a context manager that leaves them all."""

    def __init__(self) -> None:
        self._held: list[Gate] = []

    def enter(self, gate: Gate) -> Course[None]:
        """Wait for a gate, unless the course is inside already."""
        if gate not in self._held:
            yield Enter(gate)
            self._held.append(gate)

    def move(self, gate: Gate, *, out_of: Gate) -> Course[None]:
        """Enter one gate and only then leave another: work piles up before no third one."""
        yield from self.enter(gate)
        self.leave(out_of)

    def leave(self, gate: Gate) -> None:
        """Leave a gate, if the course is inside."""
        if gate in self._held:
            self._held.remove(gate)
            gate.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for gate in tuple(self._held):
            self.leave(gate)
