"""Write past runs as text, from the data that ``impex history --format json`` prints."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING, Any

from spark_impex_runner.report.figures import format_duration
from spark_impex_runner.text import plain, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_SIGNALLED = 128
_DIGITS = 12
_GOOD = {"succeeded", "unchanged"}
_PHASES = ("queued", "creating", "running", "downloading", "steps")
# Of a digest only so many digits are shown, as in the command that approves it.
_DIGEST = re.compile(rf"(@[0-9a-f]{{{_DIGITS}}})[0-9a-f]+")


def row(run: Mapping[str, Any]) -> dict[str, str]:
    """Return one run as a row of the list; its id begins with the time of its start."""
    return {
        "run": run["run_id"],
        "took": _took(run),
        "outcome": _words(run["outcome"]),
        "targets": _counts(run),
        "by": run["started_by"] or "-",
        "manifest": run["manifest"],
    }


def page(run: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines about one run."""
    by = f" by {plain(run['started_by'])}" if run["started_by"] else ""
    yield f"run {plain(run['run_id'])} of {plain(run['manifest'])}"
    yield f"  started   {moment(run['started'])}{by}"
    if run["finished"]:
        yield f"  finished  {moment(run['finished'])}, after {_took(run)}"
    yield f"  outcome   {_words(run['outcome'])}{_code(run['exit_code'])}"
    yield f"  targets   {_counts(run)}"
    if run["targets"]:
        yield ""
        yield from _targets(run["targets"])
    for title, lines in (
        ("held for an approval:", map(_held_line, run["held"])),
        ("approvals:", (_approval_line(each, run["run_id"]) for each in run["approvals"])),
    ):
        shown = list(lines)
        yield from ["", title, *shown] if shown else []


def _code(code: int | None) -> str:
    if code is None:
        return ""
    name = f", {signal.Signals(code - _SIGNALLED).name}" if code > _SIGNALLED else ""
    return f" (exit code {code}{name})"


def _targets(targets: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a table of the targets, with the error of each below it; failures last, as of a run."""
    targets = sorted(targets, key=lambda each: each["outcome"] not in _GOOD)
    known = [name for name in _PHASES if any(name in each["phases"] for each in targets)]
    title, *rows = table([_target_row(each, known) for each in targets]).splitlines()
    yield title
    for row_, each in zip(rows, targets, strict=True):
        yield row_
        if each["error"]:
            yield f"    {plain(each['error'])}"


def _target_row(each: Mapping[str, Any], phases: Sequence[str]) -> dict[str, str]:
    jobs, spent = each["job_ids"], each["phases"]
    return {
        "target": each["target"],
        "outcome": _words(each["outcome"]),
        "took": _took(each),
        **{name: format_duration(spent[name]) if name in spent else "-" for name in phases},
        "job": (jobs[0] if len(jobs) == 1 else f"{len(jobs)} jobs") if jobs else "-",
    }


def _held_line(each: Mapping[str, Any]) -> str:
    digests = ", ".join(digest[:_DIGITS] for digest in each["digests"])
    line = f"{each['target']} for {each['connection']} ({digests}): {each['status']}"
    if each["status"] == "waiting":
        line += f"; to approve: {each['approve_command']}"
    return f"  {plain(line)}"


def _approval_line(each: Mapping[str, Any], run_id: str) -> str:
    approvals = _DIGEST.sub(r"\1", each["approval"])
    by = f" by {each['by']}" if each["by"] else ""
    here = each["run_id"] == run_id
    other = f"held by run {each['held_by']}" if here else f"in run {each['run_id']}"
    line = f"{each['target']}: {approvals} approved {moment(each['at'])}{by}, {other}"
    return f"  {plain(line)}"


def _counts(run: Mapping[str, Any]) -> str:
    """Return ``2 succeeded, 1 failed``."""
    counts = ((number, name) for name, number in run["counts"].items() if name != "total")
    return ", ".join(f"{number} {_words(name)}" for number, name in counts) or "-"


def _words(outcome: str) -> str:
    return {"unfinished": "did not finish"}.get(outcome, outcome.replace("_", " "))


def _took(each: Mapping[str, Any]) -> str:
    return format_duration(each["seconds"]) if each["seconds"] else "-"


def moment(at: str | None) -> str:
    """Return a time of the data for people: ``2026-01-31 12:00:00Z``."""
    return f"{at[:19].replace('T', ' ')}Z" if at else "-"
