"""The waits of the real clock end when it is stopped, also by a signal handler."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest

from spark_impex_runner.clock import Clock
from spark_impex_runner.errors import Interrupted

# Waits again and again while a signal stops the clock at some moment, hundreds of times.
STORM = """
import faulthandler, random, signal
from spark_impex_runner.clock import Clock
from spark_impex_runner.errors import Interrupted

faulthandler.dump_traceback_later(60, exit=True)
signal.signal(signal.SIGALRM, lambda *_: clock.stop(14))
for _ in range(3000):
    clock = Clock()
    signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 2e-4))
    try:
        while True:
            clock.wait(0.00002)
    except Interrupted:
        pass
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no interval timer")
def test_signal_handler_may_stop_clock() -> None:
    """The stop ends the wait of its own thread at any instruction, and neither hangs."""
    assert subprocess.call([sys.executable, "-c", STORM]) == 0


def test_stop_ends_every_wait() -> None:
    """All waiting threads continue at once, however often the clock is stopped."""
    clock, ended = Clock(), []

    def wait() -> None:
        with pytest.raises(Interrupted):
            clock.wait(1e12)
        ended.append(True)

    threads = [threading.Thread(target=wait) for _ in range(4)]
    for thread in threads:
        thread.start()
    clock.stop(15)
    clock.stop(15)
    for thread in threads:
        thread.join()
    assert len(ended) == 4
    with pytest.raises(Interrupted):
        clock.wait(60)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="this system has no such signals")
def test_signal_of_another_thread_ends_wait() -> None:
    """The system may give it to any; Python runs the handler on the main one, when that wakes."""
    clock = Clock()
    before = signal.signal(signal.SIGUSR1, lambda signum, _: clock.stop(signum))

    def send() -> None:
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    try:
        began, timer = time.monotonic(), threading.Timer(0.05, send)
        timer.start()
        with pytest.raises(Interrupted):
            clock.wait(20)
        timer.join()
        assert time.monotonic() - began < 15
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_wait_ends_by_itself() -> None:
    """Without a stop a wait takes its seconds, and none for a negative number."""
    Clock().wait(0.001)
    Clock().wait(-1)
