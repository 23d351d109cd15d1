"""``impex schema``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.cli import selection

if TYPE_CHECKING:
    import argparse

    from spark_impex_runner.cli.console import Surroundings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the choices of schema and plugins."""
    parser.add_argument(
        "--overlay",
        action="store_true",
        help="the schema of overlays and included files, in which nothing is required",
    )
    parser.add_argument(
        "--with-plugins",
        action="store_true",
        help="with what the installed plugins offer, and its options",
    )
    selection.add_plugin_option(parser)


def execute(arguments: argparse.Namespace, surroundings: Surroundings) -> int:
    """Print the schema as JSON."""
    from spark_impex_runner.manifest.schema.compose import compose, overlay, printed, published

    if arguments.with_plugins:
        plugins = selection.chosen_plugins(arguments)
        document = compose(plugins.registry)
    else:
        document = published()
    document = overlay(document) if arguments.overlay else document
    surroundings.console.document(printed(document))
    return 0
