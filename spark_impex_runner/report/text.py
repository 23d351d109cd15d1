"""Write the summary at the end of a run: what failed stands last, where a person looks first."""

from __future__ import annotations

import textwrap
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from spark_impex_runner.models import Outcome
from spark_impex_runner.report.causes import causes
from spark_impex_runner.report.data import artifacts, job_ids, seconds
from spark_impex_runner.report.figures import format_duration, format_size, shown_path
from spark_impex_runner.report.headline import BAD, headline, outcome_text
from spark_impex_runner.text import counted, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from spark_impex_runner.models import Artifact, RunResult, TargetResult
    from spark_impex_runner.report.causes import Cause

# The longest outcomes, such as `succeeded` and `timed out`, have nine letters.
_LABEL_WIDTH = 9
_INDENT = " " * (_LABEL_WIDTH + 2)
# The columns that every table has: the target and its figures.
_FIGURES = 4
# More targets that succeeded are one line: their details are in the log and the reports.
_ROWS = 10
_RED, _GREEN, _YELLOW, _NONE = "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[0m"


def render(result: RunResult, *, colour: bool = False, columns: int = 0) -> str:
    """Return the summary: what succeeded, what steps did, what failed and why, totals and files.

    A cause that several targets share stands there once. Without ``columns`` each text stays on
    one line, so that a search in a log finds all of it; with them it is wrapped. Foreign text
    cannot move the cursor or break a line.
    """
    page = _Page(colour=colour, columns=columns)
    page.lines += [f"{plain(result.manifest.name)}: run {plain(result.run_id)}", ""]
    _good(page, result.results)
    for outcome in reversed(BAD):  # what failed is nearest to the end
        failed = outcome in {Outcome.TIMED_OUT, Outcome.FAILED}
        _ended(page, result.results, outcome, _RED if failed else _YELLOW)
    page.lines.append("")
    page.add(headline(result), "  ")
    page.add(_total(result), " " * 8)
    page.lines += _paths(result)
    return "\n".join([*page.lines, ""])


class _Page:
    """The lines of a summary, each text wrapped below its label."""

    def __init__(self, *, colour: bool, columns: int) -> None:
        self.lines: list[str] = []
        self._colour = colour
        self._columns = columns

    def add(self, text: str, indent: str) -> None:
        """Add a text, wrapped if it is wider than the terminal."""
        self.lines += self._wrapped(text, indent)

    def labelled(self, label: str, text: str, shade: str = "") -> None:
        """Add a text behind a label, which alone is coloured."""
        first, *rest = self._wrapped(f"{label.ljust(_LABEL_WIDTH)}  {text}", _INDENT)
        if shade and self._colour:
            first = f"{shade}{first[: len(label)]}{_NONE}{first[len(label) :]}"
        self.lines += [first, *rest]

    def table(self, label: str, rows: Sequence[tuple[str, ...]], shade: str) -> None:
        """Add rows: a text aligned left, figures, and a last column that fits or is left out."""
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        if self._columns and len(_INDENT) + sum(widths) + 2 * len(widths) > self._columns:
            rows, widths = [row[:_FIGURES] for row in rows], widths[:_FIGURES]
        for name, *figures in rows:
            padded = [name.ljust(widths[0]), *map(str.rjust, figures, widths[1:])]
            self.labelled(label, "  ".join(padded), shade)

    def causes(self, label: str, found: Iterable[Cause], shade: str = "") -> None:
        """Add texts about targets."""
        for each in found:
            if len(each.names) == 1:
                self.labelled(label, ": ".join(filter(None, (each.names[0], each.text))), shade)
                continue
            number = counted(len(each.names), "target")
            self.labelled(label, ": ".join(filter(None, (number, each.text))), shade)
            for row in each.members():
                self.add(f"{_INDENT}{row}", _INDENT)

    def _wrapped(self, text: str, indent: str) -> list[str]:
        if not self._columns:
            return [text.rstrip()]
        return textwrap.wrap(
            text,
            # Some terminals begin a new line after the last column.
            max(self._columns - 1, 2 * len(_INDENT)),
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        ) or [""]


