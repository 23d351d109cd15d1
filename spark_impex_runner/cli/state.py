"""``impex state``."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from spark_impex_runner.cli import selection

if TYPE_CHECKING:
    import argparse

    from spark_impex_runner.cli.console import CommandContext


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what to do with a state, and the two places."""
    parser.add_argument("action", choices=("migrate",), help="copy a state to another place")
    parser.add_argument(
        "source", metavar="FROM", type=selection.state_place, help="state directory or URL"
    )
    parser.add_argument(
        "destination",
        metavar="TO",
        type=selection.state_place,
        help="state directory or URL (s3://, az://, gs://), without targets",
    )


def execute(arguments: argparse.Namespace, context: CommandContext) -> int:
    """Copy a state to another place; the first one stays as it is."""
    from spark_impex_runner.clock import Clock
    from spark_impex_runner.errors import UsageError
    from spark_impex_runner.state.opening import existing_state, open_state
    from spark_impex_runner.state.transfer import migrate
    from spark_impex_runner.text import counted

    clock, source, destination = Clock(), arguments.source, arguments.destination
    found = existing_state(source)
    if found is None:
        raise UsageError(f"no state in {source}: check FROM")
    with closing(found) as old, closing(open_state(destination, clock)) as new:
        copied = migrate(old.storage, new.storage, clock.now())
    counts = f"{counted(copied.targets, 'target')} and {counted(copied.runs, 'run')}"
    context.console.result(f"{counts} copied; use --state {destination} from now on")
    return 0
