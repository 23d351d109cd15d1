"""Limits: how many hold one, in which order, and what ends the wait for one."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.blocking import Background
from spark_impex_runner.clock import Clock
from spark_impex_runner.errors import Interrupted
from spark_impex_runner.limits import HeldLimits, Limit

if TYPE_CHECKING:
    from collections.abc import Callable

_ACTIONS = st.lists(st.sampled_from(["ask", "release", "grow", "cancel"]), max_size=40)


@given(st.integers(0, 3), _ACTIONS)
def test_limits_are_fair(width: int, actions: list[str]) -> None:
    """A limit never has more holders than its width, and admits them in order."""
    limit, entered, queued = Limit(width), list[int](), dict[int, "Callable[[], None]"]()
    inside, order = 0, list[int]()
    for number, action in enumerate(actions):
        if action == "ask":
            queued[number] = _enter(entered, number)
            order.append(number)
            limit.acquire_later(queued[number])
        elif action == "release" and inside:
            inside -= 1
            limit.release()
        elif action == "grow":
            width += 1
            limit.grow(1)
        elif action == "cancel" and queued:
            last = max(queued)
            assert limit.cancel(queued.pop(last))
            order.remove(last)
        for each in [each for each in queued if each in entered]:
            inside += 1
            assert not limit.cancel(queued.pop(each))
        assert inside <= width
        assert inside == width or not queued
        assert entered == order[: len(entered)]


def test_admitted_holder_does_not_queue() -> None:
    """It enters beyond the width, whether it is in the queue or comes later; others wait longer."""
    limit, entered = Limit(1), list[int]()
    for number in (1, 2, 3):
        limit.acquire_later(_enter(entered, number), str(number))

    limit.admit("3")
    limit.admit("4")
    place = limit.acquire_later(_enter(entered, 4), "4")
    limit.admit("1")  # it has entered already

    assert (place, entered) == (0, [1, 3, 4])
    for _ in range(2):
        limit.release()
    assert entered == [1, 3, 4]
    limit.release()
    assert entered == [1, 3, 4, 2]


def _enter(entered: list[int], number: int) -> Callable[[], None]:
    return lambda: entered.append(number)


class Watched(Limit):
    """A limit with an event for each holder that has entered its queue."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.asked = threading.Semaphore(0)

    def acquire_later(self, enter: Callable[[], None]) -> None:
        """Enter the queue, and set the event."""
        super().acquire_later(enter)
        self.asked.release()


def waiting(limit: Watched, clock: Clock) -> Background[None]:
    """Return a call that waits for a limit, once it stands in the queue."""
    call = Background(lambda: limit.acquire(clock))
    assert limit.asked.acquire(timeout=20)
    return call


def ended(call: Background[None]) -> Background[None]:
    """Return a call that has ended by now, or soon."""
    end = time.monotonic() + 20
    assert call.wait(lambda: end, Clock())
    return call


def test_release_wakes_first_waiter() -> None:
    """The first in the queue gets the place; the second still waits."""
    limit, clock = Watched(1), Clock()
    limit.acquire(clock)
    assert limit.asked.acquire(timeout=20)
    first, second = waiting(limit, clock), waiting(limit, clock)

    limit.release()
    ended(first).result()

    assert len(limit._queue) == 1
    limit.grow(1)
    ended(second).result()


def test_stop_ends_the_wait() -> None:
    """A wait that a signal handler ends keeps no place."""
    limit, clock = Watched(0), Clock()
    call = waiting(limit, clock)

    clock.stop(15)

    with pytest.raises(Interrupted):
        ended(call).result()
    assert not limit._queue
    assert not clock._listeners
    with pytest.raises(Interrupted):
        limit.acquire(clock)
    limit.grow(1)
    limit.acquire(Clock())


def test_held_limits_are_released() -> None:
    """Held limits are released after an error; a transferred one is released already."""
    first, second, clock = Limit(1), Limit(1), Clock()

    def fail() -> None:
        with HeldLimits(clock) as held:
            held.acquire(first)
            held.acquire(first)
            held.transfer(second, out_of=first)
            first.acquire(clock)
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail()

    first.release()
    with HeldLimits(clock) as held:
        held.acquire(first)
        held.acquire(second)


def test_limit_is_suspended_while_waiting() -> None:
    """A limit that others may need is released while its holder waits for another."""
    jobs, active, clock = Watched(0), Limit(1), Clock()
    taken, let_go = threading.Event(), threading.Event()

    def deliver() -> None:
        with HeldLimits(clock) as held:
            held.acquire(active)
            held.acquire(jobs, without=active)

    def other() -> None:
        with HeldLimits(clock) as held:
            held.acquire(active)
            taken.set()
            let_go.wait(20)
            jobs.grow(1)

    call = Background(deliver)
    assert jobs.asked.acquire(timeout=20)
    second = Background(other)
    assert taken.wait(20)
    let_go.set()

    ended(second).result()
    ended(call).result()
