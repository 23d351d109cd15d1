"""A line of the live view, made of pieces: what does not fit is left out or cut."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spark_impex_runner.text import display_width, plain, shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# A text that is cut to less than this says nothing.
_LEAST = 12


@dataclass(frozen=True, slots=True)
class Style:
    """What the terminal can show: colours, and characters beyond ASCII; ``mask`` hides secrets."""

    colour: bool = False
    unicode: bool = True
    mask: Callable[[str], str] = str

    def text(self, name: str) -> str:
        """Return a name as it is shown; masked here, since part of a secret is not recognized."""
        return plain(self.mask(name))

    @property
    def ellipsis(self) -> str:
        """The sign for what was cut."""
        return "…" if self.unicode else "~"


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a line; of those that do not all fit, the ones with a low ``rank`` are shown.

    ``elastic``: it is cut rather than left out.
    """

    text: str
    rank: int = 0
    colour: str = ""
    elastic: bool = False


def joined(pieces: Sequence[Piece], width: int, style: Style, gap: str = "  ") -> str:
    """Return the pieces that fit as one line, in their order."""
    shown = _fitting(pieces, width, len(gap), style)
    return gap.join(_in_colour(each, style) for each in shown).rstrip()


def _in_colour(piece: Piece, style: Style) -> str:
    if not (style.colour and piece.colour):
        return piece.text
    return f"\x1b[{piece.colour}m{piece.text}\x1b[0m"


def _fitting(pieces: Sequence[Piece], width: int, gap: int, style: Style) -> list[Piece]:
    """Return the pieces that fit into a width: one of a rank only if all of lower ranks do."""
    kept: dict[int, Piece] = {}
    left = width
    for number in sorted(range(len(pieces)), key=lambda each: pieces[each].rank):
        piece = pieces[number]
        room = left - (gap if kept else 0)
        if display_width(piece.text) > room:
            if kept and not (piece.elastic and room >= _LEAST):
                break
            piece = replace(piece, text=shortened(piece.text, room, style.ellipsis))
        kept[number] = piece
        left = room - display_width(piece.text)
    return [kept[number] for number in sorted(kept)]