def _good(page: _Page, results: Sequence[TargetResult]) -> None:
    """Add what was delivered, and what steps and the tenant said about it."""
    good = [each for each in results if each.outcome is Outcome.SUCCEEDED]
    rows = [_cells(each) for each in good]
    if len(rows) > _ROWS:
        rows = [(counted(len(rows), "target"), *amount(good))]
    page.table("succeeded", rows, _GREEN)
    _ended(page, results, Outcome.UNCHANGED, _GREEN)
    done = [(step, each) for each in results for step in each.steps if step.message]
    for uses in dict.fromkeys(step.uses for step, _ in done if step.outcome == "succeeded"):
        texts = (
            (each.target.name, step.message)
            for step, each in done
            if (step.uses, step.outcome) == (uses, "succeeded")
        )
        page.causes(plain(uses), causes(texts))
    warned = [
        (each.target.name, f"step {step.uses}: {step.message}")
        for step, each in done
        if step.outcome == "warned"
    ]
    own = [(each.target.name, text) for each in results for text in each.warnings]
    page.causes("warning", causes([*own, *warned]), _YELLOW)


def _ended(page: _Page, results: Sequence[TargetResult], outcome: Outcome, shade: str) -> None:
    """Add the targets with an outcome, and why they have it."""
    texts = ((each.target.name, each.error) for each in results if each.outcome is outcome)
    found = causes(texts)
    if outcome is Outcome.UNCHANGED:  # the folder of each does not matter
        found = [replace(each, own=()) for each in found]
    page.causes(outcome_text(outcome), found, shade)


def _cells(each: TargetResult) -> tuple[str, ...]:
    """Return the columns: target, packages, size, time, job."""
    return plain(each.target.name), *amount([each]), _took(each), _jobs(job_ids(each))


def _jobs(ids: Sequence[str]) -> str:
    """Return the job id, or the number of jobs; the reports list those."""
    if len(ids) > 1:
        return f"{len(ids)} jobs"
    return f"job {plain(ids[0])}" if ids else "-"


def _took(each: TargetResult | RunResult) -> str:
    return format_duration(seconds(each.started, each.finished))


def amount(results: Iterable[TargetResult]) -> tuple[str, str]:
    """Return the number of packages and their size."""
    packages = list(_packages(results))
    size = sum(item.size for item in packages)
    return (counted(len(packages), "package"), format_size(size)) if packages else ("-", "-")


def _packages(results: Iterable[TargetResult]) -> Iterator[Artifact]:
    return (item for each in results for item in artifacts(each) if item.is_package)


def _total(result: RunResult) -> str:
    """Return the targets by outcome, if there are several, packages, bytes and time."""
    counts = Counter(each.outcome for each in result.results)
    by_outcome = [f"{counts[each]} {outcome_text(each)}" for each in Outcome if counts[each]]
    delivered = [each for each in result.results if each.outcome is not Outcome.UNCHANGED]
    figures = [each for each in (*amount(delivered), _took(result)) if each != "-"]
    parts = [*([", ".join(by_outcome)] if len(by_outcome) > 1 else []), ", ".join(figures)]
    return f"total:  {'; '.join(parts)}"


def _paths(result: RunResult) -> Iterator[str]:
    """Yield the paths of outputs and reports."""
    shown = [each for each in result.results if each.good or each.artifacts]
    for host in sorted({each.host for each in shown}):
        outputs = {each.target.output for each in shown if each.host == host}
        folders = outputs if len(outputs) == 1 else {each.parent for each in outputs}
        there = f" on {plain(host)}" if host else ""
        for path in sorted(folders):
            yield f"output: {shown_path(path)}{there}"
    for path in result.manifest.reports.values():
        yield f"report: {shown_path(path)}"
