"""Options that several commands share: manifests, targets, variables, plugins and output."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spark_impex_runner.hooks.manager import Plugins
    from spark_impex_runner.models import RunOptions, RunResult
    from spark_impex_runner.state.place import StatePlace
    from spark_impex_runner.state.store import State

_DIGITS = 9
# A command that names more targets would fill the screen.
_MOST_NAMED = 20
NOTHING_RUN = "nothing has been run here (no state in .impex); --state DIR|URL names another one"


def add_manifest_arguments(parser: argparse.ArgumentParser, *, one: bool = False) -> None:
    """Add the manifests, or only ``one``, the selection of targets and the output options."""
    add_manifest_argument(parser, one=one)
    add_arguments(parser)
    add_output_arguments(parser)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the selection of targets, overlays, variables, state and plugins."""
    group = parser.add_argument_group("selection")
    add_target_arguments(group)
    group.add_argument(
        "--output",
        type=output_path,
        metavar="DIR",
        help="base directory of relative outputs",
    )
    add_state_option(group)
    add_plugin_option(group)


def add_target_arguments(group: argparse._ActionsContainer) -> None:
    """Add overlays, variables and the selection of targets."""
    add_manifest_settings(group)
    group.add_argument(
        "-t",
        "--target",
        action="append",
        default=[],
        metavar="GLOB",
        help="select targets, and those they need (repeatable)",
    )
    group.add_argument(
        "--tag", action="append", default=[], help="select targets by tag (repeatable)"
    )


def add_manifest_settings(group: argparse._ActionsContainer) -> None:
    """Add overlays and variables, which complete a manifest."""
    group.add_argument(
        "-f",
        "--overlay",
        action="append",
        default=[],
        type=local_path,
        metavar="FILE",
        help="apply an overlay (repeatable; later files win)",
    )
    group.add_argument(
        "--var",
        action="append",
        default=[],
        type=_variable,
        metavar="NAME=VALUE",
        help="set a variable of the manifest (repeatable)",
    )


