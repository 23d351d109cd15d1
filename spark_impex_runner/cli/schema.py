"""``impex schema``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from spark_impex_runner.cli import selection

if TYPE_CHECKING:
    import argparse

    from spark_impex_runner.cli.main import Surroundings


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
    from spark_impex_runner.plugincandidates import PluginChoice
    from spark_impex_runner.pluginmanager import make_plugin_manager

    if arguments.with_plugins:
        blocked, files = selection.split_plugins(arguments.plugin)
        plugins = make_plugin_manager(PluginChoice(blocked=blocked, files=files))
        document = compose(plugins.registry)
    else:
        document = published()
    surroundings.console.result(json.dumps(document, indent=2, ensure_ascii=False))
    return 0
