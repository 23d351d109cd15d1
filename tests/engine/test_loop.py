"""Courses: they wait without a thread, enter gates in order, gather, and end when told to."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_impex_runner.clock import Clock
from spark_impex_runner.engine.course import Enter, Gate, Pause, Permits, Pool, Together
from spark_impex_runner.engine.loop import Loop, _Inbox
from spark_impex_runner.errors import Interrupted
from spark_impex_runner.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spark_impex_runner.engine.course import Course


def drive(courses: Iterable[Course[Any]], clock: Clock, threads: int = 4) -> list[Any]:
    """Run courses to their ends; return their results or errors, in order."""
    ends: dict[int, Any] = {}

    def done(number: int, result: Any, error: BaseException | None) -> None:
        ends[number] = error or result

    with Loop(clock, dict.fromkeys(Pool, threads)) as loop:
        for number, course in enumerate(courses):
            loop.start(course, partial(done, number))
        loop.run()
    return [ends[number] for number in sorted(ends)]


def test_a_course_that_waits_has_no_thread(clock: Any) -> None:
    """A thousand courses wait at the same time, on one worker."""
    most = 0

    def waiting() -> Course[int]:
        nonlocal most
        yield Pause(60)
        most = max(most, threading.active_count())
        return 1

    before = threading.active_count()
    assert sum(drive((waiting() for _ in range(1000)), clock, threads=1)) == 1000
    assert most <= before + 1
    assert clock.monotonic() == pytest.approx(60)


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=8))
def test_pauses_end_in_the_order_of_their_times(pauses: list[float]) -> None:
    """Whoever waits for less goes on first, and nobody goes on early."""
    clock, seen = FakeClock(), []

    def waiting(seconds: float) -> Course[None]:
        began = clock.monotonic()
        yield Pause(seconds)
        seen.append((seconds, clock.monotonic() - began))

    drive(map(waiting, pauses), clock, threads=1)

    assert [seconds for seconds, _ in seen] == sorted(pauses)
    assert all(waited >= seconds * (1 - 1e-9) for seconds, waited in seen)


@given(st.integers(1, 4), st.integers(1, 12), st.integers(0, 3))
@settings(max_examples=40)
def test_a_gate_lets_in_its_width_and_in_order(width: int, count: int, more: int) -> None:
    """Never more are inside than the gate is wide; with one worker they enter as they came."""
    gate, inside, most, order = Gate(width), 0, 0, []
    lock = threading.Lock()

    def visitor(number: int) -> Course[None]:
        nonlocal inside, most
        with Permits() as permits:
            yield from permits.enter(gate)
            with lock:
                inside += 1
                most = max(most, inside)
            order.append(number)
            for _ in range(more):
                yield Pause(0)
            with lock:
                inside -= 1

    drive(map(visitor, range(count)), Clock(), threads=1)

    assert most <= width
    assert order == list(range(count))


def test_a_wider_gate_lets_the_queue_in() -> None:
    """What waits before a gate enters when it is widened, without anybody leaving."""
    gate, meeting = Gate(1), threading.Barrier(3, timeout=10)

    def visitor() -> Course[str]:
        yield Enter(gate)
        gate.widen(2 if gate not in seen else 0)
        seen.add(gate)
        meeting.wait()
        return "in"

    seen: set[Gate] = set()
    assert drive((visitor() for _ in range(3)), Clock()) == ["in"] * 3


def test_a_course_goes_on_with_the_workers_of_its_gate() -> None:
    """Calls, downloads and steps have threads of their own."""
    names = []

    def course() -> Course[None]:
        names.append(threading.current_thread().name)
        for pool in (Pool.DOWNLOADS, Pool.STEPS):
            yield Enter(Gate(1, pool))
            names.append(threading.current_thread().name)

    drive([course()], Clock())

    assert names == ["impex-calls", "impex-downloads", "impex-steps"]


def test_permits_are_given_back_whatever_happens() -> None:
    """A course that fails inside of a gate leaves it; who moves on leaves the gate behind."""
    first, second = Gate(1), Gate(1)

    def failing() -> Course[None]:
        with Permits() as permits:
            yield from permits.enter(first)
            yield from permits.move(second, out_of=first)
            raise ValueError("inside")

    def following() -> Course[str]:
        with Permits() as permits:
            yield from permits.enter(first)
            yield from permits.enter(second)
            return "both"

    error, result = drive([failing(), following()], Clock(), threads=1)

    assert isinstance(error, ValueError)
    assert result == "both"


def test_together_gives_all_results_in_order(clock: Any) -> None:
    """The one that gathers goes on when the slowest has ended."""

    def part(seconds: float) -> Course[float]:
        yield Pause(seconds)
        return seconds

    def whole() -> Course[list[float]]:
        assert (yield Together([])) == []
        results: list[float] = yield Together([part(3), part(1), part(2)])
        return results

    assert drive([whole()], clock) == [[3, 1, 2]]
    assert clock.monotonic() == 3


def test_together_raises_the_first_error_in_order_after_all_have_ended(clock: Any) -> None:
    """One that fails does not leave the others behind."""
    ended = []

    def part(name: str, seconds: float) -> Course[None]:
        yield Pause(seconds)
        ended.append(name)
        raise ValueError(name)

    def whole() -> Course[None]:
        yield Together([part("slow", 9), part("quick", 1)])

    (error,) = drive([whole()], clock)

    assert str(error) == "slow"
    assert ended == ["quick", "slow"]


def test_a_stop_interrupts_whatever_waits(clock: Any) -> None:
    """A pause, a queue before a gate and a gathering end at once; a new wait ends at once, too."""
    gate, told = Gate(0), []

    def pausing() -> Course[str]:
        try:
            yield Pause(100)
        except Interrupted:
            told.append("pause")
        yield Pause(100)
        return "never"

    def queueing() -> Course[None]:
        yield Enter(gate)

    def gathering() -> Course[None]:
        yield Together([pausing(), queueing()])

    clock.at_wait = lambda _elapsed: clock.stop(15)
    ends = drive([pausing(), queueing(), gathering()], clock)

    assert [type(end) for end in ends] == [Interrupted] * 3
    assert [end.exit_code for end in ends] == [143] * 3
    assert told == ["pause", "pause"]
    gate.widen(1)
    assert drive([queueing()], Clock()) == [None]


def test_a_stop_from_another_thread_ends_a_long_wait() -> None:
    """A real clock that waits for an hour is woken by ``stop``, as a signal handler calls it."""
    clock = Clock()

    def pausing() -> Course[None]:
        yield Pause(3600)

    timer = threading.Timer(0.05, clock.stop, [2])
    timer.start()
    (error,) = drive([pausing()], clock)

    assert isinstance(error, Interrupted)
    timer.join()


def test_a_stop_while_work_runs_ends_what_waits() -> None:
    """The loop hears of a stop also while it waits for a worker."""
    clock, ended = Clock(), threading.Event()

    def pausing() -> Course[None]:
        try:
            yield Pause(3600)
        finally:
            ended.set()

    def working() -> Course[bool]:
        yield Pause(0)
        clock.stop(2)
        return ended.wait(10)

    results = drive([pausing(), working()], clock)

    assert isinstance(results[0], Interrupted)
    assert results[1] is True


def test_a_loop_that_has_ended_hears_of_no_stop() -> None:
    """Several runs may use one clock."""
    clock = Clock()
    drive([], clock)

    assert clock._listeners == []


def test_the_shortest_wait_for_news_ends() -> None:
    """A few microseconds until the next timer are over soon, though no worker says anything."""
    inbox = _Inbox()

    def look() -> None:
        for number in range(30_000):
            inbox.put(len)
            while inbox.get(-1) is None:
                pass
            assert inbox.get((1 + number % 5) * 1e-6) is None

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    looking.join(30)
    assert not looking.is_alive()
