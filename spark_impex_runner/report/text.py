"""Write the summary at the end of a run."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from spark_impex_runner.models import Outcome
from spark_impex_runner.report.data import artifacts, job_ids, seconds
from spark_impex_runner.report.figures import format_duration, format_size
from spark_impex_runner.report.headline import headline, outcome_text
from spark_impex_runner.text import counted, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spark_impex_runner.models import RunResult, TargetResult

# The longest outcomes, such as `succeeded` and `timed out`, have nine letters.
_OUTCOME_WIDTH = 9
_INDENT = " " * (_OUTCOME_WIDTH + 2)
# ANSI colours: green, red, yellow.
_COLOURS = {
    Outcome.SUCCEEDED: "32",
    Outcome.UNCHANGED: "32",
    Outcome.FAILED: "31",
    Outcome.TIMED_OUT: "31",
    Outcome.HELD: "33",
    Outcome.CANCELLED: "33",
    Outcome.SKIPPED: "33",
}


def render(result: RunResult, *, colour: bool = False) -> str:
    """Return the summary: a line per target, what went wrong below it, the headline at the end.

    An error stays on one line, however long, so that a search in a log finds all of it. Foreign
    text cannot move the cursor or break a line.
    """
    cells = [_cells(each) for each in result.results]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [_title(result), ""]
    for row, each in zip(cells, result.results, strict=True):
        lines += [_row(row, widths, _COLOURS[each.outcome] if colour else ""), *_notes(each)]
    lines += ["", headline(result), *_paths(result), ""]
    return "\n".join(lines)


def _title(result: RunResult) -> str:
    took = format_duration(seconds(result.started, result.finished))
    return f"{plain(result.manifest.name)}: run {plain(result.run_id)}, {took}"


def _cells(each: TargetResult) -> tuple[str, ...]:
    """Return the columns: outcome, target, job, packages, size, time."""
    packages = [item for item in artifacts(each) if item.is_package]
    return (
        outcome_text(each.outcome).ljust(_OUTCOME_WIDTH),
        plain(each.target.name),
        _jobs(job_ids(each)),
        counted(len(packages), "package") if packages else "-",
        format_size(sum(item.size for item in packages)) if packages else "-",
        format_duration(seconds(each.started, each.finished)),
    )


def _jobs(ids: Sequence[str]) -> str:
    """Return the job id, or the number of jobs; the reports list those."""
    if len(ids) > 1:
        return f"{len(ids)} jobs"
    return f"job {plain(ids[0])}" if ids else "-"


def _row(cells: tuple[str, ...], widths: list[int], colour: str) -> str:
    """Return a row with texts aligned left and figures aligned right."""
    pairs = list(zip(cells, widths, strict=True))
    names = [cell.ljust(width) for cell, width in pairs[:3]]
    figures = [cell.rjust(width) for cell, width in pairs[3:]]
    if colour:
        names[0] = f"\x1b[{colour}m{names[0]}\x1b[0m"
    return "  ".join(names + figures)


def _notes(each: TargetResult) -> Iterator[str]:
    """Yield the error and the warnings of a target."""
    if each.error:
        yield _INDENT + plain(each.error)
    warned = [
        f"step {step.uses}: {step.message}" for step in each.steps if step.outcome == "warned"
    ]
    for warning in [*each.warnings, *warned]:
        yield f"{_INDENT}warning: {plain(warning)}"


def _paths(result: RunResult) -> Iterator[str]:
    """Yield the paths of outputs and reports."""
    outputs = {each.target.output for each in result.results if each.good or each.artifacts}
    folders = outputs if len(outputs) == 1 else {each.parent for each in outputs}
    for path in sorted(folders):
        yield f"output: {_relative(path)}"
    for path in result.manifest.reports.values():
        yield f"report: {_relative(path)}"


def _relative(path: Path) -> str:
    """Return a path relative to the working folder if it is below it."""
    with suppress(OSError, ValueError):  # the working folder may be gone, or be elsewhere
        path = path.relative_to(Path.cwd())
    return plain(str(path))
