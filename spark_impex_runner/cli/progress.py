"""How a run is shown while it lasts: live on a terminal, else by a line when all is silent."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from spark_impex_runner.cli.heartbeat import Heartbeat
from spark_impex_runner.cli.line import Style
from spark_impex_runner.cli.live_block import LiveBlock
from spark_impex_runner.cli.live_view import render
from spark_impex_runner.engine.progress import Backoff, RunProgress
from spark_impex_runner.report.figures import format_duration

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping

    from spark_impex_runner.cli.console import Console
    from spark_impex_runner.cli.masking_stream import MaskingStream
    from spark_impex_runner.clock import Clock

_log = logging.getLogger(__name__)

# Seconds between two drawings: the least, the most, and how many times as long as one drawing takes
# the processor, which keeps them below 1 % of a core.
_LEAST, _MOST, _SHARE = 0.2, 2.0, 150
_FIRST = 0.3
_MOST_LINES = 12


def mode(arguments: argparse.Namespace, stream: MaskingStream, environ: Mapping[str, str]) -> str:
    """Return ``live``, ``plain`` or ``none`` for a wish that may be ``auto``."""
    wanted = str(arguments.progress)
    if wanted in {"plain", "none"}:
        return wanted
    # Windows' own terminal sets no TERM; its predecessor does not know the escape sequences.
    known = environ.get("TERM", "dumb") != "dumb" or "WT_SESSION" in environ
    can = stream.isatty() and known and arguments.log_format == "text"
    lines_only = any(
        environ.get(name, "0") not in {"", "0", "false"} for name in ("CI", "ACCESSIBLE")
    )
    if wanted == "auto" and (lines_only or arguments.quiet):
        can = False
    return "live" if can else "plain"


@contextmanager
def shown(arguments: argparse.Namespace, console: Console, clock: Clock) -> Iterator[RunProgress]:
    """Show what a run does while the block lasts; yield what the run reports to."""
    progress, err = RunProgress(), console.streams.err
    chosen = mode(arguments, err, os.environ)
    with ExitStack() as stack:
        # Lines of subprocesses would tear the block; those of workers are no silence.
        if chosen == "live" or getattr(arguments, "executor", None):
            stack.enter_context(console.streams.captured())
        if chosen == "live":
            style = Style(console.colour_errors, _can_encode(err), console.masker.mask)
            live = _Live(progress, err, style)
            stack.enter_context(live.running(clock))
        elif chosen == "plain":
            stack.enter_context(_ticking(Heartbeat(progress, err).tick, clock))
        yield progress


@contextmanager
def waited_for(work: str, console: Console, clock: Clock) -> Iterator[None]:
    """Log that some work lasts, and for how long, whenever nothing else was printed for a while."""
    began, silence, err = time.monotonic(), Backoff(), console.streams.err

    def tick() -> float:
        silent = time.monotonic() - err.written_at
        if silence.is_over(min(silent, time.monotonic() - began)):
            _log.info("%s, for %s so far", work, format_duration(time.monotonic() - began))
        return _MOST

    with _ticking(tick, clock):
        yield


@contextmanager
def _ticking(tick: Callable[[], float], clock: Clock) -> Iterator[Callable[[], None]]:
    """Call ``tick`` on another thread, each time after the seconds that it returned.

    A stop of the clock calls it at once, and so does the function that is yielded.
    """
    wake, ended = threading.Lock(), threading.Event()
    wake.acquire()

    def call_now() -> None:  # also in signal handlers, which must not wait for a lock
        with suppress(RuntimeError):
            wake.release()

    def run() -> None:
        pause = _FIRST
        try:
            while True:
                wake.acquire(timeout=pause)
                if ended.is_set():
                    return
                pause = tick()
        except Exception as error:  # noqa: BLE001 - what only shows a run must not end it
            _log.debug("the progress is not shown any more", exc_info=error)

    remove_listener = clock.on_stop(call_now)
    thread = threading.Thread(target=run, name="impex-progress", daemon=True)
    thread.start()
    try:
        yield call_now
    finally:
        remove_listener()
        ended.set()
        call_now()
        thread.join()


class _Live:
    """Draws what a run does at the bottom of a terminal."""

    def __init__(self, progress: RunProgress, stream: MaskingStream, style: Style) -> None:
        self._progress = progress
        self._stream = stream
        self._style = style
        self._suspends = False

    @contextmanager
    def running(self, clock: Clock) -> Iterator[None]:
        """Draw on another thread while the block lasts."""
        block = LiveBlock(lambda: self._size().columns, reflows=_reflows(os.environ))
        self._stream.open_block(block)
        try:
            with _ticking(self.tick, clock) as draw, self._suspended_whole(draw):
                yield
        finally:
            self._stream.close_block()

    def tick(self) -> float:
        """Draw once; return the seconds until the next time."""
        began, size = time.thread_time(), self._size()
        suspends, self._suspends = self._suspends, False
        snapshot = self._progress.snapshot()
        visible = snapshot is not None and not suspends and self._in_foreground()
        height = min(_MOST_LINES, size.lines // 3)
        # The last column stays free: a character there makes some terminals begin a new line.
        lines = (
            render(snapshot, size.columns - 1, height, self._style) if snapshot and visible else []
        )
        self._stream.show(lines, size.columns - 1)
        if suspends:
            os.kill(os.getpid(), signal.SIGSTOP)
            return _FIRST  # the kernel may stop this thread a moment later; until then, no drawing
        return min(max(_LEAST, (time.thread_time() - began) * _SHARE), _MOST)

    @contextmanager
    def _suspended_whole(self, draw: Callable[[], None]) -> Iterator[None]:
        """Erase the block before Ctrl-Z suspends the process."""
        own = os.getpid()

        def suspend(number: int, _frame: object) -> None:
            if os.getpid() != own:  # a worker that was forked has no such thread
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
                return
            self._suspends = True
            draw()

        number = getattr(signal, "SIGTSTP", None)  # Windows has none
        if number is None or signal.getsignal(number) is not signal.SIG_DFL:
            yield
            return
        signal.signal(number, suspend)
        try:
            yield
        finally:
            signal.signal(number, signal.SIG_DFL)

    def _size(self) -> os.terminal_size:
        try:
            return os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):  # the terminal is gone
            return os.terminal_size((0, 0))

    def _in_foreground(self) -> bool:
        """Return False after Ctrl-Z and `bg`: the terminal then belongs to the shell."""
        try:
            return os.tcgetpgrp(self._stream.fileno()) == os.getpgrp()
        except (OSError, ValueError, AttributeError):  # another terminal than ours, or Windows
            return True


def _can_encode(stream: MaskingStream) -> bool:
    try:
        "█▏░·…".encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _reflows(environ: Mapping[str, str]) -> bool:
    """Return whether the terminal wraps lines again when it becomes narrower.

    Nearly all do, tmux also; xterm and screen do not.
    """
    return "TMUX" in environ or not ("XTERM_VERSION" in environ or "STY" in environ)
