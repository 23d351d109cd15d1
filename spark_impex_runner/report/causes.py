"""Group the targets that ended for the same cause, so that each cause is printed once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_impex_runner.text import first_of, plain

if TYPE_CHECKING:
    from collections.abc import Iterable

DIFFERENT = "..."
# Each reply has another one; a cause that several targets share is printed without it.
_REQUEST_ID = re.compile(r" \(request id [^)]*\)")
# Words that may differ from target to target: names of services, paths, ids, numbers.
_SPECIFIC = re.compile(r"[\d/'\"]")
# Texts that differ in more words than this hardly have the same cause.
_MOST_DIFFERENT = 3
# How many targets of one cause are listed.
_LISTED = 12
_PUNCTUATION = ",;:()'\""


@dataclass(frozen=True, slots=True)
class Cause:
    """A text about one or more targets.

    ``text`` has ``...`` for each word that differs between them; ``own`` are these words of each.
    """

    text: str
    names: tuple[str, ...]
    own: tuple[str, ...] = ()

    def members(self) -> list[str]:
        """Return the targets as lines: the first of them on one, or one a line with its words."""
        names = self.names[:_LISTED]
        if not self.own:
            return [first_of(self.names, _LISTED)]
        widest = max(map(len, names))
        rows = [f"{name.ljust(widest)}  {own}" for name, own in zip(names, self.own, strict=False)]
        more = len(self.names) - _LISTED
        return [*rows, f"and {more} more"] if more > 0 else rows


def cause_key(text: str) -> str:
    """Return a text that is equal for errors which probably have the same cause."""
    words = _REQUEST_ID.sub("", text).split()
    return " ".join(DIFFERENT if _SPECIFIC.search(word) else word for word in words)


def causes(texts: Iterable[tuple[str, str]]) -> list[Cause]:
    """Group pairs of a target's name and a text about it, in the order of their first ones."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for name, text in ((plain(name), plain(text)) for name, text in texts):
        groups.setdefault(cause_key(text), []).append((name, text))
    return [cause for pairs in groups.values() for cause in _merged(pairs)]


def _merged(pairs: list[tuple[str, str]]) -> list[Cause]:
    """Return one cause for all pairs, or one for each text if these differ too much."""
    if len(pairs) == 1:
        return [Cause(pairs[0][1], (pairs[0][0],))]
    rows = [_REQUEST_ID.sub("", text).split() for _, text in pairs]
    names = tuple(name for name, _ in pairs)
    differing = [at for at, words in enumerate(zip(*rows, strict=True)) if len({*words}) > 1]
    if len(differing) > _MOST_DIFFERENT:
        return _by_text(pairs)
    shared = [_blanked(word) if at in differing else word for at, word in enumerate(rows[0])]
    own = tuple(", ".join(row[at].strip(_PUNCTUATION) for at in differing) for row in rows)
    return [Cause(" ".join(shared), names, own if differing else ())]


def _blanked(word: str) -> str:
    """Return the sign for different words, with the punctuation that follows the word."""
    return DIFFERENT + word[len(word.rstrip(_PUNCTUATION)) :]


def _by_text(pairs: list[tuple[str, str]]) -> list[Cause]:
    names: dict[str, list[str]] = {}
    for name, text in pairs:
        names.setdefault(text, []).append(name)
    return [Cause(text, tuple(each)) for text, each in names.items()]
