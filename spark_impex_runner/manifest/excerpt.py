"""The line of the text that a problem points at, for a terminal, without any secret in it.

What stands in a manifest by mistake may be the very secret that should not, so a line ends where
a value begins that is none of anybody's business: under a key that sounds like a secret's, under
an unknown key, in place of a mapping. A problem beyond that point is told without its line.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from spark_impex_runner.masking import MASK

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spark_impex_runner.errors import Problem
    from spark_impex_runner.manifest.document import File

# A reference is not the secret, and the place where it stands is worth showing.
_WORD = re.compile(r"(?i)(?:token|secret|passw|pwd|key|credential)[\w-]{0,40}[\"']?\s{0,9}:")
# A quoted or indented secret of several lines is a line or two away from its key.
_ABOVE = 3
_SECRET = re.compile(
    r"""(?:token|secret|passw|pwd|key|credential|auth)[\w-]{0,40}["']?\s{0,9}[:=\s]\s{0,9}"""
    r"""(?:&\S{1,40}\s{1,9})?(?!["']?\$\{)(?=[^\s{&#])"""
    # A URL may hold a password, and a query a token.
    r"""|://(?=[^/\s"']{0,200}@)|\?(?=[\w-]{1,40}=)""",
    re.IGNORECASE,
)
# So much of a very long line is kept on either side of the place.
_AROUND = 500


def shown(problem: Problem, file: File, private: Iterable[int] = ()) -> Problem:
    """Return ``problem`` with its line of ``file``, cut at the first of the ``private`` columns."""
    line = file.line(problem.line)
    end = min([_first_secret(line), *(column - 1 for column in private)])
    at = problem.column - 1
    if at > end:
        return replace(problem, source="", caret=0)
    begin = max(at - _AROUND, 0) if len(line) > 2 * _AROUND else 0
    source = line[begin : min(end, at + _AROUND)] + (MASK if end < len(line) else "")
    return replace(problem, source=source, caret=problem.column - begin)


def shown_alone(problem: Problem, file: File) -> Problem:
    """Return ``problem`` of the text itself with its line, unless a secret may go on in it."""
    above = [file.line(row) for row in range(max(problem.line - _ABOVE, 1), problem.line)]
    goes_on = any(_WORD.search(line) for line in above) and problem.column > 1
    return problem if goes_on else shown(problem, file)


@lru_cache(maxsize=1024)
def _first_secret(line: str) -> int:
    """Return where the first secret of a line may begin, the line's length if nowhere."""
    found = _SECRET.search(line)
    return found.end() if found else len(line)
