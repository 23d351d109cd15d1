"""``impex resume``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.cli import run

if TYPE_CHECKING:
    import argparse

    from spark_impex_runner.cli.console import CommandContext


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the job id to the options of a run."""
    parser.add_argument("--job", required=True, metavar="ID", help="id of the export job")
    run.add_shared_arguments(parser, one=True)


def execute(arguments: argparse.Namespace, context: CommandContext) -> int:
    """Run the selected target with a job that exists already."""
    return run.execute(arguments, context)
