"""Compare calculated outputs with those that the cases expect."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from spark_impex_runner import tools

from .values import Difference, Tolerance, differences, problem, shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from .calculation import Calculated

# Cases whose differences are shown in full; the others are counted.
SHOWN: Final = 10
_LONGEST: Final = 60
_RANDOM: Final = (
    "depends on random numbers, so no value can be expected; leave it out of the cases, or list it "
    "under outputs, which compares it for the fixed random numbers of this engine"
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a case: ``status`` is ``agreed``, ``differs`` or ``not_calculated``."""

    result: Calculated
    differences: tuple[Difference, ...] = ()
    reason: str = ""

    @property
    def status(self) -> str:
        """The result in one word."""
        if self.reason:
            return "not_calculated"
        return "differs" if self.differences else "agreed"

    def lines(self) -> Iterator[str]:
        """Yield one line for each failure: case, output, expected, got and difference."""
        case = f"case {_short(self.result.case.name)}"
        if self.reason:
            yield f"{case}: {self.reason}"
        for each in self.differences:
            yield f"{case}: {describe(each)}"

    def as_data(self, *, with_inputs: bool) -> dict[str, Any]:
        """Return the line of the results file."""
        inputs = {"inputs": self.result.case.inputs} if with_inputs else {}
        found: dict[str, Any] = {"case": self.result.case.name, "status": self.status, **inputs}
        if self.reason:
            return {**found, "reason": self.reason}
        compared = [
            {"output": each.output, "expected": each.old, "got": each.new}
            for each in self.differences
        ]
        return {**found, "outputs": self.result.outputs, "differences": compared}


@dataclass(frozen=True, slots=True)
class Comparison:
    """How outputs are compared: the tolerance, and those of single outputs."""

    tolerance: Tolerance
    outputs: Mapping[str, Tolerance] = field(default_factory=dict)
    volatile: frozenset[str] = frozenset()

    @property
    def random(self) -> frozenset[str]:
        """The outputs that are not compared, since they depend on random numbers."""
        return self.volatile - self.outputs.keys()

    def verdict(self, result: Calculated) -> Verdict:
        """Return the verdict on a case.

        Without expected outputs, an error value or no value in any output is a difference.
        """
        if result.reason:
            return Verdict(result, reason=result.reason)
        expected = result.case.expected
        if random := sorted(self.random & expected.keys()):
            return Verdict(result, reason=f"{random[0]} {_RANDOM}")
        found: list[Difference] = []
        for name, value in result.outputs.items():
            if name in self.random:
                continue
            if name in expected:
                tolerance = self.outputs.get(name, self.tolerance)
                wanted = _as_written(expected[name], value)
                found += differences(name, wanted, value, tolerance)
            elif not expected and problem(value):
                found.append(Difference(name, "a value", value))
        return Verdict(result, tuple(found))


def _as_written(expected: Any, got: Any) -> Any:
    """Return a truth value for its name in a CSV file, as workbooks write it."""
    if isinstance(got, bool) and isinstance(expected, str):
        return {"true": True, "false": False}.get(expected.casefold(), expected)
    return expected


def not_compared(random: Collection[str]) -> Iterator[str]:
    """Yield which outputs were not compared, if there are any."""
    if random:
        yield f"not compared, since random: {tools.first_of(sorted(random), 5)}"


def first_lines(failed: Sequence[Verdict]) -> list[str]:
    """Return the lines of the first failed cases."""
    return [line for each in failed[:SHOWN] for line in each.lines()]


def describe(difference: Difference) -> str:
    """Return a difference in words: ``premium: expected 155.51, got 160.88 (+5.37, +3.45 %)``."""
    old, new = _short(shown(difference.old)), _short(shown(difference.new))
    if difference.old == "a value":
        return f"{difference.output}: got {new}"
    text = f"{difference.output}: expected {old}, got {new}"
    absolute, relative = difference.absolute, difference.relative
    if absolute is None:
        return text
    percent = f", {percentage(relative)}" if relative is not None else ""
    return f"{text} ({absolute:+.6g}{percent})"


def percentage(relative: float) -> str:
    """Return a relative difference in percent: ``+3.45 %``."""
    return f"{100 * relative:+.3g} %"


def _short(text: str) -> str:
    return tools.one_line(text, limit=_LONGEST)
