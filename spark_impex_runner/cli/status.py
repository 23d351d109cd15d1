"""``impex status``."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from spark_impex_runner.cli import selection
from spark_impex_runner.text import table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from spark_impex_runner.cli.console import CommandContext
    from spark_impex_runner.state.holds import Hold
    from spark_impex_runner.state.models import Attempt


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the state directory and the format."""
    selection.add_state_arguments(parser)
    selection.add_format(parser)
    parser.add_argument(
        "--json", action="store_const", const="json", dest="format", help="as --format json"
    )


def execute(arguments: argparse.Namespace, context: CommandContext) -> int:
    """List every unfinished attempt, without contacting a tenant."""
    found, rows, waiting = selection.existing_state(arguments), [], []
    if found:
        with closing(found) as state:
            attempts = state.open_attempts()
            rows = [_row(each, len(state.parts(each))) for each in attempts]
            waiting = [_waiting(state.holds.of(each)) for each in attempts]
    if arguments.format == "json":
        data = [{**row, **waits} for row, waits in zip(rows, waiting, strict=True)]
        context.console.data(data)
    elif rows:
        lines = (_line(row["target"], waits) for row, waits in zip(rows, waiting, strict=True))
        context.console.result("\n".join([table(rows), *filter(None, lines)]))
    else:
        context.console.result("nothing is unfinished" if found else selection.NOTHING_RUN)
    return 0


def _waiting(hold: Hold | None) -> dict[str, Any]:
    """Return what is pending: the packages, the work and the command that approves it."""
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
    """Return a line about what is pending, an empty one if nothing is."""
    if not waiting:
        return ""
    packages = (f"{each['name']} (sha256 {each['sha256']})" for each in waiting["packages"])
    return f"{target}: {', '.join(packages)}; to approve: {waiting['to approve']}"


def _row(attempt: Attempt, parts: int) -> dict[str, str]:
    stage = "job created" if attempt.job_id else "intent, no reply yet"
    if parts:
        stage = f"split into {parts} parts"
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
