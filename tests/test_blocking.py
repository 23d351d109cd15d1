"""Blocking work is abandoned at its limit; late results go to their own function."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner import blocking
from spark_impex_runner.blocking import Background, Workers, interruptible, map_in_threads
from spark_impex_runner.clock import Clock
from spark_impex_runner.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Return the event that ends the work of a test."""
    event = threading.Event()
    yield event
    event.set()


def test_each_call_has_a_daemon_thread(release: threading.Event) -> None:
    """Calls at the same time run on as many threads, which do not hold up the process's end."""
    workers, began, ended = Workers("test-many"), [], threading.Semaphore(0)

    def work() -> None:
        began.append(threading.current_thread())
        ended.release()
        release.wait(10)

    for _ in range(5):
        workers.submit(work)
    for _ in range(5):
        ended.acquire()

    assert len(set(began)) == 5
    assert all(thread.daemon for thread in began)
    workers.close()
    release.set()
    for thread in began:
        thread.join(10)
    assert not any(thread.is_alive() for thread in began)


def test_last_idle_worker_works_first(release: threading.Event) -> None:
    """Successive calls use one of several idle threads, so that the others end."""
    workers, seen, began = Workers("test-last"), [], threading.Semaphore(0)

    def wait() -> None:
        began.release()
        release.wait(10)

    for _ in range(3):
        workers.submit(wait)
    for _ in range(3):
        began.acquire()
    threads = {each for each in threading.enumerate() if each.name == "test-last"}
    release.set()
    while len(workers._idle) < 3:
        threading.Event().wait(0.001)
    for _ in range(5):
        workers.submit(lambda: seen.append(threading.current_thread()))
        while len(workers._idle) < 3:
            threading.Event().wait(0.001)

    assert len(seen) == 5
    assert len(set(seen)) == 1
    assert set(seen) <= threads
    workers.close()


def test_idle_worker_is_used_again_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread runs successive calls, and ends when it is idle."""
    monkeypatch.setattr(blocking, "_IDLE_SECONDS", 0.02)
    workers, seen = Workers("test-idle"), []

    for _ in range(3):
        done = threading.Event()

        def work(done: threading.Event = done) -> None:
            seen.append(threading.current_thread())
            done.set()

        workers.submit(work)
        done.wait(10)
    for thread in set(seen):
        thread.join(10)

    assert len(seen) == 3
    assert not any(thread.is_alive() for thread in seen)


def test_work_returns_result_or_raises() -> None:
    """Work that ends in time behaves like a plain call."""
    clock = Clock()

    def fail() -> None:
        raise ValueError("no")

    assert interruptible("work", lambda: 7, clock) == 7
    with pytest.raises(ValueError, match="no"):
        interruptible("work", fail, clock)


def test_time_limit_abandons_work(release: threading.Event) -> None:
    """``leave`` is called, and ``late`` gets the result that comes afterwards."""
    left, late = [], []
    came = threading.Event()

    def keep(result: int) -> None:
        late.append(result)
        came.set()

    call = Background(lambda: release.wait(10) and 7, lambda: left.append(True), keep)
    now = time.monotonic()

    assert not call.wait(lambda: now, Clock())
    assert (left, late) == ([True], [])
    release.set()
    came.wait(10)
    assert late == [7]


@pytest.mark.parametrize("early", [True, False], ids=["before", "meanwhile"])
def test_stop_abandons_work(release: threading.Event, early: bool, caplog: Any) -> None:
    """The caller continues after the grace period, and a warning names the work."""
    clock = Clock()
    if early:
        clock.stop(15)

    def work() -> None:
        clock.stop(15)
        release.wait(10)

    with pytest.raises(Interrupted) as caught:
        interruptible("step x", work, clock, 0.01)

    assert (caught.value.exit_code, caught.value.unanswered) == (143, True)
    assert "step x did not end within 0.01 s of the signal and was abandoned" in caplog.text
    assert blocking.has_abandoned()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_process_starts_own_threads() -> None:
    """A child process does not count on the threads of its parent."""
    interruptible("work", lambda: 7, Clock())

    child = os.fork()
    if not child:
        end = time.monotonic() + 10
        os._exit(0 if Background(lambda: 7).wait(lambda: end, Clock()) else 1)

    assert os.waitpid(child, 0)[1] == 0


def test_ctrl_c_abandons_work(release: threading.Event) -> None:
    """A program with no handler of its own gets its KeyboardInterrupt at once."""
    left = []

    def end() -> float:
        raise KeyboardInterrupt

    call = Background(lambda: release.wait(10), lambda: left.append(True))

    with pytest.raises(KeyboardInterrupt):
        call.wait(end, Clock())
    assert left == [True]


def test_signal_of_another_thread_stops_work(release: threading.Event) -> None:
    """The system may give it to any; Python runs the handler on the main one, when that wakes."""
    clock = Clock()
    before = signal.signal(signal.SIGUSR1, lambda signum, _: clock.stop(signum))

    def work() -> None:
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        release.wait(20)

    try:
        with pytest.raises(Interrupted):
            interruptible("it", work, clock, 0)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_error_leaves_other_calls_behind() -> None:
    """Ctrl-C while tenants are asked does not wait for those that do not answer."""
    asked, ended, answers = threading.Event(), threading.Event(), threading.Event()

    def ask(number: int) -> None:
        if number == 0:
            asked.wait()
            raise KeyboardInterrupt
        asked.set()
        answers.wait(5)
        ended.set()

    with pytest.raises(KeyboardInterrupt):
        map_in_threads(ask, [0, 1], 2)

    assert not ended.is_set()
    answers.set()
    assert map_in_threads(str, [1, 2, 3], 2) == ["1", "2", "3"]
