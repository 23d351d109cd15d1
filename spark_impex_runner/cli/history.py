"""``impex history``."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from spark_impex_runner.cli import selection
from spark_impex_runner.cli.unreadable import report_unreadable
from spark_impex_runner.models import Outcome
from spark_impex_runner.report import history
from spark_impex_runner.report.data import seconds, timestamp
from spark_impex_runner.text import table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from datetime import datetime

    from spark_impex_runner.cli.console import CommandContext
    from spark_impex_runner.state.runs import PastApproval, PastHold, PastRun, PastTarget
    from spark_impex_runner.state.store import State

VERSION = 1
_MANIFESTS = {".yaml", ".yml", ".json"}
_SIGNALLED = 128
# What a target without an outcome does while its run still works.
_RUNNING = {"unfinished": "running", "not_started": "waiting"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the state directory, the run, the number of runs and the format."""
    selection.add_state_arguments(parser)
    parser.add_argument(
        "run",
        metavar="RUN",
        nargs="?",
        default="",
        help="show this run with its targets and approvals (the beginning of its id is enough)",
    )
    parser.add_argument(
        "-n", type=selection.positive, default=20, metavar="N", help="how many runs (default 20)"
    )
    selection.add_format(parser)
    parser.add_argument(
        "--json",
        action="store_true",
        help="as a JSON list with an object for each target of each run",
    )


def execute(arguments: argparse.Namespace, context: CommandContext) -> int:
    """List the last runs, the newest first, or show one of them."""
    _take_run(arguments)
    (found, code), console = _found(arguments, context), context.console
    if arguments.json:
        console.data(found[: arguments.n])
    elif arguments.format == "json":
        console.data({"version": VERSION, "runs": found})
    elif arguments.run:
        console.result("\n".join(history.page(found[0])))
    elif found:
        console.result(table([history.row(each) for each in found]))
    else:
        console.result(selection.NOTHING_RUN)
    return code


def _found(
    arguments: argparse.Namespace, context: CommandContext
) -> tuple[list[dict[str, Any]], int]:
    """Return the chosen run with its details, or the last runs without, and an exit code."""
    from spark_impex_runner.errors import UsageError

    found = selection.existing_state(arguments)
    if found is None:
        if arguments.run:
            raise UsageError(f"no run {arguments.run}: {selection.NOTHING_RUN}")
        return [], 0
    with closing(found) as state:
        rows = _chosen(arguments, state)
        return rows, report_unreadable(state, context)


def _chosen(arguments: argparse.Namespace, state: State) -> list[dict[str, Any]]:
    """Return runs of a state; with --json, a row for each of their targets."""
    one = [_matching(state, arguments.run)] if arguments.run else []
    runs = one or state.runs.last(arguments.n)
    if arguments.json:
        return [row for each in runs for row in _rows(each, state)]
    return [_details(one[0], state)] if one else [_summary(each, state) for each in runs]


def _rows(run: PastRun, state: State) -> Iterator[dict[str, str]]:
    """Yield a row for each target of a run, the last one first; a missing text is ``-``."""
    approvals = [each for each in state.runs.approvals(run.id) if each.run_id == run.id]
    for each in reversed(state.runs.targets(run.id)):
        times = _times(each.started, each.finished)
        approved = (given.approval for given in approvals if given.target == each.target)
        yield {
            "begun": history.moment(times["started"]),
            "target": each.target,
            "outcome": each.outcome,
            "job": ", ".join(each.job_ids) or "-",
            "run": run.id,
            "ended": history.moment(times["finished"]),
            "approved": ", ".join(approved) or "-",
            "error": each.error,
        }


def _take_run(arguments: argparse.Namespace) -> None:
    """Take the only argument for a run unless it is a manifest."""
    given = arguments.manifest
    if given and not arguments.run and given.suffix not in _MANIFESTS and not given.is_file():
        arguments.manifest, arguments.run = None, str(given)


def _matching(state: State, prefix: str) -> PastRun:
    """Return the run whose id begins with a text; raise ``UsageError`` unless there is one."""
    from spark_impex_runner.errors import UsageError

    found = state.runs.matching(prefix)
    if not found:
        raise UsageError(
            f"no run {prefix} in {state.storage.place}; impex history lists the last runs"
        )
    if len(found) > 1:
        names = ", ".join(each.id for each in found[:3])
        raise UsageError(f"{len(found)} runs begin with {prefix}: {names}; give more of the id")
    return found[0]


def _summary(run: PastRun, state: State) -> dict[str, Any]:
    outcome = _outcome(run, state)
    counts = {_word(name, outcome): number for name, number in run.counts.items()}
    order = [each.value for each in Outcome if each.value in counts]
    return {
        "run_id": run.id,
        "manifest": run.manifest,
        **_times(run.started, run.finished),
        "started_by": run.started_by or None,
        "outcome": outcome,
        "exit_code": run.exit_code,
        "counts": {"total": sum(counts.values()), **dict.fromkeys(order), **counts},
    }


def _details(run: PastRun, state: State) -> dict[str, Any]:
    summary = _summary(run, state)
    return {
        **summary,
        "targets": [_target(each, summary["outcome"]) for each in state.runs.targets(run.id)],
        "held": [_held(each) for each in state.runs.holds(run.id)],
        "approvals": [_approval(each) for each in state.runs.approvals(run.id)],
    }


def _outcome(run: PastRun, state: State) -> str:
    """Return the outcome of a run in the report's words, or ``running`` or ``unfinished``."""
    code = run.exit_code
    if code is None:
        return "running" if state.storage.is_running(run.id) else "unfinished"
    if code > _SIGNALLED:
        return "interrupted"
    good = sum(run.counts.get(each.value, 0) for each in Outcome if each.good)
    return {0: "succeeded", 9: "held"}.get(code, "partial" if good else "failed")


def _word(target: str, run: str) -> str:
    """Return the outcome of a target in a run with an outcome."""
    return _RUNNING.get(target, target) if run == "running" else target


def _target(each: PastTarget, run: str) -> dict[str, Any]:
    return {
        "target": _name(each.target),
        "outcome": _word(each.outcome, run),
        "error": each.error or None,
        "job_ids": list(each.job_ids),
        **_times(each.started, each.finished),
        "phases": dict(each.phases),
    }


def _held(each: PastHold) -> dict[str, Any]:
    return {
        "target": _name(each.target),
        "connection": each.name,
        "digests": list(each.digests),
        "status": each.status,
        "approve_command": each.command,
    }


def _approval(each: PastApproval) -> dict[str, Any]:
    return {
        "target": _name(each.target),
        "approval": each.approval,
        "at": timestamp(each.at),
        "by": each.by or None,
        "named_by": each.named_by or None,
        "run_id": each.run_id or None,
        "held_by": each.held_by,
    }


def _times(started: datetime | None, finished: datetime | None) -> dict[str, Any]:
    return {
        "started": started and timestamp(started),
        "finished": finished and timestamp(finished),
        "seconds": seconds(started, finished) if started and finished else None,
    }


def _name(key: str) -> str:
    """Return a target's name from its key in the state."""
    return key.rpartition("/")[2]
