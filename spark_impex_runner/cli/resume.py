"""``impex resume``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.cli import run

if TYPE_CHECKING:
    import argparse

    from spark_impex_runner.cli.console import Surroundings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the job to what a run can be told."""
    parser.add_argument("--job", required=True, metavar="ID", help="id of the export job")
    run.add_shared_arguments(parser)


def execute(arguments: argparse.Namespace, surroundings: Surroundings) -> int:
    """Run the one chosen target with a job that exists already."""
    return run.execute(arguments, surroundings)
