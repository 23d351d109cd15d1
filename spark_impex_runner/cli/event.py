"""``impex event``."""

from __future__ import annotations

import argparse
import copy
import shlex
import sys
from contextlib import nullcontext
from dataclasses import replace
from typing import IO, TYPE_CHECKING

from spark_impex_runner.cli import run, selection

if TYPE_CHECKING:
    from pathlib import Path

    from spark_impex_runner.cli.console import CommandContext
    from spark_impex_runner.clock import Clock
    from spark_impex_runner.engine.webhook import Event, EventOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the body's file and how it is read to the options of a run."""
    parser.add_argument(
        "--file",
        type=selection.local_path,
        metavar="BODY",
        help="the body of the webhook, JSON (default: stdin)",
    )
    add_event_options(parser)
    run.add_shared_arguments(parser, one=True)
    parser.add_argument(
        "--fresh", action="store_true", help="run again for an event that was handled; new jobs"
    )


def add_event_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how a body is read."""
    group = parser.add_argument_group("the event")
    group.add_argument(
        "--on",
        action="append",
        default=[],
        metavar="ACTION",
        help=(
            "run for this UserAction (repeatable; default: DeploymentRequest, PublishEngine, "
            "RestoreEngine)"
        ),
    )
    group.add_argument(
        "--field",
        action="append",
        default=[],
        type=_field,
        metavar="VARIABLE=FIELD",
        help="set a variable from this field of the body, such as version=Data.Version "
        "(repeatable; the first one present counts)",
    )
    group.add_argument(
        "--no-assumed",
        action="store_true",
        help="read no field but UserAction and those of --field",
    )
    group.add_argument(
        "--id",
        default="",
        metavar="FIELD",
        help="the field that identifies an event (default: the digest of the whole body)",
    )


def event_options(arguments: argparse.Namespace) -> EventOptions:
    """Return how bodies are read."""
    from spark_impex_runner.engine.webhook import DEFAULT_ACTIONS, EventOptions

    return EventOptions(
        actions=tuple(arguments.on) or DEFAULT_ACTIONS,
        fields=tuple(arguments.field),
        assumed=not arguments.no_assumed,
        id_field=arguments.id,
    )


def execute(arguments: argparse.Namespace, context: CommandContext) -> int:
    """Read one body, and run the manifest for it unless that was done."""
    from spark_impex_runner.clock import Clock
    from spark_impex_runner.engine.webhook import read_event

    options = event_options(arguments)
    event = read_event(_body(arguments.file), options)
    if not event.chosen:
        name = event.action or "no UserAction"
        context.console.result(f"event {event.id}: {name} is none of {', '.join(options.actions)}")
        return 0
    if not arguments.file and context.command:
        context = replace(context, command=f"{context.command} < BODY")
    clock = Clock()
    with run.stopped_by_signals(clock, context.console):
        return run_event(event, arguments, context, clock)


def run_event(
    event: Event, arguments: argparse.Namespace, context: CommandContext, clock: Clock
) -> int:
    """Run the manifest with an event's variables, unless that was done; return the exit code.

    Raises ``ImpexError`` if the state or the manifest cannot be read.
    """
    from spark_impex_runner.engine.event_record import recorded_event

    [path], options = arguments.manifests, selection.options(arguments)
    with recorded_event(path, options, event, clock) as record:
        if record.handled:
            context.console.result(f"event {event.id}: {event.action} handled at {record.handled}")
            return 0
        own = copy.copy(arguments)
        # Those of the command line win, as they do over the manifest.
        own.var = [*record.variables.items(), *arguments.var]
        record.exit_code = run.execute(own, context, clock)
        return record.exit_code


def command_line(arguments: argparse.Namespace, file: Path) -> str:
    """Return the command that runs the manifest for the event in a file."""
    words = [word for each in arguments.on for word in ("--on", each)]
    words += [word for pair in arguments.field for word in ("--field", "=".join(pair))]
    words += ["--no-assumed"] if arguments.no_assumed else []
    words += ["--id", arguments.id] if arguments.id else []
    line = selection.command_line("impex event", arguments)
    return f"{line} {shlex.join([*words, '--file', str(file)])}"


def _body(file: Path | None) -> bytes:
    """Return the body, from a file or stdin."""
    from spark_impex_runner.engine.webhook import BODY_LIMIT
    from spark_impex_runner.errors import UsageError

    try:
        with file.open("rb") if file else nullcontext(_stdin()) as stream:
            body: bytes = stream.read(BODY_LIMIT + 1)
    except OSError as error:
        raise UsageError(f"{file}: the event cannot be read: {error.strerror}") from error
    if len(body) > BODY_LIMIT:
        raise UsageError(f"{file or 'stdin'}: the event has more than {BODY_LIMIT} bytes")
    return body


def _stdin() -> IO[bytes]:
    from spark_impex_runner.errors import UsageError

    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("stdin has no event; send the body there, or name its file with --file")
    return sys.stdin.buffer


def _field(text: str) -> tuple[str, str]:
    variable, separator, path = text.partition("=")
    if not separator or not variable or not all(path.split(".")):
        raise argparse.ArgumentTypeError(f"'{text}' is not VARIABLE=FIELD, such as version=Version")
    return variable, path
