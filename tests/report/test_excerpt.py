"""The source line of a problem, with the caret below its column."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.errors import Problem
from spark_impex_runner.report.excerpt import excerpt
from spark_impex_runner.text import display_width


def problem(source: str, caret: int, severity: str = "error") -> Problem:
    """Return a problem of line 7."""
    return Problem("m.yaml", 7, caret, "", "wrong", severity, source, caret)


@pytest.mark.parametrize(
    ("source", "caret", "shown"),
    [
        ("name: x", 7, [" 7 | name: x", "   |       ^"]),
        ("name: x", 8, [" 7 | name: x", "   |        ^"]),
        ("{a:\tx}", 5, [" 7 | {a:    x}", "   |        ^"]),
        ("{保険: x}", 6, [" 7 | {保険: x}", "   |        ^"]),
        ("{cafe\u0301: x}", 9, [" 7 | {cafe\u0301: x}", "   |        ^"]),
        ("a\x1b[2J\u202eb", 7, [" 7 | a\ufffd[2J\ufffdb", "   |       ^"]),
        ("", 1, []),
    ],
    ids=["within", "behind", "tab", "wide", "combining", "control", "none"],
)
def test_caret_is_below_position(source: str, caret: int, shown: list[str]) -> None:
    """Characters of any width, and invisible ones, may precede it."""
    assert excerpt(problem(source, caret), 80) == shown


@pytest.mark.parametrize("caret", [1, 2, 99, 150, 199, 200, 201])
def test_long_line_is_cut(caret: int) -> None:
    """What is cut off is marked, and the caret is where it was."""
    source = "".join(chr(ord("a") + at % 26) for at in range(200))

    line, below = excerpt(problem(source, caret), 60)

    assert max(len(line), len(below)) <= 60
    assert ("..." in line[:8], line.endswith("...")) == (caret > 30, caret < 170)
    at = below.index("^")
    assert line[at : at + 1] == source[caret - 1 : caret]


@given(st.text(st.sampled_from("ab保\u0301\t é"), max_size=120), st.data())
def test_no_excerpt_is_wider_than_the_terminal(source: str, data: st.DataObject) -> None:
    """And the characters from the caret on are those of the source."""
    caret = data.draw(st.integers(1, len(source) + 1))

    lines = excerpt(problem(source, caret), 40)

    assert all(display_width(line) <= 40 for line in lines)
    if lines:
        column, cells, at = lines[1].index("^"), 0, 0
        while cells < column:
            cells, at = cells + display_width(lines[0][at]), at + 1
        rest = re.sub(r"(\.\.\.)?$", "", lines[0][at:].lstrip("\u0301"))
        wanted = source[caret - 1 :].replace("\t", "    ").lstrip("\u0301")
        assert wanted.startswith(rest)


def test_colours_mark_the_number_and_the_caret() -> None:
    """An error is red, a warning yellow; without colours there are no codes."""
    assert excerpt(problem("x", 1), 80, colour=True)[1].endswith("\x1b[1;31m^\x1b[0m")
    assert excerpt(problem("x", 1, "warning"), 80, colour=True)[1].endswith("\x1b[1;33m^\x1b[0m")
    assert "\x1b" not in "".join(excerpt(problem("x", 1), 80))
