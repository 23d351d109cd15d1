"""Compare a package's results with those of another release: the option ``against``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from spark_impex_runner import errors, models, tools

from .interface import CannotCalculateError
from .moves import Asked, compare_modules
from .package import select_module
from .values import Tolerance, shown
from .verdict import not_compared, percentage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from .cases import Case
    from .module import Module
    from .settings import Settings

_SEPARATOR: Final = "::"
_SHOWN: Final = 5
_LONGEST: Final = 60


@dataclass(frozen=True, slots=True)
class Release:
    """Another release: the packages at ``path``, and the service, empty for that of the same name.

    The option names it as ``PATH`` or ``PATH::folder/service[version]``, as ``impex diff`` does.
    """

    path: Path
    service: str

    @classmethod
    def of(cls, job: models.Job, text: str) -> Release:
        """Return the release; raise ``StepError`` if a target delivers it that is not needed."""
        path, _, service = text.partition(_SEPARATOR)
        place = job.run.manifest.path.absolute().parent / path
        for each in job.run.manifest.targets:
            is_needed = each.name in {job.target.name, *job.target.needs}
            if not is_needed and each.output.resolve() == place.resolve():
                raise errors.StepError(
                    f"against: {path} is the output of target {each.name}, which may not be "
                    f"there yet; add needs: [{each.name}]"
                )
        return cls(place, service)

    def module(self, uri: str) -> Module:
        """Return the module of a service, unless another one is named."""
        service = self.service or uri.partition("[")[0]
        try:
            return select_module(tools.package_readers(self.path), service)
        except errors.UsageError as error:
            raise errors.StepError(f"against: {error}") from error


def compare(
    job: models.Job, old: Module, new: Module, cases: Sequence[Case], settings: Settings
) -> str:
    """Return which results moved, as a part of a line.

    Raises:
        StepError: cases were not calculated with the old module, or do not fit it.
        CannotCalculateError: the old module cannot be calculated here.
    """
    # Not within a tolerance: an approver has to know of every number that moves.
    exact = replace(settings, tolerance=Tolerance(), outputs={})
    try:
        diff = compare_modules(old, new, Asked(cases, exact), tools.stop_check(job))
    except errors.UsageError as error:
        raise errors.StepError(f"against: {error}") from error
    if diff.reason:
        raise CannotCalculateError(diff.reason)
    if diff.not_calculated:
        lines = [f"case {each.case}: {each.reason}" for each in diff.not_calculated]
        raise errors.StepError(
            f"against: {tools.counted(len(lines), 'case')} not calculated with {old.uri}: "
            f"{tools.first_of(lines, _SHOWN, '; ')}"
        )
    return ", ".join(_parts(diff, sorted(set(old.outputs) ^ set(new.outputs))))


def _parts(diff: models.CaseDiff, unmatched: Sequence[str]) -> Iterator[str]:
    """Yield what moved, the largest move, and what is to be known about it."""
    number = f"{diff.moved:,}" if diff.moved else "none"
    yield f"{number} of {diff.count:,} results moved from {diff.old.uri}"
    if diff.moves:
        yield _largest(diff.moves[0])
    if number_of_errors := sum(each.became_error for each in diff.outputs):
        yield f"{number_of_errors:,} became an error"
    if diff.moved and diff.old.compiler != diff.new.compiler:
        beyond = sum(each.beyond_12_digits for each in diff.outputs)
        yield f"{beyond:,} beyond the 12th digit between compilers"
    yield from not_compared(diff.volatile)
    if diff.saved:
        inputs = tools.first_of(diff.saved, _SHOWN)
        yield f"with the saved default of {inputs}, an input of only one of them"
    if unmatched:
        yield f"not compared: {tools.first_of(unmatched, _SHOWN)}, only in one of them"


def _largest(move: models.Move) -> str:
    """Return the largest move: ``+3.45 % at most (case 416)``."""
    case = f"case {tools.one_line(move.case, limit=_LONGEST)}"
    if move.relative is not None:
        return f"{percentage(move.relative)} at most ({case})"
    if move.absolute is not None:
        return f"{move.absolute:+.6g} at most ({case})"
    old, new = (tools.one_line(shown(each), limit=_LONGEST) for each in (move.old, move.new))
    return f"{move.output} {old} -> {new} ({case})"
