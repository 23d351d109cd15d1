"""Calculate the same cases with two modules, and count what moved."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any, Final

from spark_impex_runner import errors, models

from .calculation import Calculated, Calculation
from .interface import CannotCalculateError
from .names import Names
from .values import Difference, Tolerance, differences

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from .cases import Case
    from .module import Module
    from .settings import Settings

# The accuracy of the compiler's own self-test: other compilers may differ beyond it.
_SELF_TEST: Final = Tolerance.of({"digits": 12})
# The upper edges of the histogram's bars, as fractions.
_EDGES: Final = (-0.1, -0.01, -0.001, 0.0, 0.001, 0.01, 0.1)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is compared: ``outputs`` are the names of those, all without any."""

    cases: Sequence[Case]
    settings: Settings
    outputs: Sequence[str] = ()
    with_inputs: bool = True


def compare_modules(
    old: Module, new: Module, asked: Asked, check: Callable[[], None]
) -> models.CaseDiff:
    """Return what moved; raise ``UsageError`` for names that one of the modules does not have.

    An input that only one of them has takes its saved default in all cases: so what moves has
    another reason than the input.
    """
    limits, allow_missing = asked.settings.limits, asked.settings.allow_missing
    saved = frozenset() if old.reason or new.reason else _unmatched(old, new)
    asked = replace(asked, cases=[_without(each, saved) for each in asked.cases])
    sides = [Calculation(each, limits, check, allow_missing, saved) for each in (old, new)]
    for side, each in _named(sides):
        try:
            Names((), each.module.outputs).of_outputs(dict.fromkeys(asked.outputs, 0))
        except errors.UsageError as error:
            raise errors.UsageError(f"{side}: {error}") from error
    wanted = frozenset(_folded(asked.outputs))
    found, reason = _Moves(asked, wanted), ""
    try:
        # Both processes calculate at the same time: each has all cases already.
        pairs = zip(*(_side(name, each, asked) for name, each in _named(sides)), strict=True)
        for before, after in pairs:
            found.add(before, after, sides[0].volatile | sides[1].volatile)
    except CannotCalculateError as error:
        # What was compared before does not count either: an output may have an unknown form.
        found, reason = _Moves(asked, wanted), str(error)
    volatile = sides[0].volatile | sides[1].volatile
    if not reason and not wanted and volatile.issuperset(_compared(old, new, wanted)):
        found, reason = _Moves(asked, wanted), "all outputs depend on random numbers"
    return models.CaseDiff(
        old=_described(old),
        new=_described(new),
        engine=next((each.engine for each in sides if each.engine), ""),
        clock=asked.settings.at,
        count=len(asked.cases),
        same=found.same,
        moved=found.moved,
        outputs=tuple(found.summaries(_compared(old, new, found.wanted))),
        moves=tuple(sorted(chain(*found.by_output.values()), key=_size, reverse=True)),
        not_calculated=tuple(found.missing),
        reason=reason,
        volatile=tuple(sorted(volatile)),
        saved=tuple(sorted(saved)),
    )


def _unmatched(old: Module, new: Module) -> frozenset[str]:
    """Return the inputs that only one module has; raise ``UsageError`` with none in common."""
    for what, pair in (("input", (old.inputs, new.inputs)), ("output", (old.outputs, new.outputs))):
        if any(pair) and not set.intersection(*map(_folded, pair)):
            raise errors.UsageError(
                f"{old.uri} and {new.uri} have no {what} in common: there is nothing to compare"
            )
    common = _folded(old.inputs) & _folded(new.inputs)
    return frozenset(n for n in (*old.inputs, *new.inputs) if n.casefold() not in common)


def _folded(names: Iterable[str]) -> set[str]:
    """Return names by which modules know inputs and outputs: upper and lower case count as one."""
    return {each.casefold() for each in names}


def _without(case: Case, names: frozenset[str]) -> Case:
    """Return the case without inputs of these names, and without expectations."""
    folded = _folded(names)
    inputs = {name: v for name, v in case.inputs.items() if name.casefold() not in folded}
    return replace(case, inputs=inputs, expected={})


def _named(sides: Sequence[Calculation]) -> Iterable[tuple[str, Calculation]]:
    return zip(("OLD", "NEW"), sides, strict=True)


