"""A run in a real terminal, and what a signal leaves of it."""

from __future__ import annotations

import os
import signal
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyte
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")

START = "from spark_impex_runner.cli.main import run; run()"
COLUMNS, ROWS = 80, 24
# Writes past all streams, as a program that a plugin starts does, when a test opens the pipe.
LOUD = """
import os, threading
from spark_impex_runner import hookimpl

def write():
    with open("go") as go:
        os.write(2, go.read().encode())

@hookimpl
def impex_run_started():
    threading.Thread(target=write, daemon=True).start()
"""


class Window:
    """The side of a terminal that shows what is written, and passes on what is typed."""

    def __init__(self, leader: int) -> None:
        self.leader = leader
        self.sent = b""

    def read_until(self, text: str, times: int = 1) -> None:
        """Read what is written until it contains a text, or until its end."""
        while self.sent.count(text.encode()) < times:
            try:
                self.sent += os.read(self.leader, 4096)
            except OSError:  # no process has the terminal open any more
                return

    @property
    def screen(self) -> Any:
        """What it shows."""
        screen = pyte.HistoryScreen(COLUMNS, ROWS)
        pyte.ByteStream(screen).feed(self.sent)
        return screen


@pytest.fixture
def window(
    shell: Any, tenant: Any, start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Window, Any]]:
    """Start a run in a terminal of 80 columns, and wait until its job is seen to run."""
    import pty  # noqa: PLC0415 - see the mark of this file
    import termios  # noqa: PLC0415
    from fcntl import ioctl  # noqa: PLC0415

    assert tenant
    (shell.folder / "loud.py").write_text(LOUD)
    os.mkfifo(shell.folder / "go")
    for name in ("CI", "ACCESSIBLE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    leader, follower = pty.openpty()
    ioctl(follower, termios.TIOCSWINSZ, struct.pack("4H", ROWS, COLUMNS, 0, 0))
    process = start("-c", START, "m.yaml", "-p", "loud.py", stdout=follower, stderr=follower)
    os.close(follower)
    window = Window(leader)
    window.read_until("life  ")
    yield window, process
    with suppress(OSError):
        os.close(leader)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_clean_terminal(window: tuple[Window, Any], number: int) -> None:
    """The block is gone, the summary stands below the log, the cursor is visible."""
    shown, process = window
    process.send_signal(number)
    shown.read_until("\0")

    lines = [line.rstrip() for line in shown.screen.display]
    assert process.wait() == 128 + number
    assert not any("usually" in line or " of 1 done" in line for line in lines)
    assert any(line.startswith(f"{signal.Signals(number).name}: stopping") for line in lines)
    assert any("to resume" in line for line in lines)
    assert (shown.screen.cursor.x, shown.screen.cursor.hidden) == (0, False)
    assert b"\x1b[?" not in shown.sent


def test_foreign_lines_stay_whole(window: tuple[Window, Any]) -> None:
    """What a subprocess writes comes above the block, too, which stays in one piece."""
    shown, process = window
    with Path("go").open("w", encoding="utf-8") as go:
        go.write("a line past all streams\n")
    shown.read_until("a line past all streams")
    shown.read_until("life  ", times=shown.sent.count(b"life  ") + 2)  # drawn again since
    process.kill()
    shown.read_until("\0")

    lines = [line.rstrip() for line in shown.screen.display]
    assert "a line past all streams" in lines
    assert sum(" of 1 done" in line for line in lines) == 1


def test_a_kill_leaves_a_usable_terminal(window: tuple[Window, Any]) -> None:
    """Nothing can be restored then: the cursor waits at the beginning of a line below the block."""
    shown, process = window
    process.kill()
    shown.read_until("\0")

    screen = shown.screen
    assert (screen.cursor.x, screen.cursor.hidden) == (0, False)
    assert screen.display[screen.cursor.y].strip() == ""
    assert screen.display[screen.cursor.y - 1].startswith("life  ")
    assert b"\x1b[?" not in shown.sent
