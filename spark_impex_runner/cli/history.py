"""``impex history``."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from spark_impex_runner.cli import selection
from spark_impex_runner.cli.console import table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from spark_impex_runner.cli.console import CommandContext


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the state directory, the number of rows and the format."""
    selection.add_state_arguments(parser)
    parser.add_argument(
        "-n", type=selection.positive, default=20, metavar="N", help="how many (default 20)"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")


def execute(arguments: argparse.Namespace, context: CommandContext) -> int:
    """List the last runs' targets and their outcomes, newest first."""
    from spark_impex_runner.state.store import State

    with closing(State(selection.existing_state(arguments))) as state:
        rows = [_row(each) for each in state.history(arguments.n)]
    if arguments.json:
        context.console.data(rows)
    else:
        context.console.result(table(rows) if rows else "nothing was run yet")
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
