"""Show a run on GitHub: failed targets beside their lines, and a summary of the step."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import TYPE_CHECKING

from spark_impex_runner.models import Outcome
from spark_impex_runner.report.causes import causes
from spark_impex_runner.report.data import seconds
from spark_impex_runner.report.figures import format_duration
from spark_impex_runner.report.github import escape_data, escape_property
from spark_impex_runner.report.headline import BAD, headline, outcome, outcome_text
from spark_impex_runner.report.text import amount
from spark_impex_runner.text import counted, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from spark_impex_runner.models import RunResult, TargetResult
    from spark_impex_runner.report.causes import Cause

# Bytes that GitHub takes for the summaries of one step.
LIMIT = 1024 * 1024
_HEAD = ("| target | outcome | why | packages | size | time |", "|---|---|---|--:|--:|--:|")
# Bytes of the line that counts the rows that do not fit.
_COUNT_ROOM = 60
# GitHub shows so many errors of one step.
_MOST_SHOWN = 10
# What has a meaning in GitHub's Markdown, and begins a link, a name or a formula there.
_MARKDOWN = re.compile(r"[\\`*_{}\[\]()#+!|~$:@]")


def failures(result: RunResult, root: Path) -> list[str]:
    """Return a workflow command for each cause of failed targets, as many as GitHub shows.

    Files are named relative to ``root``, the checkout, if they are in it.
    """
    bad = [each for each in result.results if each.outcome in (Outcome.FAILED, Outcome.TIMED_OUT)]
    found = causes((each.target.name, each.error) for each in bad)
    shown = found if len(found) <= _MOST_SHOWN else found[: _MOST_SHOWN - 1]
    places = {plain(each.target.name): each.target.place for each in bad}
    commands = [_failure(each, places[each.names[0]], root) for each in shown]
    if left := sum(len(each.names) for each in found[len(shown) :]):
        title = f"{counted(left, 'more target')} failed"
        commands.append(f"::error title={title}::see the summary of the run")
    return commands


def _failure(cause: Cause, place: str, root: Path) -> str:
    """Return the command for one cause, at the line of the first target that it failed."""
    file, _, line = place.rpartition(":")
    properties = {
        "file": _relative(file, root) if file else "",
        "line": line,
        "title": f"{_named(cause)} failed",
    }
    written = ",".join(
        f"{name}={escape_property(text)}" for name, text in properties.items() if text
    )
    return f"::error {written}::{escape_data(chr(10).join([cause.text, *_members(cause)]))}"


def _named(cause: Cause) -> str:
    one = len(cause.names) == 1
    return cause.names[0] if one else counted(len(cause.names), "target")


def _members(cause: Cause) -> list[str]:
    return cause.members() if len(cause.names) > 1 else []


def _relative(file: str, root: Path) -> str:
    path = Path(file).absolute()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else file


def step_summary(result: RunResult, commands: Sequence[tuple[str, str]], room: int) -> str:
    """Return a run as Markdown of at most ``room`` bytes, with what to do next.

    ``commands`` are purposes and command lines. Rows that do not fit are counted.
    """
    end = "\n".join([*_what_to_do(commands), "", f"Run `{plain(result.run_id)}`", "", ""])
    title = f"## {escaped(result.manifest.name)}: {outcome(result)}"
    lines = [title, "", escaped(headline(result)), "", *_HEAD]
    rows = [*_bad_rows(result.results), *_good_rows(result.results)]
    # What follows the table must fit, and so must the line that counts what does not.
    left = room - len("\n".join([*lines, end]).encode()) - _COUNT_ROOM
    for number, row in enumerate(rows):
        left -= len(row.encode()) + 1
        if left < 0:
            lines += ["", f"and {counted(len(rows) - number, 'more row')}; see the report"]
            break
        lines.append(row)
    text = "\n".join([*lines, end])
    return text if len(text.encode()) <= room else ""


def _bad_rows(results: Iterable[TargetResult]) -> Iterator[str]:
    """Yield a row for each cause of what did not succeed."""
    every = list(results)
    for each in BAD:
        pairs = ((one.target.name, one.error) for one in every if one.outcome is each)
        for cause in causes(pairs):
            why = "<br>".join(map(escaped, [cause.text, *_members(cause)]))
            yield _row(_named(cause), outcome_text(each), why)


def _good_rows(results: Iterable[TargetResult]) -> Iterator[str]:
    for each in results:
        if each.good:
            took = format_duration(seconds(each.started, each.finished))
            figures = (*amount([each]), took)
            yield _row(each.target.name, outcome_text(each.outcome), escaped(each.error), figures)


def _row(name: str, ended: str, why: str, figures: Sequence[str] = ("", "", "")) -> str:
    return f"| {escaped(name)} | {ended} | {why} | {' | '.join(figures)} |"


def _what_to_do(commands: Sequence[tuple[str, str]]) -> Iterator[str]:
    for purpose, command in commands:
        # A fence is longer than any that the command could contain.
        fence = "`" * (max([2, *map(len, re.findall("`+", command))]) + 1)
        yield from ("", f"{purpose}:", "", f"{fence}sh", command, fence)


def escaped(text: str) -> str:
    """Return foreign text on one line as Markdown that shows it and does nothing else."""
    shown = html.escape(plain(text), quote=False)
    return _MARKDOWN.sub(lambda found: f"&#{ord(found[0])};", shown)
