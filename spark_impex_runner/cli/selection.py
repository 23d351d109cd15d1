"""Options that several commands share: which targets, which values, which plugins."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from spark_impex_runner.cli import console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spark_impex_runner.models import RunOptions
    from spark_impex_runner.pluginmanager import Plugins


def add_manifest_arguments(parser: argparse.ArgumentParser) -> None:
    """Add manifests, the choice within them, and the output options."""
    console.manifest_argument(parser)
    add_arguments(parser)
    console.add_arguments(parser)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add them."""
    group = parser.add_argument_group("what to work on")
    group.add_argument(
        "-t",
        "--target",
        action="append",
        default=[],
        metavar="GLOB",
        help="only these targets and what they need (repeatable)",
    )
    group.add_argument(
        "--tag", action="append", default=[], help="only targets with this tag (repeatable)"
    )
    group.add_argument(
        "--var",
        action="append",
        default=[],
        type=_variable,
        metavar="NAME=VALUE",
        help="set a variable of the manifest (repeatable)",
    )
    group.add_argument(
        "--output", type=Path, metavar="DIR", help="base folder of the targets' relative outputs"
    )
    add_state_option(group)
    add_plugin_option(group)


def add_state_option(group: argparse._ActionsContainer) -> None:
    """Add ``--state``, the folder of the runner's memory."""
    group.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="the runner's memory (default: .impex beside the manifest)",
    )


def add_plugin_option(group: argparse._ActionsContainer) -> None:
    """Add ``-p``, which blocks or adds a plugin."""
    group.add_argument(
        "-p",
        dest="plugin",
        action="append",
        default=[],
        metavar="no:NAME|FILE",
        help="block a plugin, or load one from a Python file (repeatable)",
    )


def options(arguments: argparse.Namespace) -> RunOptions:
    """Return what the arguments say about a run."""
    from spark_impex_runner.models import RunOptions

    blocked, files = _split_plugins(arguments.plugin)
    return RunOptions(
        targets=tuple(arguments.target),
        tags=tuple(arguments.tag),
        variables=dict(arguments.var),
        until=getattr(arguments, "until", ""),
        fail_fast=getattr(arguments, "fail_fast", False),
        jobs=getattr(arguments, "jobs", None),
        output=arguments.output,
        state=arguments.state,
        fresh=getattr(arguments, "fresh", False),
        job=getattr(arguments, "job", ""),
        reports=dict(getattr(arguments, "report", [])),
        blocked_plugins=blocked,
        plugin_files=files,
    )


def chosen_plugins(arguments: argparse.Namespace) -> Plugins:
    """Return the installed plugins as ``-p`` chose them, for commands without a manifest."""
    from spark_impex_runner.plugincandidates import PluginChoice
    from spark_impex_runner.pluginmanager import make_plugin_manager

    blocked, files = _split_plugins(arguments.plugin)
    return make_plugin_manager(PluginChoice(blocked=blocked, files=files))


def _split_plugins(values: Sequence[str]) -> tuple[frozenset[str], tuple[Path, ...]]:
    """Return the names that are blocked and the files that are added."""
    blocked = frozenset(value[3:] for value in values if value.startswith("no:"))
    return blocked, tuple(Path(value) for value in values if not value.startswith("no:"))


def _variable(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=VALUE")
    return name, value
