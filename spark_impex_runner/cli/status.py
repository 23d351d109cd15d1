"""``impex status``."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from spark_impex_runner.cli import selection
from spark_impex_runner.cli.console import table

if TYPE_CHECKING:
    import argparse

    from spark_impex_runner.cli.console import Surroundings
    from spark_impex_runner.state.store import Attempt


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add where the runner's memory lies, and the form."""
    selection.memory_arguments(parser)
    parser.add_argument("--json", action="store_true", help="as JSON")


def execute(arguments: argparse.Namespace, surroundings: Surroundings) -> int:
    """List every attempt that is not finished; asks no tenant."""
    from spark_impex_runner.state.store import State

    with closing(State(selection.memory_folder(arguments))) as state:
        rows = [_row(each, len(state.parts(each))) for each in state.open_attempts()]
    if arguments.json:
        surroundings.console.data(rows)
    elif rows:
        surroundings.console.result(table(rows))
    else:
        surroundings.console.result("nothing is unfinished")
    return 0


def _row(attempt: Attempt, parts: int) -> dict[str, str]:
    stage = "job created" if attempt.job_id else "intent, no reply yet"
    if parts:
        stage = f"divided into {parts} parts"
    if attempt.delivered:
        stage = "packages delivered"
    if attempt.held:
        stage = f"held for --approve {attempt.held}"
    return {
        "target": attempt.target,
        "stage": stage,
        "job": attempt.job_id or "-",
        "since": f"{attempt.intended:%Y-%m-%d %H:%M:%S}Z",
        "tenant": attempt.tenant,
        "correlation id": attempt.correlation_id,
    }
