"""A manifest as data, with the file, line and column of each value."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import Problem
from spark_impex_runner.manifest.yaml.excerpt import File, shown
from spark_impex_runner.text import escaped_line

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

KeyPath = tuple[str | int, ...]
PrivateColumns = Mapping[tuple[str, int], Sequence[int]]
_NOTHING: PrivateColumns = {}

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_@-]+")
_SECRET_KEY = re.compile(r"(?i)[\w-]*?(?:token|secret|passw|key|credential)")


@dataclass(frozen=True, slots=True)
class AmbiguousScalar:
    """A plain scalar that YAML 1.1 reads in an unexpected way: a date, ``1:30``, ``0x10``.

    ``text`` is the scalar as written, ``reading`` what YAML makes of it. No schema accepts this
    type, so the user gets an error that says to quote the value.
    """

    text: str
    reading: str


@dataclass(frozen=True, slots=True)
class Position:
    """Where a value and its key begin (line and column, from 1), and a scalar's source text.

    ``file`` and ``path`` are those of the file that holds the value, also after several files were
    merged. ``last`` is the last line of a scalar that has several.
    """

    value: tuple[int, int]
    key: tuple[int, int]
    text: str | None = field(default=None, repr=False)
    file: File = field(default=File(""), repr=False)
    path: KeyPath = ()
    last: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Finding:
    """An error or warning about a value, or with ``at_key`` about its key.

    ``see`` is a related path, whose line ends the message: "is already taken in line 3".
    """

    path: KeyPath
    message: str
    at_key: bool = False
    see: KeyPath | None = None
    severity: str = "error"


@dataclass(frozen=True, slots=True)
class Document:
    """The data of a manifest, with the position of each value.

    ``problems`` are the errors found while reading that left the rest readable; ``added`` are the
    paths of targets, connections and other entries that only an overlay has; ``suffix`` is appended
    to the manifest's name; ``files`` are all files that were read.
    """

    path: Path
    data: dict[str, Any] = field(repr=False)
    positions: Mapping[KeyPath, Position] = field(repr=False)
    problems: tuple[Problem, ...] = ()
    added: frozenset[KeyPath] = frozenset()
    suffix: str = ""
    files: tuple[Path, ...] = ()

    def position(self, path: KeyPath) -> Position:
        """Return the position of ``path``, or of its nearest ancestor that has one."""
        return self.positions[self._nearest(path)]

    def line_and_column(self, path: KeyPath, *, at_key: bool = False) -> tuple[int, int]:
        """Return line and column of ``path``, or of its nearest ancestor that has a position."""
        position = self.position(path)
        return position.key if at_key and path in self.positions else position.value

    def text(self, path: KeyPath) -> str | None:
        """Return a scalar's source text; None for anything else."""
        position = self.positions.get(path)
        return position.text if position else None

    def source_path(self, path: KeyPath) -> KeyPath:
        """Return the path of ``path`` within the file that holds it."""
        nearest = self._nearest(path)
        return self.positions[nearest].path + path[len(nearest) :]

    def _nearest(self, path: KeyPath) -> KeyPath:
        """Return ``path``, or its nearest ancestor that has a position."""
        # A missing key, and a value from a default, have no position of their own.
        while path and path not in self.positions:
            path = path[:-1]
        return path

    def problem(self, finding: Finding, private: PrivateColumns = _NOTHING) -> Problem:
        """Return ``finding`` with its file, line and column.

        ``private`` are columns, by file and line, at which the source excerpt is cut.
        """
        file = self.position(finding.path).file
        line, column = self.line_and_column(finding.path, at_key=finding.at_key)
        message = finding.message
        if finding.see is not None:
            message += f" in {self._from(file, finding.see)}"
        path = dotted(self.source_path(finding.path))
        problem = Problem(file.label, line, column, path, escaped_line(message), finding.severity)
        return shown(problem, file, private.get((file.label, line), ()))

    def _from(self, file: File, path: KeyPath) -> str:
        """Return the location of ``path``, without the file's name if it is ``file``."""
        other, line = self.position(path).file, self.line_and_column(path)[0]
        return f"line {line}" if other is file else f"{other.label}:{line}"


def without_invalid(data: Any, findings: Iterable[Finding]) -> Any:
    """Return ``data`` with None in place of each value that has a finding.

    Later checks then need not guard against values that are known to be wrong.
    """
    wrong = {finding.path for finding in findings}
    return _without(data, wrong, ())


def _without(data: Any, wrong: set[KeyPath], path: KeyPath) -> Any:
    """Return the data at ``path`` with None for each path in ``wrong``."""
    if path in wrong:
        return None
    if isinstance(data, dict):
        return {key: _without(value, wrong, (*path, key)) for key, value in data.items()}
    if isinstance(data, list):
        return [_without(value, wrong, (*path, index)) for index, value in enumerate(data)]
    return data


def dotted(path: KeyPath) -> str:
    """Return a path as text: ``targets[0].steps[1].with``.

    The text ends at a key such as ``token:hunter2``, which a missing blank made of key and secret.
    """
    text = ""
    for key in path:
        secret = (
            None if isinstance(key, int) or _PLAIN_KEY.fullmatch(key) else _SECRET_KEY.match(key)
        )
        if secret:
            return f"{text}['{secret[0]}…']"
        if isinstance(key, int):
            text += f"[{key}]"
        elif _PLAIN_KEY.fullmatch(key):
            text += f".{key}" if text else key
        else:
            text += f"[{key!r}]"
    return text
