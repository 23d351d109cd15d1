"""Compare two values of an output, within a tolerance."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# The error values of a workbook, which a module answers as texts.
ERRORS: Final = frozenset(
    {
        *("#N/A", "#NAME?", "#NUM!", "#NULL!", "#REF!", "#VALUE!", "#DIV/0!"),
        *("#SPILL!", "#CALC!", "#FIELD!"),
    }
)
NO_VALUE: Final = "no value (overflow)"
_MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far two numbers may be apart: not at all, or as far as ``kind`` and ``size`` say."""

    kind: str = "exact"
    size: Decimal = Decimal(0)

    @classmethod
    def of(cls, option: Mapping[str, Any]) -> Tolerance:
        """Return the tolerance of an option, such as ``{"digits": 12}``."""
        [(kind, size)] = option.items()
        return cls(kind, Decimal(0) if kind == "exact" else Decimal(str(size)))

    def allows(self, old: Decimal, new: Decimal) -> bool:
        """Return whether the second number is within the tolerance of the first."""
        apart = abs(old - new)
        if not apart or self.kind == "exact":
            return not apart
        if self.kind == "absolute":
            return apart <= self.size
        largest = max(abs(old), abs(new))
        if self.kind == "relative":
            return apart <= self.size * largest
        # Half a unit of the last digit: rounding both first would fail at the edges.
        exponent = int(self.size) if self.kind == "decimals" else int(self.size) - 1
        if self.kind == "digits":
            exponent -= largest.adjusted()
        return apart <= Decimal("0.5").scaleb(-exponent)


@dataclass(frozen=True, slots=True)
class Difference:
    """One value of an output that differs; ``output`` is its name, or that of a cell in a table."""

    output: str
    old: Any
    new: Any

    @property
    def absolute(self) -> float | None:
        """How much larger the new number is, None if one of the values is no number."""
        old, new = number(self.old), number(self.new)
        return float(new - old) if old is not None and new is not None else None

    @property
    def relative(self) -> float | None:
        """The same in relation to the old number, None if that is zero."""
        old, new = number(self.old), number(self.new)
        return float((new - old) / abs(old)) if old and new is not None else None

    @property
    def became_error(self) -> bool:
        """Whether a number became an error value or no value."""
        return number(self.old) is not None and number(self.new) is None


def number(value: Any) -> Decimal | None:
    """Return a JSON number as it is written, None for any other value."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return Decimal(repr(value))


def differences(output: str, old: Any, new: Any, tolerance: Tolerance) -> Iterator[Difference]:
    """Yield what differs between two values; a table is compared cell by cell."""
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for row, (before, after) in enumerate(zip(old, new, strict=True), 1):
            yield from differences(f"{output}[{row}]", before, after, tolerance)
    elif isinstance(old, dict) and isinstance(new, dict):
        for name in dict.fromkeys((*old, *new)):
            before, after = old.get(name, _MISSING), new.get(name, _MISSING)
            if before is _MISSING or after is _MISSING:
                yield Difference(f"{output}.{name}", old.get(name), new.get(name))
            else:
                yield from differences(f"{output}.{name}", before, after, tolerance)
    elif not _same(old, new, tolerance):
        yield Difference(output, old, new)


def _same(old: Any, new: Any, tolerance: Tolerance) -> bool:
    before, after = number(old), number(new)
    if before is not None and after is not None:
        return tolerance.allows(before, after)
    # bool == int in Python, but a truth value is no number.
    return type(old) is type(new) and bool(old == new)


def problem(value: Any) -> str:
    """Return what is wrong with an unexpected value: an error value, or none at all."""
    if value is None:
        return NO_VALUE
    if isinstance(value, list):
        return next(filter(None, map(problem, value)), "")
    if isinstance(value, dict):
        return next(filter(None, map(problem, value.values())), "")
    return value if isinstance(value, str) and value in ERRORS else ""


def shown(value: Any) -> str:
    """Return a value for people: a number as it is written, a text in quotes unless it is an error.

    The code that prints it shortens it.
    """
    if value is None:
        return NO_VALUE
    if isinstance(value, str):
        return value if value in ERRORS else repr(value)
    return str(value)