def _side(name: str, side: Calculation, asked: Asked) -> Iterator[Calculated]:
    """Yield the results of one side; its errors name it."""
    try:
        yield from side.run(asked.cases)
    except CannotCalculateError as error:
        raise CannotCalculateError(f"{name} ({side.module.uri}): {error}") from error
    except errors.UsageError as error:
        raise errors.UsageError(f"{name} ({side.module.uri}): {error}") from error


def _described(module: Module) -> models.CalculatedModule:
    return models.CalculatedModule(module.uri, module.sha256, module.compiler)


def _compared(old: Module, new: Module, wanted: frozenset[str]) -> list[str]:
    """Return the outputs that both modules have and that are wanted, in their order."""
    return [
        name
        for name in old.outputs
        if name in new.outputs and (not wanted or name.casefold() in wanted)
    ]


def _size(move: models.Move) -> tuple[bool, float, float]:
    """Return a key by which errors come last and the largest moves first, to be reversed."""
    return not move.became_error, abs(move.relative or 0.0), abs(move.absolute or 0.0)


@dataclass
class _Moves:
    """Counts cases and moves as they come; ``wanted`` are the outputs to compare, folded."""

    asked: Asked
    wanted: frozenset[str]
    same: int = 0
    moved: int = 0
    by_output: defaultdict[str, list[models.Move]] = field(
        default_factory=lambda: defaultdict(list)
    )
    missing: list[models.NotCalculated] = field(default_factory=list)
    beyond: Counter[str] = field(default_factory=Counter)

    def add(self, old: Calculated, new: Calculated, volatile: frozenset[str]) -> None:
        """Count one case."""
        missing = [
            models.NotCalculated(each.case.name, side, each.reason)
            for side, each in (("old", old), ("new", new))
            if each.reason
        ]
        self.missing += missing
        if missing:
            return
        moved = False
        for name in self._names(old.outputs, new.outputs, volatile):
            values = old.outputs[name], new.outputs[name]
            moves = [
                self._move(old.case, name, each)
                for each in differences(name, *values, self._tolerance(name))
            ]
            self.by_output[name] += moves
            moved = moved or bool(moves)
        self.moved += moved
        self.same += not moved

    def _names(
        self, old: Mapping[str, Any], new: Mapping[str, Any], volatile: frozenset[str]
    ) -> Iterator[str]:
        for name in old:
            listed = name.casefold() in self.wanted
            if name in new and (listed or not self.wanted) and (listed or name not in volatile):
                yield name

    def _tolerance(self, name: str) -> Tolerance:
        return self.asked.settings.outputs.get(name, self.asked.settings.tolerance)

    def _move(self, case: Case, output: str, found: Difference) -> models.Move:
        if not list(differences(output, found.old, found.new, _SELF_TEST)):
            self.beyond[output] += 1
        return models.Move(
            case=case.name,
            output=found.output,
            old=found.old,
            new=found.new,
            absolute=found.absolute,
            relative=found.relative,
            became_error=found.became_error,
            inputs=case.inputs if self.asked.with_inputs else None,
        )

    def summaries(self, names: Sequence[str]) -> Iterator[models.OutputMoves]:
        """Yield the figures of each output; those of a table are those of its cells."""
        for name in names:
            moves = self.by_output[name]
            relative = [each.relative for each in moves if each.relative is not None]
            absolute = [each.absolute for each in moves if each.absolute is not None]
            yield models.OutputMoves(
                name=name,
                moved=len({each.case for each in moves}),
                max_relative=max(relative, key=abs, default=None),
                mean_relative=sum(relative) / len(relative) if relative else None,
                max_absolute=max(absolute, key=abs, default=None),
                worst=max(moves, key=_size, default=None),
                became_error=sum(each.became_error for each in moves),
                beyond_12_digits=self.beyond[name],
                histogram=_histogram(relative),
            )


def _histogram(relative: Sequence[float]) -> tuple[tuple[str, int], ...]:
    """Return how many relative moves lie between two edges, each with its label."""
    counts = Counter(sum(each > edge for edge in _EDGES) for each in relative)
    percent = [f"{100 * edge:g} %" for edge in _EDGES]
    labels = [f"up to {percent[0]}", *(f"{a} to {b}" for a, b in pairwise(percent))]
    return tuple(
        (label, counts[place]) for place, label in enumerate([*labels, f"over {percent[-1]}"])
    )
