"""``impex schema``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from spark_impex_runner.cli import selection

if TYPE_CHECKING:
    import argparse

    from spark_impex_runner.cli.console import Surroundings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the choice of plugins."""
    parser.add_argument(
        "--with-plugins",
        action="store_true",
        help="with the options of the installed plugins' steps and strategies",
    )
    selection.add_plugin_option(parser)


def execute(arguments: argparse.Namespace, surroundings: Surroundings) -> int:
    """Print the schema as JSON."""
    from spark_impex_runner.manifest.compose import compose, published

    if arguments.with_plugins:
        plugins = selection.chosen_plugins(arguments)
        document = compose(plugins.registry)
    else:
        document = published()
    surroundings.console.result(json.dumps(document, indent=2, ensure_ascii=False))
    return 0
