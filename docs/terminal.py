"""Runs a command at an emulated terminal and draws a screen of it as SVG, for ``pictures.py``."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING

import pyte

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

# Width and height of a cell, and the distance to the frame, in the units of the picture.
_CELL, _LINE, _EDGE, _TITLE = 8.4, 18, 14, 34
_COLOURS = {
    "black": "#8b949e",
    "red": "#ff7b72",
    "green": "#7ee787",
    "brown": "#e3b341",
    "blue": "#79c0ff",
    "magenta": "#d2a8ff",
    "cyan": "#76e3ea",
    "white": "#f0f6fc",
    "brightblack": "#8b949e",
}
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, DejaVu Sans Mono, monospace"
FOREGROUND, BACKGROUND = "#c9d1d9", "#0d1117"


@dataclass(frozen=True)
class Style:
    """How a run of characters looks."""

    colour: str
    bold: bool
    reverse: bool


class Terminal:
    """A command at a terminal of its own."""

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        environ: Mapping[str, str],
        size: tuple[int, int],
    ) -> None:
        columns, rows = size
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._fd = ours
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env={**environ, "TERM": "xterm-256color"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)

    def wait(self, seen: Callable[[str], bool] = lambda _text: False, seconds: float = 60) -> None:
        """Read until the screen shows something, or the command ends; raise after ``seconds``."""
        end = time.monotonic() + seconds
        while not seen(self.text()):
            if time.monotonic() > end:
                raise TimeoutError(self.text())
            if select.select([self._fd], [], [], 0.1)[0]:
                try:
                    data = os.read(self._fd, 65_536)
                except OSError:  # Linux says so when the command has closed the terminal
                    data = b""
                if not data:
                    self._process.wait()
                    return
                self._stream.feed(data)

    def text(self) -> str:
        """Return the text of the screen."""
        return "\n".join(self.screen.display)

    def end(self) -> int:
        """Stop the command as Ctrl-C does, if it still runs; return its exit code."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGINT)
            self.wait()
        os.close(self._fd)
        return self._process.returncode


def svg(screen: pyte.Screen, title: str) -> str:
    """Return a screen as an SVG picture, without the empty lines below its text."""
    lines = [_runs(screen, row) for row in range(screen.lines)]
    while lines and not "".join(text for text, _ in lines[-1]).strip():
        del lines[-1]
    width = 2 * _EDGE + screen.columns * _CELL
    height = _TITLE + _EDGE + len(lines) * _LINE
    label = escape(f"{title}\n" + "\n".join("".join(t for t, _ in runs).rstrip() for runs in lines))
    dots = "".join(
        f'<circle cx="{_EDGE + 6 + 18 * index}" cy="17" r="5.5" fill="#30363d"/>'
        for index in range(3)
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img">',
        f"<title>{label}</title>",
        f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>{dots}',
        f'<g font-family="{FONT}" font-size="14" fill="{FOREGROUND}" xml:space="preserve">',
        f'<text x="50%" y="21" text-anchor="middle" fill="#8b949e">{escape(title)}</text>',
        *(_drawn(runs, _TITLE + (row + 0.75) * _LINE) for row, runs in enumerate(lines)),
        "</g></svg>",
    ]
    return "\n".join(filter(None, parts)) + "\n"


def _runs(screen: pyte.Screen, row: int) -> list[tuple[str, Style]]:
    """Return the texts of a line, each with one style."""
    cells = [screen.buffer[row][column] for column in range(screen.columns)]
    styled = ((each.data, Style(each.fg, each.bold, each.reverse)) for each in cells)
    return [
        ("".join(data for data, _ in group), style)
        for style, group in groupby(styled, key=lambda cell: cell[1])
    ]


def _drawn(runs: Sequence[tuple[str, Style]], y: float) -> str:
    """Return the elements of a line; each word has its place, whatever the font's width."""
    drawn, column = [], 0
    for text, style in runs:
        for found in re.finditer(r"\S+(?: \S+)*", text):
            x = _EDGE + (column + found.start()) * _CELL
            look = f' fill="{_colour(style.colour)}"' if style.colour != "default" else ""
            look += ' font-weight="bold"' if style.bold else ""
            length = len(found[0]) * _CELL
            drawn.append(
                f'<text x="{x:.1f}" y="{y:.1f}" textLength="{length:.1f}"{look}>'
                f"{escape(found[0])}</text>"
            )
        column += len(text)
    return "".join(drawn)


def _colour(name: str) -> str:
    return _COLOURS.get(name, f"#{name}" if re.fullmatch("[0-9a-f]{6}", name) else FOREGROUND)
