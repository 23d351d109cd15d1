"""``impex schema``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.cli import selection

if TYPE_CHECKING:
    import argparse

    from spark_impex_runner.cli.console import CommandContext


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
        help="include the steps, strategies and options of installed plugins",
    )
    selection.add_plugin_option(parser)


def execute(arguments: argparse.Namespace, context: CommandContext) -> int:
    """Print the schema as JSON."""
    from spark_impex_runner.manifest.schema.compose import compose, overlay, printed, published

    if arguments.with_plugins:
        plugins = selection.chosen_plugins(arguments)
        document = compose(plugins.registry)
    else:
        document = published()
    document = overlay(document) if arguments.overlay else document
    context.console.document(printed(document))
    return 0
