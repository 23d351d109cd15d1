"""``impex listen``."""

from __future__ import annotations

import argparse
import logging
import queue
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from spark_impex_runner.cli import event, run, selection
from spark_impex_runner.cli.key import FORM, key_place, read_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from spark_impex_runner.cli.console import CommandContext
    from spark_impex_runner.cli.receiver import Receiver
    from spark_impex_runner.clock import Clock
    from spark_impex_runner.engine.event_queue import EventQueue

_log = logging.getLogger(__name__)
_PORTS = 65_535
_SIGNALLED = 128
# Seconds until an event is tried again whose run could not begin, such as without its state.
_AGAIN = 30.0
QUEUE = "events"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the port, the key and the queue to the options of an event."""
    group = parser.add_argument_group("the receiver")
    group.add_argument(
        "--port", required=True, type=_port, metavar="N", help="port on 127.0.0.1; 0 for any"
    )
    group.add_argument(
        "--key",
        required=True,
        type=key_place,
        metavar=FORM,
        help="where the key is that senders must give",
    )
    group.add_argument(
        "--key-name",
        default="x-api-key",
        metavar="NAME",
        help="header or query parameter that has the key (default: x-api-key)",
    )
    group.add_argument(
        "--queue",
        type=selection.written_path,
        metavar="DIR",
        help="folder of the events that wait (default: .impex/events beside the manifest)",
    )
    event.add_event_options(parser)
    run.add_shared_arguments(parser, one=True)


def execute(arguments: argparse.Namespace, context: CommandContext) -> int:
    """Receive events and run the manifest for one after the other, until a signal."""
    from spark_impex_runner.cli.receiver import Receiver
    from spark_impex_runner.clock import Clock
    from spark_impex_runner.engine.event_queue import EventQueue
    from spark_impex_runner.errors import Interrupted
    from spark_impex_runner.state.place import STATE_FOLDER

    _refuse_unseen_approvals(arguments.approve)
    key = read_key(arguments.key)
    context.masker.add(key)
    [manifest], clock = arguments.manifests, Clock()
    events = EventQueue(arguments.queue or manifest.parent / STATE_FOLDER / QUEUE)
    wake: queue.SimpleQueue[None] = queue.SimpleQueue()
    # ``SimpleQueue.put`` may be called by a signal handler, also while ``get`` waits.
    clock.on_stop(lambda: wake.put(None))

    def store(event_id: str, body: bytes) -> None:
        events.put(event_id, body)
        wake.put(None)

    options = event.event_options(arguments)
    receiver = Receiver(key, arguments.key_name, options, store, clock.stopping)
    with run.stopped_by_signals(clock, context.console):
        try:
            _check_manifest(arguments, context, clock)
        except Interrupted:
            return 0
        with events.open(clock.now()), _listening(arguments.port, receiver) as url:
            waiting = f", {len(events)} waiting in {events.folder}" if len(events) else ""
            context.console.result(f"listening on {url}{waiting}")
            _check_state(arguments, context, clock)
            return _handle_all(events, wake, arguments, context, clock)


def _refuse_unseen_approvals(approvals: Sequence[str]) -> None:
    from spark_impex_runner.errors import UsageError

    if unseen := next((each for each in approvals if "@" not in each), ""):
        raise UsageError(
            f"--approve {unseen}: a listener cannot approve what later events will hold; approve "
            f"each import with impex approve, or give its digest: --approve {unseen}@SHA256"
        )


def _check_manifest(arguments: argparse.Namespace, context: CommandContext, clock: Clock) -> None:
    """Check the manifest, which also imports what runs need."""
    # Runs need the first ones; imported now, so that the first event need not wait for them.
    from spark_impex_runner.cli import github, progress, worker  # noqa: F401
    from spark_impex_runner.engine import event_record, run  # noqa: F401
    from spark_impex_runner.engine.event_check import check_manifest
    from spark_impex_runner.report import text  # noqa: F401

    [manifest], options = arguments.manifests, selection.options(arguments)
    check_manifest(manifest, options, event.event_options(arguments), clock, context.masker)


def _check_state(arguments: argparse.Namespace, context: CommandContext, clock: Clock) -> None:
    """Report a state that cannot be used now, such as one in a store that does not answer.

    That may take minutes, in which events are received; they wait for it.
    """
    from spark_impex_runner.engine.event_check import check_state
    from spark_impex_runner.errors import Interrupted, StateError

    [manifest], options = arguments.manifests, selection.options(arguments)
    try:
        check_state(manifest, options, clock)
    except Interrupted:
        return
    except StateError as error:
        context.console.error(f"{error}; events are queued until it can be used")


@contextmanager
def _listening(port: int, receiver: Receiver) -> Iterator[str]:
    """Answer requests to a port for the block; yield the URL."""
    from spark_impex_runner.errors import UsageError
    from spark_impex_runner.sandbox.http.server import HttpServer

    try:
        server = HttpServer(port, receiver.journal, receiver.limits)
    except OSError as error:
        raise UsageError(f"{error}; choose another --port") from error
    try:
        server.start(receiver)
        yield server.url
    finally:
        server.close()


def _handle_all(
    events: EventQueue,
    wake: queue.SimpleQueue[None],
    arguments: argparse.Namespace,
    context: CommandContext,
    clock: Clock,
) -> int:
    """Run the manifest for each event in the queue; return 0 at a stop that interrupted none."""
    from spark_impex_runner.clock import LOOK
    from spark_impex_runner.errors import Interrupted

    while not clock.stopping():
        first = events.first()
        if first is None:
            with suppress(queue.Empty):
                wake.get(timeout=LOOK)
            continue
        code = _handle(first, events, arguments, context, clock)
        if clock.stopping():
            return code if code > _SIGNALLED else 0
        if code < 0:
            with suppress(Interrupted):
                clock.wait(_AGAIN)
    return 0


def _handle(
    path: Path,
    events: EventQueue,
    arguments: argparse.Namespace,
    context: CommandContext,
    clock: Clock,
) -> int:
    """Run the manifest for one event; return the exit code, -1 if it is to be tried again.

    That is without its state, or on a full disk. An event that a signal interrupted stays queued.
    """
    from spark_impex_runner.engine.webhook import read_event
    from spark_impex_runner.errors import (
        ImpexError,
        Interrupted,
        StateError,
        describe_os_error,
    )

    try:
        found = read_event(path.read_bytes(), event.event_options(arguments))
        dropped = "" if found.chosen else "; dropped: it is none of --on any more"
        _log.info("event %s: %s%s", found.id, found.action, dropped)
        # What resumes the event is said below: it is not the command that started the listener.
        own = replace(context, command="")
        code = event.run_event(found, arguments, own, clock) if found.chosen else 0
    except Interrupted as error:
        return error.exit_code
    except (StateError, OSError) as error:
        text = describe_os_error(error) if isinstance(error, OSError) else error
        name = f"event {path.stem.partition('-')[2]}"
        context.console.error(f"{name}: {text}; trying again in {_AGAIN:g} s")
        return -1
    except ImpexError as error:
        context.console.error(error)
        code = error.exit_code
    except Exception as error:  # noqa: BLE001 - a bug that one event shows must not stop the others
        context.console.internal_error(error)
        code = ImpexError.exit_code
    if clock.stopping() and code > _SIGNALLED:
        context.console.hint("interrupted; the event stays queued; to resume", context.command)
        return code
    if code in (0, 9):
        events.remove(path)
        return code
    aside = events.set_aside(path)
    again = event.command_line(arguments, aside)
    context.console.hint("the event's run failed; to run it again", again)
    return code


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 5 or int(text) > _PORTS:
        raise argparse.ArgumentTypeError(f"'{text}' is not a port from 0 to {_PORTS}")
    return int(text)
