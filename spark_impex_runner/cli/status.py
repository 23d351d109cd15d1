"""``impex status``."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from spark_impex_runner.cli import selection
from spark_impex_runner.cli.console import table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from spark_impex_runner.cli.console import Surroundings
    from spark_impex_runner.state.holds import Hold
    from spark_impex_runner.state.models import Attempt


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add where the runner's memory lies, and the form."""
    selection.memory_arguments(parser)
    parser.add_argument("--json", action="store_true", help="as JSON")


def execute(arguments: argparse.Namespace, surroundings: Surroundings) -> int:
    """List every attempt that is not finished; asks no tenant."""
    from spark_impex_runner.state.store import State

    with closing(State(selection.memory_folder(arguments))) as state:
        attempts = state.open_attempts()
        rows = [_row(each, len(state.parts(each))) for each in attempts]
        waiting = [_waiting(state.holds.of(each)) for each in attempts]
    if arguments.json:
        data = [{**row, **waits} for row, waits in zip(rows, waiting, strict=True)]
        surroundings.console.data(data)
    elif rows:
        lines = (_line(row["target"], waits) for row, waits in zip(rows, waiting, strict=True))
        surroundings.console.result("\n".join([table(rows), *filter(None, lines)]))
    else:
        surroundings.console.result("nothing is unfinished")
    return 0


def _waiting(hold: Hold | None) -> dict[str, Any]:
    """Return what waits for an approval: the packages, the work and the line that approves it."""
    if hold is None:
        return {}
    return {
        "held by run": hold.run_id,
        "packages": [
            {"name": name, "sha256": each["sha256"], "tenant": each["tenant"]}
            for name, each in hold.work["packages"].items()
        ],
        "work": {name: each for name, each in hold.work.items() if name != "salt"},
        "to approve": hold.command,
    }


def _line(target: str, waiting: Mapping[str, Any]) -> str:
    """Return for a person what waits, nothing where nothing does."""
    if not waiting:
        return ""
    packages = (f"{each['name']} (sha256 {each['sha256']})" for each in waiting["packages"])
    return f"{target}: {', '.join(packages)}; to approve: {waiting['to approve']}"


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
