"""``impex verify``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.cli.selection import local_path

if TYPE_CHECKING:
    import argparse

    from spark_impex_runner.cli.console import CommandContext


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the folders."""
    parser.add_argument(
        "folders",
        metavar="DIR",
        nargs="+",
        type=local_path,
        help="a target's output folder",
    )


def execute(arguments: argparse.Namespace, context: CommandContext) -> int:
    """Check each folder against its receipt; return 4 if one differs."""
    from spark_impex_runner.report import receipt

    bad = 0
    for folder in arguments.folders:
        problems = receipt.verify(folder)
        bad += bool(problems)
        for problem in problems:
            context.console.error(f"{folder}: {problem}")
        if not problems:
            context.console.result(f"{folder}: as delivered")
    return 4 if bad else 0
