"""What moved between two versions of a service that calculated the same cases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class CalculatedModule:
    """A compiled module that calculates.

    Attributes:
        uri: The service with its version, ``folder/service[1.2.3]``.
        sha256: The SHA-256 of its ``.wasm``; empty without one.
        compiler: The compiler's version.
    """

    uri: str
    sha256: str
    compiler: str


@dataclass(frozen=True, slots=True)
class Move:
    """A value that differs between two versions.

    Attributes:
        case: The name of the case.
        output: The name of the output, or of a cell in a table: ``table[3].rate``.
        old: The old value.
        new: The new value.
        absolute: The new number less the old one; None if one of them is no number.
        relative: The same as a fraction of the old number.
        became_error: Whether a number became an error value or no value.
        inputs: The inputs of the case; None if they are not to be shown.
    """

    case: str
    output: str
    old: Any
    new: Any
    absolute: float | None = None
    relative: float | None = None
    became_error: bool = False
    inputs: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class OutputMoves:
    """The moves of one output.

    Attributes:
        name: The name of the output.
        moved: The number of cases in which it moved.
        max_relative: The largest relative move; None without any.
        mean_relative: The mean of the relative moves.
        max_absolute: The largest absolute move.
        worst: The largest move; None without any.
        became_error: The number of values that became an error value or no value.
        beyond_12_digits: The number of moves beyond the 12th digit, where compilers may differ.
        histogram: The number of relative moves in each range, by its label.
    """

    name: str
    moved: int = 0
    max_relative: float | None = None
    mean_relative: float | None = None
    max_absolute: float | None = None
    worst: Move | None = None
    became_error: int = 0
    beyond_12_digits: int = 0
    histogram: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class NotCalculated:
    """A case that one side did not calculate.

    Attributes:
        case: The name of the case.
        side: ``old`` or ``new``.
        reason: Why, in one line.
    """

    case: str
    side: str
    reason: str


@dataclass(frozen=True, slots=True)
class CaseDiff:
    """What moved between two versions of a service.

    Attributes:
        old: The old module.
        new: The new module.
        engine: The engine with its version; empty if nothing was calculated.
        clock: What TODAY() answered.
        count: The number of cases.
        same: The number of cases without a move.
        moved: The number of cases with a move.
        outputs: The figures of each output that both versions have.
        moves: All moves, the largest first.
        not_calculated: The cases that one side did not calculate.
        reason: Why nothing could be calculated; else empty.
        volatile: The outputs that depend on random numbers; compared only if they are named.
        saved: The inputs that only one version has, which took their saved defaults.
        file: The name of the file of cases.
        sha256: Its SHA-256.
    """

    old: CalculatedModule
    new: CalculatedModule
    engine: str
    clock: str
    count: int
    same: int = 0
    moved: int = 0
    outputs: tuple[OutputMoves, ...] = ()
    moves: tuple[Move, ...] = ()
    not_calculated: tuple[NotCalculated, ...] = ()
    reason: str = ""
    volatile: tuple[str, ...] = ()
    saved: tuple[str, ...] = ()
    file: str = ""
    sha256: str = ""

    @property
    def calculated(self) -> int:
        """The number of cases that both sides calculated."""
        return self.same + self.moved
