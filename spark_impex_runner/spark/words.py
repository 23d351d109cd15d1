"""A server's words, made fit for one line of a terminal."""

from __future__ import annotations

_LONGEST = 500


def one_line(text: str) -> str:
    """Return ``text`` on one line, without control characters, 500 characters at most."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text[: 4 * _LONGEST])
    line = " ".join(plain.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."
