"""Find the comments ``FILL IN`` that ``impex init`` writes for values it does not know."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from spark_impex_runner.errors import Problem
from spark_impex_runner.manifest.yaml.excerpt import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from spark_impex_runner.manifest.yaml.document import Document
    from spark_impex_runner.manifest.yaml.excerpt import File

PLACEHOLDER = "FILL IN"
_COMMENT = re.compile(rf"(?:^|\s)(#.*?\b{PLACEHOLDER}\b\s*(.*))")
_VARIABLE = re.compile(r"CSPARK_[A-Z_]+")
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def unfilled(document: Document, environ: Mapping[str, str]) -> Iterator[Problem]:
    """Yield each FILL IN comment, unless it names an environment variable that is set."""
    files = {id(position.file): position.file for position in document.positions.values()}
    for file in files.values():
        for line, text in enumerate(file.lines if PLACEHOLDER in file.text else (), 1):
            found = _COMMENT.search(text)
            if found and not _is_set(file, line, environ) and not _in_scalar(file, line, found):
                message = f"still to {PLACEHOLDER.lower()}: {found[2] or 'see this comment'}"
                done = "remove the comment when it is done"
                problem = Problem(file.label, line, found.start(1) + 1, "", f"{message}; {done}")
                yield shown(problem, file)


def _is_set(file: File, line: int, environ: Mapping[str, str]) -> bool:
    """Return True if the comment, or its next line, names a variable that is set."""
    below = file.line(line + 1).lstrip()
    text = file.line(line) + (below if below.startswith("#") else "")
    return any(environ.get(name) for name in _VARIABLE.findall(text))


def _in_scalar(file: File, line: int, found: re.Match[str]) -> bool:
    """Return True if the match lies in a scalar, where ``#`` begins no comment."""
    place = line - 1, found.start(1)
    events: Any = yaml.parse(file.text, Loader=_Loader)
    scalars = (event for event in events if isinstance(event, yaml.ScalarEvent))
    spans: Any = ((each.start_mark, each.end_mark) for each in scalars)
    return any((begin.line, begin.column) <= place < (end.line, end.column) for begin, end in spans)
