"""The line of the text that a problem points at, for a terminal, without any secret in it.

What stands in a manifest by mistake may be the very secret that should not, so a line ends where
a value begins that is none of anybody's business: under a key that sounds like a secret's, under
an unknown key, in place of a mapping. A problem beyond that point is told without its line.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from spark_impex_runner.masking import MASK

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spark_impex_runner.errors import Problem
    from spark_impex_runner.manifest.document import File

# A reference is not the secret, and the place where it stands is worth showing.
_SECRET = re.compile(
    r"""(?:token|secret|passw|pwd|key|credential|auth)[\w-]{0,40}["']?\s{0,9}[:=]\s{0,9}"""
    r"""(?:&\S{1,40}\s{1,9})?(?!["']?\$\{)(?=[^\s{&|>#])"""
    # A URL may hold a password, and a query a token.
    r"""|://(?=[^/\s"']{0,200}@)|\?(?=[\w-]{1,40}=)""",
    re.IGNORECASE,
)


def shown(problem: Problem, file: File, private: Iterable[int] = ()) -> Problem:
    """Return ``problem`` with its line of ``file``, cut at the first of the ``private`` columns."""
    line = file.line(problem.line)
    cuts = [column - 1 for column in private]
    if found := _SECRET.search(line):
        cuts.append(found.end())
    end = min(cuts, default=len(line))
    if problem.column - 1 > end:
        return problem
    source = line[:end] + (MASK if end < len(line) else "")
    return replace(problem, source=source, caret=problem.column)
