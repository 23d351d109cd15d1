"""What showing a run of 500 targets costs the processor: live on a terminal, and by heartbeats.

All 500 are at work: jobs, 32 downloads that grow, and steps. The terminal is a real one of 80
columns and 24 rows, whose other side reads what is written. The share is that of the thread that
draws.
"""

from __future__ import annotations

import argparse
import os
import pty
import struct
import tempfile
import termios
import threading
import time
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from fcntl import ioctl
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from harness import Row, main

from spark_impex_runner.cli import progress as view
from spark_impex_runner.cli.streams import MaskingStream
from spark_impex_runner.clock import Clock
from spark_impex_runner.delivery.progress import Phase, TargetProgress
from spark_impex_runner.engine.progress import RunProgress
from spark_impex_runner.masking import Masker

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGETS, DOWNLOADS, STEPS, TENANTS = 500, 32, 16, 40
SECONDS = 20.0
MB = 1_000_000


def run(folder: Path, clock: Clock) -> RunProgress:
    """Return a run whose targets are all at work."""
    names = [f"target-{number}" for number in range(TARGETS)]
    targets = [
        SimpleNamespace(name=name, connection=f"tenant-{number % TENANTS}", steps=(None, None))
        for number, name in enumerate(names)
    ]
    progress = RunProgress()
    manifest = SimpleNamespace(name="fleet")
    whole: Any = SimpleNamespace(id="r", manifest=manifest, targets=(*targets, *targets))
    progress.begin(whole, clock, distributed=False)
    for number, target in enumerate(targets):
        progress.note_queued(f"queued-{number}", target.connection)
        job: Any = SimpleNamespace(target=target, id="j", packages=())
        each = TargetProgress(job, SimpleNamespace(clock=clock))  # type: ignore[arg-type]
        if number < DOWNLOADS:
            each.enter(Phase.DOWNLOADING)
            each.files = {folder / f"{number}.part": 200 * MB}
        elif number < DOWNLOADS + STEPS:
            each.enter(Phase.STEPS, "unzip")
        else:
            each.enter(Phase.RUNNING)
            each.usual = 60.0
        progress.note_started(each)
    return progress


@contextmanager
def terminal() -> Iterator[MaskingStream]:
    """Yield a stream to a terminal that is read."""
    leader, follower = pty.openpty()
    ioctl(follower, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))

    def read() -> None:
        with suppress(OSError):
            while os.read(leader, 65_536):
                pass

    threading.Thread(target=read, daemon=True).start()
    with os.fdopen(follower, "w", encoding="utf-8") as target:
        yield MaskingStream(target, Masker())


def measured(mode: str) -> tuple[float, float]:
    """Return the share of a core that the drawing thread takes, and how often it draws a second."""
    spent, turns = [0.0], [0]

    def counted(tick: Any) -> Any:
        def call() -> float:
            began = time.thread_time()
            try:
                return float(tick())
            finally:
                spent[0] += time.thread_time() - began
                turns[0] += 1

        return call

    clock = Clock()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stream = stack.enter_context(terminal())
        progress, ticking = run(folder, clock), view._ticking  # noqa: SLF001 - what is measured
        view._ticking = lambda tick, clock: ticking(counted(tick), clock)  # type: ignore[assignment] # noqa: SLF001
        view.RunProgress = lambda: progress  # type: ignore[assignment,misc]
        streams = SimpleNamespace(err=stream, captured=nullcontext)
        console: Any = SimpleNamespace(streams=streams, colour_errors=True)
        arguments = argparse.Namespace(progress=mode, log_format="text", quiet=False)
        os.environ["TERM"] = "xterm"
        with view.shown(arguments, console, clock):
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                for number in range(DOWNLOADS):
                    with (folder / f"{number}.part").open("ab") as file:
                        file.truncate(file.tell() + number * MB // 10)
                time.sleep(0.1)
        view._ticking = ticking  # noqa: SLF001
    return spent[0] / SECONDS, turns[0] / SECONDS


def rows() -> Iterator[Row]:
    """Measure both ways."""
    for mode, name in (("live", "live view"), ("plain", "heartbeat")):
        share, turns = measured(mode)
        figure = f"{name} of 500 active targets: CPU"
        yield Row(figure, "<= 1 % of a core", f"{share:.2%}, {turns:.1f} times a second")


if __name__ == "__main__":
    main(rows)
