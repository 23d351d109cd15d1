"""Options that several commands share: which targets, which values, which plugins, what is said."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spark_impex_runner.hooks.manager import Plugins
    from spark_impex_runner.models import RunOptions, RunResult

_DIGITS = 9


def add_manifest_arguments(parser: argparse.ArgumentParser) -> None:
    """Add manifests, the choice within them, and the output options."""
    manifest_argument(parser)
    add_arguments(parser)
    output_arguments(parser)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add them."""
    group = parser.add_argument_group("what to work on")
    group.add_argument(
        "-f",
        "--overlay",
        action="append",
        default=[],
        type=local_path,
        metavar="FILE",
        help="change the manifest as this file says (repeatable; the last has the last word)",
    )
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
        "--output",
        type=local_path,
        metavar="DIR",
        help="base folder of the targets' relative outputs",
    )
    add_state_option(group)
    add_plugin_option(group)


def add_state_option(group: argparse._ActionsContainer) -> None:
    """Add ``--state``, the folder of the runner's memory."""
    group.add_argument(
        "--state",
        type=local_path,
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
        type=_plugin,
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
        overlays=tuple(arguments.overlay),
        variables=dict(arguments.var),
        until=getattr(arguments, "until", ""),
        fail_fast=getattr(arguments, "fail_fast", False),
        jobs=getattr(arguments, "jobs", None),
        output=arguments.output,
        state=arguments.state,
        fresh=getattr(arguments, "fresh", False),
        job=getattr(arguments, "job", ""),
        approved=frozenset(getattr(arguments, "approve", [])),
        reports=dict(getattr(arguments, "report", [])),
        blocked_plugins=blocked,
        plugin_files=files,
        executor=getattr(arguments, "executor", ""),
    )


def again(command: str, arguments: argparse.Namespace) -> str:
    """Return the line that has ``command`` work on the same targets of the same manifests."""
    import shlex

    words = [*command.split(), *arguments.manifests]
    for option, values in (
        ("-f", arguments.overlay),
        ("-t", arguments.target),
        ("--tag", arguments.tag),
        ("--var", [f"{name}={value}" for name, value in arguments.var]),
        ("--state", [arguments.state] if arguments.state else []),
        ("-p", arguments.plugin),
    ):
        for value in values:
            words += [option, value]
    return shlex.join(map(str, words))


def approval(run: RunResult, arguments: argparse.Namespace) -> str:
    """Return the line that approves what a run holds, and repeats nothing; else an empty text.

    A target that only waits for held ones is done by it, too: nothing of it was delivered.
    """
    import shlex
    from dataclasses import replace

    from spark_impex_runner.planning.approvals import approve_values, command

    held = [each for each in run.results if each.approve]
    if not held:
        return ""
    names = {each.target.name for each in held}
    for each in run.results:  # in an order in which what is needed comes first
        needs = each.target.needs
        if each.outcome.value == "skipped" and needs and names.issuperset(needs):
            names.add(each.target.name)
    targets = [each.target.name for each in run.results if each.target.name in names]
    waits = dict.fromkeys(
        word
        for each in held
        for word in approve_values(each.approve, each.digests) or [each.approve]
    )
    line = command(run.manifest.path, replace(options(arguments), job=""), targets, waits)
    said = (
        *(["-q"] if arguments.quiet else []),
        *["-v"] * arguments.verbose,
        *(["--log-format", "json"] if arguments.log_format == "json" else []),
    )
    return f"{line} {shlex.join(said)}" if said else line


def chosen_plugins(arguments: argparse.Namespace) -> Plugins:
    """Return the installed plugins as ``-p`` chose them, for commands without a manifest."""
    from spark_impex_runner.hooks.discovery import PluginChoice
    from spark_impex_runner.hooks.manager import make_plugin_manager

    blocked, files = _split_plugins(arguments.plugin)
    return make_plugin_manager(PluginChoice(blocked=blocked, files=files))


def _split_plugins(values: Sequence[str]) -> tuple[frozenset[str], tuple[Path, ...]]:
    """Return the names that are blocked and the files that are added."""
    blocked = frozenset(value[3:] for value in values if value.startswith("no:"))
    return blocked, tuple(Path(value) for value in values if not value.startswith("no:"))


def _plugin(text: str) -> str:
    """Return a value of ``-p``, whose file has to be a local one."""
    return text if text.startswith("no:") else str(local_path(text))


def local_path(text: str) -> Path:
    """Return the path of a local file or folder; a URL is an error of the command line."""
    from spark_impex_runner.paths import url_problem

    if problem := url_problem(text):
        raise argparse.ArgumentTypeError(f"{problem}; the step 'upload' is what reaches URLs")
    return Path(text)


def positive(text: str) -> int:
    """Return a number of 1 or more; raise what argparse reports for anything else."""
    if not text.isascii() or not text.isdigit() or len(text) > _DIGITS or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 1 to {10**_DIGITS - 1}")
    return int(text)


def _variable(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=VALUE")
    return name, value


def manifest_argument(parser: argparse.ArgumentParser) -> None:
    """Add the positional argument of every command that reads manifests."""
    parser.add_argument(
        "manifests", metavar="MANIFEST", nargs="+", type=local_path, help="a YAML file"
    )


def output_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of every command that works on manifests."""
    group = parser.add_argument_group("output")
    group.add_argument(
        "-v",
        "--verbose",
        action="count",
        default=0,
        help="say also what is sent; twice: each call of a plugin, too",
    )
    group.add_argument("-q", "--quiet", action="store_true", help="say only warnings and results")
    group.add_argument(
        "--log-format", choices=("text", "json"), default="text", help="form of the lines on stderr"
    )
    group.add_argument(
        "--color",
        choices=("auto", "always", "never"),
        default="auto",
        help="colour (default: on a terminal; NO_COLOR is honoured)",
    )


def memory_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what says where a memory lies, for commands that only read it."""
    parser.add_argument(
        "manifest", metavar="MANIFEST", nargs="?", type=local_path, help="the manifest that was run"
    )
    parser.add_argument(
        "--state",
        type=local_path,
        metavar="DIR",
        help="the runner's memory (default: .impex beside the manifest, or here)",
    )


def memory_folder(arguments: argparse.Namespace) -> Path:
    """Return the folder of a memory that must exist; raise ``UsageError`` if it does not."""
    from spark_impex_runner.errors import UsageError
    from spark_impex_runner.state.store import STATE_FOLDER

    beside = arguments.manifest.parent if arguments.manifest else Path()
    folder = arguments.state or beside / STATE_FOLDER
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder of a run's memory; name it with --state DIR")
    return Path(folder)
