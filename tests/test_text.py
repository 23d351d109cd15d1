"""Foreign text on one line."""

from __future__ import annotations

import pytest

from spark_impex_runner.text import escaped, escaped_line, one_line, plain


def test_control_characters_do_not_reach_a_terminal() -> None:
    """Escape sequences and line breaks become blanks."""
    assert one_line("a\x1b[31m\r\n\tb\u202ec") == "a [31m b c"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("two\nlines\t", "two lines"),
        ("\x1b[31mred", "\ufffd[31mred"),
        ("a\u202eb", "a\ufffdb"),
        ("\ud800", "\ufffd"),
        ("a\u00a0é 漢", "a é 漢"),
    ],
)
def test_foreign_text_becomes_plain(text: str, expected: str) -> None:
    """White space becomes one blank, what is not printable is marked, the rest stays."""
    assert plain(text) == expected


def test_invisible_characters_are_escaped() -> None:
    """Lines and unusual blanks stay; what moves the cursor or reverses a text is written out."""
    text = "a\x1bb\u202ec\u00a0d\ne\tf"

    assert escaped(text) == "a\\x1bb\\u202ec\u00a0d\ne\tf"
    assert escaped_line(text) == "a\\x1bb\\u202ec\u00a0d e\tf"
