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
    parser.add_argument(
        "-n", type=selection.positive, default=20, metavar="N", help="how many (default 20)"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")


def execute(arguments: argparse.Namespace, surroundings: Surroundings) -> int:
    """List what the last runs did for each of their targets, newest first."""
    from spark_impex_runner.state.store import State

    with closing(State(selection.memory_folder(arguments))) as state:
        rows = [_row(each) for each in state.history(arguments.n)]
    if arguments.json:
        surroundings.console.data(rows)
    else:
        surroundings.console.result(table(rows) if rows else "nothing was run yet")
    return 0


def _row(each: Mapping[str, Any]) -> dict[str, str]:
    return {
        "begun": _moment(each["began"]),
        "target": each["target"],
        "outcome": each["outcome"] or "unfinished",
        "job": each["job_id"] or "-",
        "run": each["run_id"],
        "ended": _moment(each["ended"]) if each["ended"] else "-",
        "approved": each["approved"] or "-",
        "error": each["error"],
    }


def _moment(at: str) -> str:
    return f"{at[:19].replace('T', ' ')}Z"
