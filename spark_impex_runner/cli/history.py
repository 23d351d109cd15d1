"""``impex history``."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from spark_impex_runner.cli import selection
from spark_impex_runner.cli.console import table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from spark_impex_runner.cli.console import Surroundings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add where the runner's memory lies, how much of it, and the form."""
    selection.memory_arguments(parser)
    parser.add_argument("-n", type=int, default=20, metavar="N", help="how many (default 20)")
    parser.add_argument("--json", action="store_true", help="as JSON")


def execute(arguments: argparse.Namespace, surroundings: Surroundings) -> int:
    """List the last attempts, newest first."""
    from spark_impex_runner.state.store import State

    with closing(State(selection.memory_folder(arguments))) as state:
        rows = [_row(attempt) for attempt in state.history(max(arguments.n, 1))]
    if arguments.json:
        surroundings.console.data(rows)
    else:
        surroundings.console.result(table(rows) if rows else "nothing was run yet")
    return 0


def _row(attempt: Mapping[str, Any]) -> dict[str, str]:
    return {
        "begun": f"{attempt['intended'][:19].replace('T', ' ')}Z",
        "target": attempt["target"],
        "outcome": attempt["outcome"] or "unfinished",
        "job": attempt["job_id"] or "-",
        "run": attempt["run_id"],
        "error": attempt["error"],
    }
