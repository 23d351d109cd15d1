"""``impex verify``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.cli import selection

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

    from spark_impex_runner.cli.console import CommandContext

VERSION = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the folders and the format of the result."""
    parser.add_argument(
        "folders",
        metavar="DIR",
        nargs="+",
        type=selection.local_path,
        help="a target's output folder, or a folder above several of them",
    )
    selection.add_format(parser)


def execute(arguments: argparse.Namespace, context: CommandContext) -> int:
    """Check each folder against its receipt; return 4 if one differs."""
    console, found = context.console, []
    text = arguments.format == "text"
    for folder, problems in _checked(arguments.folders):
        found.append((folder, problems))
        if not text:
            continue
        for problem in problems:
            console.error(f"{folder}: {problem}")
        if not problems:
            console.result(f"{folder}: as delivered")
    valid = not any(problems for _, problems in found)
    if not text:
        folders = [
            {"path": str(folder), "valid": not problems, "problems": problems}
            for folder, problems in found
        ]
        console.data({"version": VERSION, "valid": valid, "folders": folders})
    return 0 if valid else 4


def _checked(folders: list[Path]) -> Iterator[tuple[Path, list[str]]]:
    """Yield each delivered folder with its problems; one without any is a problem itself."""
    from spark_impex_runner.report import receipt

    for folder in folders:
        found = False
        for each in receipt.delivered_folders(folder) if folder.is_dir() else ():
            found = True
            yield each
        if not found:
            yield folder, receipt.verify(folder)