def add_state_option(group: argparse._ActionsContainer, place: str = "beside the manifest") -> None:
    """Add ``--state``, the place of the state."""
    group.add_argument(
        "--state",
        type=state_place,
        metavar="DIR|URL",
        help=f"state directory (default: .impex {place}), or s3://, az:// or gs:// URL",
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


def add_connection_option(parser: argparse._ActionsContainer) -> None:
    """Add ``-c``, which selects connections of a manifest."""
    parser.add_argument(
        "-c",
        "--connection",
        action="append",
        default=[],
        metavar="NAME",
        help="a connection of the manifest (repeatable; default: those of the targets)",
    )


def is_address(text: str) -> bool:
    """Return whether an argument is the address of a tenant, not a file."""
    return text.partition("://")[0].lower() in {"http", "https"} and "://" in text


def manifest_or_address(text: str) -> Path | str:
    """Return the path of a manifest, or the address of a tenant as it is."""
    return text if is_address(text) else local_path(text)


def options(arguments: argparse.Namespace) -> RunOptions:
    """Return the options of a run that the arguments give."""
    from spark_impex_runner.models import RunOptions

    blocked, files = _split_plugins(arguments.plugin)
    return RunOptions(
        targets=tuple(getattr(arguments, "target", ())),
        tags=tuple(getattr(arguments, "tag", ())),
        overlays=tuple(arguments.overlay),
        variables=dict(arguments.var),
        until=getattr(arguments, "until", ""),
        fail_fast=getattr(arguments, "fail_fast", False),
        jobs=getattr(arguments, "jobs", None),
        output=getattr(arguments, "output", None),
        state=getattr(arguments, "state", None),
        fresh=getattr(arguments, "fresh", False),
        job=getattr(arguments, "job", ""),
        approved=frozenset(getattr(arguments, "approve", [])),
        approved_by=getattr(arguments, "approved_by", ""),
        reports=dict(getattr(arguments, "report", [])),
        blocked_plugins=blocked,
        plugin_files=files,
        executor=getattr(arguments, "executor", ""),
    )


def command_line(command: str, arguments: argparse.Namespace) -> str:
    """Return the line that runs ``command`` on the same targets of the same manifests."""
    import shlex

    line = [*command.split(), *arguments.manifests]
    for option, values in (
        ("-f", arguments.overlay),
        ("-t", arguments.target),
        ("--tag", arguments.tag),
        ("--var", [f"{name}={value}" for name, value in arguments.var]),
        ("--state", [arguments.state] if arguments.state else []),
        ("-p", arguments.plugin),
    ):
        for value in values:
            line += [option, value]
    return shlex.join(map(str, line))


def repeat(run: RunResult, arguments: argparse.Namespace) -> str:
    """Return the command that runs again what did not succeed; empty if that is most of the run."""
    from spark_impex_runner.planning.approvals import command

    left = [each.target.name for each in run.results if not each.good and not each.approve]
    if len(left) == len(run.results) or len(left) > _MOST_NAMED:
        return ""
    chosen = options(arguments)
    return command(run.manifest.path, chosen, left, sorted(chosen.approved))


def approval(run: RunResult, arguments: argparse.Namespace) -> str:
    """Return the command that approves a run's held targets, an empty text if none is held.

    It includes targets that were skipped only because they need held ones.
    """
    import shlex
    from dataclasses import replace

    from spark_impex_runner.planning.approvals import approve_values, command

    held = [each for each in run.results if each.approve]
    if not held:
        return ""
    names = {each.target.name for each in held}
    for each in run.results:  # in dependency order: what a target needs comes before it
        needs = each.target.needs
        if each.outcome.value == "skipped" and needs and names.issuperset(needs):
            names.add(each.target.name)
    targets = [each.target.name for each in run.results if each.target.name in names]
    waits = dict.fromkeys(
        value
        for each in held
        for value in approve_values(each.approve, each.digests) or [each.approve]
    )
    line = command(run.manifest.path, replace(options(arguments), job=""), targets, waits)
    output = (
        *(["-q"] if arguments.quiet else []),
        *["-v"] * arguments.verbose,
        *(["--log-format", "json"] if arguments.log_format == "json" else []),
    )
    return f"{line} {shlex.join(output)}" if output else line


def chosen_plugins(arguments: argparse.Namespace) -> Plugins:
    """Return the plugins that ``-p`` allows, for commands without a manifest."""
    from spark_impex_runner.hooks.discovery import PluginChoice
    from spark_impex_runner.hooks.manager import make_plugin_manager

    blocked, files = _split_plugins(arguments.plugin)
    return make_plugin_manager(PluginChoice(blocked=blocked, files=files))


def _split_plugins(values: Sequence[str]) -> tuple[frozenset[str], tuple[Path, ...]]:
    """Return the names that are blocked and the files that are added."""
    blocked = frozenset(value[3:] for value in values if value.startswith("no:"))
    return blocked, tuple(Path(value) for value in values if not value.startswith("no:"))


def _plugin(text: str) -> str:
    """Return a value of ``-p``, whose file must be local."""
    return text if text.startswith("no:") else str(local_path(text))


def local_path(text: str, purpose: str = "read") -> Path:
    """Return the path of a local file or folder; a URL is a usage error."""
    from spark_impex_runner.errors import UsageError
    from spark_impex_runner.paths import local_path

    try:
        return local_path(text, purpose)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def output_path(text: str) -> Path:
    """Return the path of a folder for packages; a URL is a usage error."""
    return local_path(text, "output")


def written_path(text: str) -> Path:
    """Return the path of a file to write; a URL is a usage error."""
    return local_path(text, "write")


def state_place(text: str) -> StatePlace:
    """Return a state directory or the URL of an object store; another URL is a usage error."""
    from spark_impex_runner.errors import UsageError
    from spark_impex_runner.state.place import parse_place

    try:
        return parse_place(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


# The types of arguments that are paths.
PATHS = (local_path, output_path, written_path, state_place, manifest_or_address)


def positive(text: str) -> int:
    """Return a number of 1 or more; anything else is a usage error."""
    # int accepts blanks, signs, underscores and digits of other scripts, and takes long for many.
    if not text.isascii() or not text.isdigit() or len(text) > _DIGITS or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 1 to {10**_DIGITS - 1}")
    return int(text)


def _variable(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=VALUE")
    return name, value


def add_manifest_argument(parser: argparse.ArgumentParser, *, one: bool = False) -> None:
    """Add the positional argument of every command that reads manifests, a list also of ``one``."""
    number = 1 if one else "+"
    parser.add_argument(
        "manifests", metavar="MANIFEST", nargs=number, type=local_path, help="a YAML file"
    )


def add_output_arguments(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add the options of every command that works on manifests; return their group."""
    group = parser.add_argument_group("output")
    group.add_argument(
        "-v",
        "--verbose",
        action="count",
        default=0,
        help="-v: log HTTP requests; -vv: also plugin calls",
    )
    group.add_argument("-q", "--quiet", action="store_true", help="print only warnings and results")
    group.add_argument(
        "--log-format", choices=("text", "json"), default="text", help="format of the log on stderr"
    )
    group.add_argument(
        "--color",
        choices=("auto", "always", "never"),
        default="auto",
        help="colour (default: on a terminal; NO_COLOR is honoured)",
    )
    return group


def add_state_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the manifest or the state's place, for commands that only read the state."""
    parser.add_argument(
        "manifest", metavar="MANIFEST", nargs="?", type=local_path, help="the manifest that was run"
    )
    add_state_option(parser, "beside the manifest, or here")


def add_format(parser: argparse.ArgumentParser) -> None:
    """Add the format of the result, for commands that print a table."""
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="format of the result"
    )


def existing_state(arguments: argparse.Namespace) -> State | None:
    """Open the state to read it; None in a folder where nothing has been run.

    Raises ``UsageError`` if the manifest, or the state that ``--state`` names, does not exist.
    """
    from spark_impex_runner.errors import UsageError
    from spark_impex_runner.state.opening import existing_state
    from spark_impex_runner.state.place import STATE_FOLDER

    beside = arguments.manifest.parent if arguments.manifest else Path()
    if arguments.manifest and not arguments.state and not arguments.manifest.exists():
        raise UsageError(f"{arguments.manifest}: there is no such file; or name its --state DIR")
    place: StatePlace = arguments.state or beside / STATE_FOLDER
    state = existing_state(place)
    if state is None and arguments.state:
        raise UsageError(f"no state in {place}: check --state")
    return state
