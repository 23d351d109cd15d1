"""A few threads that share one list of work."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from threading import Event

    Item = TypeVar("Item")

# More do not help: then the disk and Python's own lock are what is waited for.
COUNT = min(os.cpu_count() or 1, 4)


def share(items: Iterable[Item], work: Callable[[Item], None], ended: Event) -> None:
    """Call ``work`` for each item, in order, in ``COUNT`` threads; none outlives the call.

    The first failure is raised. It sets ``ended``, as does the end of the call: ``work`` should
    look at it and break off with any exception, which is then dropped.
    """
    waiting = deque(items)
    failures: list[BaseException] = []

    def take_turns() -> None:
        while not ended.is_set():
            try:
                item = waiting.popleft()
            except IndexError:
                return
            try:
                work(item)
            except BaseException as error:  # noqa: BLE001 - raised below, in the caller's thread
                failures.append(error)
                ended.set()

    with ThreadPoolExecutor(COUNT, "unzip") as pool:
        try:
            wait([pool.submit(take_turns) for _ in range(COUNT)])
        finally:
            ended.set()
    if failures:
        raise failures[0]
