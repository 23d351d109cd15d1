"""Write what moved in the results of cases, for people: in text, and in words for the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spark_impex_runner.text import escaped_line, first_of, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spark_impex_runner.models import CaseDiff, OutputMoves

_LONGEST = 60
# Reasons that are shown before the others are counted.
_REASONS = 5


def sentence(diff: CaseDiff) -> str:
    """Return the result in one line.

    ``motor/pricing 1.4.1 -> 1.4.2: 13 of 1,000 cases moved, 987 the same``.
    """
    if not diff.calculated:
        reason = diff.reason or diff.not_calculated[0].reason
        return f"{names(diff)}: no case could be calculated: {reason}"
    counts = f"{diff.moved:,} of {cases(diff.count)} moved, {diff.same:,} the same"
    missing = diff.count - diff.calculated
    return f"{names(diff)}: {counts}{f', {missing:,} not calculated' if missing else ''}"


def names(diff: CaseDiff) -> str:
    """Return the services and versions: ``motor/pricing 1.4.1 -> 1.4.2``."""
    (old, before), (new, after) = _parts(diff.old.uri), _parts(diff.new.uri)
    if old != new:
        return f"{diff.old.uri} -> {diff.new.uri}"
    return f"{old} {' -> '.join(dict.fromkeys((before, after)))}"


def _parts(uri: str) -> tuple[str, str]:
    name, _, version = uri.removesuffix("]").partition("[")
    return name, version


def cases(number: int) -> str:
    """Return a number of cases: ``1,000 cases``."""
    return f"{number:,} {'case' if number == 1 else 'cases'}"


def evidence(diff: CaseDiff) -> str:
    """Return what the result holds for."""
    parts = [
        f"engine: {diff.engine or 'none'}",
        f"compilers {diff.old.compiler} and {diff.new.compiler}",
        f"clock {diff.clock}",
        f"cases sha256 {diff.sha256}",
    ]
    if diff.volatile:
        parts.append(f"random outputs: {first_of(diff.volatile, _REASONS)}")
    if diff.saved:
        inputs = first_of(diff.saved, _REASONS)
        parts.append(f"inputs of only one of them, at their saved defaults: {inputs}")
    return ", ".join(parts)


def percentage(relative: float | None) -> str:
    """Return a relative move in percent: ``+3.45 %``."""
    return "-" if relative is None else f"{100 * relative:+.3g} %"


def shown(value: Any) -> str:
    """Return a value on one line; none stands for a number that is too large for a workbook."""
    return one_line("no value" if value is None else str(value), limit=_LONGEST)


def render(diff: CaseDiff, show: int) -> list[str]:
    """Return the lines of the text format, with at most ``show`` moves."""
    lines = [sentence(diff)]
    width = max((len(each.name) for each in diff.outputs), default=0)
    if diff.calculated:
        lines += [f"  {each.name:<{width}}  {_output(each)}" for each in diff.outputs]
    lines += [
        f"  case {each.case}: {each.output} {shown(each.old)} -> {shown(each.new)}"
        f"{'' if each.relative is None else f' ({percentage(each.relative)})'}"
        for each in diff.moves[:show]
    ]
    if show and (more := len(diff.moves[show:])):
        lines.append(f"  and {more:,} more {'move' if more == 1 else 'moves'}")
    lines += list(_missing(diff))
    if compilers_differ(diff) and diff.moved:
        beyond = sum(each.beyond_12_digits for each in diff.outputs)
        count = f"{beyond:,} of {len(diff.moves):,}"
        lines.append(f"  the compilers differ: {count} moves are beyond the 12th digit")
    return [escaped_line(line) for line in (*lines, evidence(diff))]


def compilers_differ(diff: CaseDiff) -> bool:
    """Return whether two compilers made the modules."""
    return diff.old.compiler != diff.new.compiler


def _output(each: OutputMoves) -> str:
    """Return the figures of an output."""
    text = f"{each.moved:>6,} moved"
    worst = each.worst
    if not worst:
        return text
    text += (
        f"   max {percentage(each.max_relative)} "
        f"(case {worst.case}: {shown(worst.old)} -> {shown(worst.new)})"
        f"   mean {percentage(each.mean_relative)}"
    )
    return f"{text}   {each.became_error:,} became an error" if each.became_error else text


def not_calculated(diff: CaseDiff) -> list[str]:
    """Return the first cases that were not calculated, with the reasons, where others were."""
    return [
        f"case {each.case} was not calculated ({each.side}): {each.reason}"
        for each in (diff.not_calculated[:_REASONS] if diff.calculated else ())
    ]


def _missing(diff: CaseDiff) -> Iterator[str]:
    yield from (f"  {line}" for line in not_calculated(diff))
    if diff.calculated and (more := len(diff.not_calculated[_REASONS:])):
        yield f"  and {more:,} more"
