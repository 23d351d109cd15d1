"""A manifest as data that still knows where each value stands in the text."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

KeyPath = tuple[str | int, ...]

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_@-]+")


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
    """Where a value and its key begin (line, column, from 1), and a scalar's source text."""

    value: tuple[int, int]
    key: tuple[int, int]
    text: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake at a place in the data. ``at_key`` points at the key instead of its value."""

    path: KeyPath
    message: str
    at_key: bool = False


@dataclass(frozen=True, slots=True)
class Document:
    """The text of one manifest, read. ``label`` is the file's name in messages."""

    path: Path
    label: str
    data: dict[str, Any] = field(repr=False)
    spots: Mapping[KeyPath, Spot] = field(repr=False)

    def place(self, path: KeyPath, *, at_key: bool = False) -> tuple[int, int]:
        """Return line and column of ``path``, or of its nearest ancestor in the text."""
        while path and path not in self.spots:
            path, at_key = path[:-1], False
        spot = self.spots.get(path, Spot((1, 1), (1, 1)))
        return spot.key if at_key else spot.value

    def text(self, path: KeyPath) -> str | None:
        """Return a scalar as it was written, None for anything else."""
        spot = self.spots.get(path)
        return spot.text if spot else None

    def problem(self, finding: Finding) -> Problem:
        """Return ``finding`` with its line and column."""
        line, column = self.place(finding.path, at_key=finding.at_key)
        return Problem(self.label, line, column, dotted(finding.path), _one_line(finding.message))


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
    """Return a path as people write it: ``targets[0].steps[1].with``."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        elif _PLAIN_KEY.fullmatch(key):
            text += f".{key}" if text else key
        else:
            text += f"[{key!r}]"
    return text


def _one_line(text: str) -> str:
    """Return ``text`` with line breaks and other control characters written out."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
