"""A manifest as data that still knows where each value stands, in which of its files."""

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
class Odd:
    """A plain scalar that YAML 1.1 reads as something nobody means: a date, ``1:30``, ``0x10``.

    It stays what was written, with the surprising reading beside it. No schema accepts it, so
    the person learns of the trap, and quotes the value.
    """

    text: str
    reading: str


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a value and its key begin (line, column, from 1), and a scalar's source text.

    ``file`` and ``path`` say where that is: a value keeps them when files are put together.
    ``last`` is the last line of a scalar that has several.
    """

    value: tuple[int, int]
    key: tuple[int, int]
    text: str | None = field(default=None, repr=False)
    file: File = field(default=File(""), repr=False)
    path: KeyPath = ()
    last: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake at a place in the data. ``at_key`` points at the key instead of its value.

    ``see`` is another place, which the message's last word leads to: "is already taken" there.
    """

    path: KeyPath
    message: str
    at_key: bool = False
    see: KeyPath | None = None
    severity: str = "error"


@dataclass(frozen=True, slots=True)
class Document:
    """A manifest, read: its data, and where each value of it stands in which file.

    ``problems`` are the mistakes that were met on the way and left the rest readable; ``added``
    is where the targets, connections and the like stand that no file but an overlay has;
    ``suffix`` ends the manifest's name. ``files`` are all files that were read for it.
    """

    path: Path
    data: dict[str, Any] = field(repr=False)
    spots: Mapping[KeyPath, Spot] = field(repr=False)
    problems: tuple[Problem, ...] = ()
    added: frozenset[KeyPath] = frozenset()
    suffix: str = ""
    files: tuple[Path, ...] = ()

    def spot(self, path: KeyPath) -> Spot:
        """Return where ``path`` stands, or its nearest ancestor that is in a text."""
        return self.spots[self._known(path)]

    def place(self, path: KeyPath, *, at_key: bool = False) -> tuple[int, int]:
        """Return line and column of ``path``, or of its nearest ancestor in the text."""
        spot = self.spot(path)
        return spot.key if at_key and path in self.spots else spot.value

    def text(self, path: KeyPath) -> str | None:
        """Return a scalar as it was written, None for anything else."""
        spot = self.spots.get(path)
        return spot.text if spot else None

    def written(self, path: KeyPath) -> KeyPath:
        """Return ``path`` as it is in the file that holds it."""
        known = self._known(path)
        return self.spots[known].path + path[len(known) :]

    def _known(self, path: KeyPath) -> KeyPath:
        """Return ``path``, or its nearest ancestor that is in a text."""
        while path and path not in self.spots:
            path = path[:-1]
        return path

    def problem(self, finding: Finding, private: PrivateColumns = _NOTHING) -> Problem:
        """Return ``finding`` with its file, line and column.

        ``private`` are the columns, by file and line, from which on that line is not shown.
        """
        file = self.spot(finding.path).file
        line, column = self.place(finding.path, at_key=finding.at_key)
        message = finding.message
        if finding.see is not None:
            message += f" in {self._from(file, finding.see)}"
        path = dotted(self.written(finding.path))
        problem = Problem(file.label, line, column, path, escaped_line(message), finding.severity)
        return shown(problem, file, private.get((file.label, line), ()))

    def _from(self, file: File, path: KeyPath) -> str:
        """Return where ``path`` stands, for a reader of ``file``."""
        other, line = self.spot(path).file, self.place(path)[0]
        return f"line {line}" if other is file else f"{other.label}:{line}"


def sound(data: Any, findings: Iterable[Finding]) -> Any:
    """Return ``data`` with None in place of every value that has a finding.

    The later checks can then go on without stumbling over what is known to be wrong.
    """
    wrong = {finding.path for finding in findings}
    return _without(data, wrong, ())


def _without(data: Any, wrong: set[KeyPath], path: KeyPath) -> Any:
    """Return ``data``, which stands at ``path``, with None for what is wrong."""
    if path in wrong:
        return None
    if isinstance(data, dict):
        return {key: _without(value, wrong, (*path, key)) for key, value in data.items()}
    if isinstance(data, list):
        return [_without(value, wrong, (*path, index)) for index, value in enumerate(data)]
    return data


def dotted(path: KeyPath) -> str:
    """Return a path as people write it: ``targets[0].steps[1].with``.

    A key that begins like a secret's and is no plain word, as in ``{token:hunter2}``, ends it.
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
