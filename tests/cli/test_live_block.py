"""Byte for byte on an emulated terminal: the block stays below whole lines, whatever happens."""

from __future__ import annotations

import io
from typing import Any

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.cli.line import Style
from spark_impex_runner.cli.live_block import LiveBlock
from spark_impex_runner.cli.live_view import render
from spark_impex_runner.cli.masking_stream import MaskingStream
from spark_impex_runner.engine.snapshot import Activity, Snapshot
from spark_impex_runner.masking import Masker


class Screen(pyte.HistoryScreen):
    """A screen that deletes lines also where those below were never written, unlike pyte's."""

    def delete_lines(self, count: int | None = None) -> None:
        """Delete lines at the cursor."""
        for row in range(self.lines):
            self.buffer[row]
        super().delete_lines(count)


class Terminal(io.StringIO):
    """A terminal of pyte, which does not wrap its lines again; ``writes`` counts what it gets."""

    def __init__(self, columns: int, rows: int) -> None:
        super().__init__()
        self.screen = Screen(columns, rows, history=5000, ratio=1.0)
        self.writes = 0
        self.sent = ""
        self._parser = pyte.Stream(self.screen)

    def write(self, text: str) -> int:
        """Show a text as the kernel's terminal passes it on."""
        self.writes += 1
        self.sent += text
        self._parser.feed(text.replace("\n", "\r\n"))
        return len(text)

    def resize(self, columns: int, rows: int) -> None:
        """Change the size; rows that no longer fit leave at the top, as with real terminals."""
        lines = [*self.lines(), self.screen.display[self.screen.cursor.y].rstrip()]
        shown = "\r\n".join(line[:columns] for line in lines)
        self.screen = Screen(columns, rows, history=5000, ratio=1.0)
        self._parser = pyte.Stream(self.screen)
        self._parser.feed(shown)

    def lines(self) -> list[str]:
        """Return all lines above the cursor's, those of the scroll-back first."""
        shown = (self.screen.buffer[number] for number in range(self.screen.cursor.y))
        columns = range(self.screen.columns)
        rows = [*self.screen.history.top, *shown]
        return ["".join(row[number].data for number in columns).rstrip() for row in rows]

    def below(self) -> str:
        """Return what is on the cursor's row and below it."""
        return "".join(self.screen.display[self.screen.cursor.y :]).strip()


def opened(terminal: Terminal, *secrets: str) -> MaskingStream:
    """Return a stream to the terminal, with a block."""
    masker = Masker()
    for secret in secrets:
        masker.add(secret)
    stream = MaskingStream(terminal, masker)
    stream.open_block(LiveBlock(lambda: terminal.screen.columns, reflows=False))
    return stream


def test_a_line_is_one_write() -> None:
    """It replaces the block, which follows again; nothing can come between."""
    terminal = Terminal(80, 24)
    stream = opened(terminal)
    stream.show(["totals", "row"], 79)
    before = terminal.writes

    stream.styled("a line")

    assert terminal.writes == before + 1
    assert terminal.lines() == ["a line", "totals", "row"]


def test_the_same_block_is_not_drawn_again() -> None:
    """Nothing is sent while nothing changes."""
    terminal = Terminal(80, 24)
    stream = opened(terminal)
    for _ in range(3):
        stream.show(["totals"], 79)

    assert terminal.writes == 1


def test_an_unfinished_line_is_not_torn() -> None:
    """A plugin may write a line in pieces: the block is away until it ends."""
    terminal = Terminal(80, 24)
    stream = opened(terminal)
    stream.show(["totals"], 79)

    print("50 %", end="", file=stream, flush=True)
    stream.show(["totals"], 79)
    assert terminal.screen.display[0].rstrip() == "50 %"
    print(" done", file=stream)

    assert terminal.lines() == ["50 % done", "totals"]


def test_the_block_is_masked_and_encoded() -> None:
    """A name may be a secret; masked it is no longer than the terminal is wide."""
    terminal = Terminal(20, 24)
    stream = opened(terminal, "motor-secret")
    stream.show(["motor-secret and the rest"[:19]], 19)

    assert terminal.lines() == ["*** and th"]


def test_closing_leaves_only_lines() -> None:
    """The cursor is where the block began, was never hidden, and no mode was changed."""
    terminal = Terminal(80, 24)
    stream = opened(terminal)
    stream.styled("first")
    stream.show(["totals", "row"], 79)
    stream.write_urgent("SIGTERM: stopping")
    stream.close_block()

    assert terminal.lines() == ["first", "SIGTERM: stopping"]
    assert (terminal.screen.cursor.x, terminal.screen.cursor.hidden) == (0, False)
    assert "\x1b[?" not in terminal.sent


def test_wrapped_rows_are_erased() -> None:
    """A terminal that wraps lines again shows a block of 30 columns in 3 rows of 10."""
    columns = 40
    block = LiveBlock(lambda: columns, reflows=True)
    block.replaced(["x" * 30, "y"])
    columns = 10

    assert block.drawn().startswith("\r\x1b[K\x1b[4A\x1b[4Mx")  # wrapped lines are deleted first
    assert block.drawn().startswith("\r\x1b[K\x1b[4Ax")
    assert block.erased() == "\r\x1b[K\x1b[4A\x1b[4M"


@pytest.mark.parametrize("size", [(80, 24), (40, 10), (20, 24)])
def test_hundreds_of_targets_scroll_by(size: tuple[int, int]) -> None:
    """Each line of the log is whole and there once, also when the window changes in mid-run."""
    terminal = Terminal(*size)
    stream = opened(terminal)
    for done in range(80):
        columns, rows = terminal.screen.columns, terminal.screen.lines
        active = tuple(Activity("sit", f"t{n}", "running", n) for n in range(done, 500))
        snapshot = Snapshot(
            "m", "r", done, 500, active=active, longest="t499", connections=("sit",)
        )
        lines = render(snapshot, columns - 1, rows // 3, Style())
        stream.show(lines, columns - 1)
        assert terminal.lines()[-len(lines) :] == lines
        assert len(lines) == rows // 3
        stream.styled(f"{done}: succeeded")
        if done == 40:
            terminal.resize(30, 12)
    stream.close_block()

    assert terminal.lines() == [f"{done}: succeeded" for done in range(80)]


ACTIONS = st.one_of(
    st.tuples(st.just("line"), st.integers(1, 3)),
    st.tuples(st.just("block"), st.integers(0, 4)),
    st.tuples(st.just("piece"), st.integers(1, 3)),
    st.tuples(st.just("resize"), st.sampled_from([(80, 24), (40, 12), (20, 12), (20, 24)])),
)


@given(actions=st.lists(ACTIONS, max_size=30))
def test_no_line_is_torn_or_repeated(actions: list[tuple[str, Any]]) -> None:
    """Lines, pieces of lines, blocks of any height and new sizes, in any order."""
    terminal = Terminal(40, 12)
    stream = opened(terminal)
    logged, piece = [], ""
    for number, (action, value) in enumerate(actions):
        if action == "line":
            lines = [f"line {number}.{row}" for row in range(value)]
            logged += [piece, *lines] if piece else lines
            piece = ""
            stream.styled("\n".join(lines))
        elif action == "block":
            stream.show([f"block {number}.{row}" for row in range(value)], 19)
        elif action == "piece" and len(piece) < 10:
            piece += "." * value
            print("." * value, end="", file=stream, flush=True)
        elif action == "resize":
            terminal.resize(*value)
        assert piece or not terminal.below()
    print(file=stream)
    stream.close_block()

    assert terminal.lines() == [*logged, piece]
