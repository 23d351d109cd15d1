"""Add to a problem the source line that it points at, without any secret in it.

A value in the wrong place may be a secret. So the excerpt is cut where such a value begins: under a
key that resembles a secret's, under an unknown key, in place of a mapping. A problem beyond the cut
gets no excerpt.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from spark_impex_runner.masking import MASK

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spark_impex_runner.errors import Problem

_LINE_BREAK = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")
# A quoted or indented secret may continue on the lines below its key; so many lines are searched.
_ABOVE = 40
_COMMENT = re.compile(r"(?:^|\s)#.*")
_BEGINS_BELOW = re.compile(
    r"""(?i)(?:token|secret|passw|api[_-]?key)[\w-]{0,40}["']?\s{0,9}:\s*$"""
)
# Not followed by "${": a reference is no secret, and the user needs to see it.
_SECRET = re.compile(
    r"""(?:token|secret|passw|pwd|key|credential|auth)[\w-]{0,40}["']?\s{0,9}[:=\s]\s{0,9}"""
    r"""(?:&\S{1,40}\s{1,9})?(?!["']?\$\{)(?=[^\s{&#])"""
    # A URL may hold a password, and a query a token.
    r"""|://(?=[^/\s"']{0,200}@)|\?(?=[\w-]{1,40}=)""",
    re.IGNORECASE,
)
# Of a very long line, so many characters are shown on either side of the column.
_AROUND = 500


@dataclass(frozen=True)
class File:
    """A file of a manifest: its name in messages, and its text."""

    label: str
    text: str = field(default="", repr=False)

    @cached_property
    def lines(self) -> list[str]:
        """The lines, as YAML counts them; at least one."""
        return _LINE_BREAK.split(self.text)

    @property
    def end(self) -> tuple[int, int]:
        """Line and column behind the last character."""
        return len(self.lines), len(self.lines[-1]) + 1

    def line(self, number: int) -> str:
        """Return a line by its number, counted from 1; an empty text beyond the last."""
        return self.lines[number - 1] if number <= len(self.lines) else ""


def shown(problem: Problem, file: File, private: Iterable[int] = ()) -> Problem:
    """Return ``problem`` with its line of ``file``, cut at the first of the ``private`` columns."""
    line = file.line(problem.line)
    end = min([_first_secret(line), *(column - 1 for column in private)])
    at = problem.column - 1
    if at > end or _may_continue(file, problem.line):
        return replace(problem, source="", caret=0)
    begin = max(at - _AROUND, 0) if len(line) > 2 * _AROUND else 0
    source = line[begin : min(end, at + _AROUND)] + (MASK if end < len(line) else "")
    return replace(problem, source=source, caret=problem.column - begin)


def _may_continue(file: File, row: int) -> bool:
    """Return True if a literal secret may begin above a line and continue in it."""
    return any(_is_open(file.line(above)) for above in range(max(row - _ABOVE, 1), row))


# Cached: each of many problems searches the same lines above it.
@lru_cache(maxsize=4096)
def _is_open(line: str) -> bool:
    """Return True if a literal secret begins in a line or behind its end."""
    text = _COMMENT.sub("", line)
    return _first_secret(text) < len(text) or _BEGINS_BELOW.search(text) is not None


@lru_cache(maxsize=4096)
def _first_secret(line: str) -> int:
    """Return where a line's first secret may begin; the line's length if it has none."""
    found = _SECRET.search(line)
    return found.end() if found else len(line)
