"""Handle an event once: the state keeps which events a manifest was run for of late."""

from __future__ import annotations

import logging
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from spark_impex_runner.engine.webhook import OWN_VARIABLES
from spark_impex_runner.errors import LockedError
from spark_impex_runner.manifest.assemble import assemble
from spark_impex_runner.manifest.rules import is_variable
from spark_impex_runner.planning.locations import state_place
from spark_impex_runner.spelling import did_you_mean
from spark_impex_runner.state.opening import open_state
from spark_impex_runner.state.placed import old_values_statement, value_statement
from spark_impex_runner.state.storage import Scope

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from pathlib import Path

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.engine.webhook import Event
    from spark_impex_runner.manifest.yaml.document import Document
    from spark_impex_runner.models import RunOptions
    from spark_impex_runner.state.placed import ValueKey
    from spark_impex_runner.state.store import State

_log = logging.getLogger(__name__)
# How long an event is remembered. How often and how long Spark repeats a webhook is not documented;
# others do so for three days at most, and people repeat events by hand after a holiday.
REMEMBERED: Final = timedelta(days=30)
# Seconds between two attempts to lock the events of a manifest.
_LOOK = 2.0
# Exit codes after which the event is not run again: all is delivered, or waits for an approval.
_HANDLED = (0, 9)
# In place of a step's name.
_USES = "event"


@dataclass
class EventRecord:
    """What the state knows of an event.

    ``handled`` is when a run for it ended well, empty if none has or with ``fresh``. ``variables``
    are those of the event that the manifest has. The block that handles it sets ``exit_code``.
    """

    handled: str
    variables: dict[str, str]
    exit_code: int | None = None


@contextmanager
def recorded_event(
    path: Path, options: RunOptions, event: Event, clock: Clock
) -> Iterator[EventRecord]:
    """Lock the events of a manifest for the block, and record one as handled if its run ends well.

    Waits while another process handles an event of the manifest. A killed run leaves its event
    unhandled; run again, it resumes the same jobs. Raises ``ManifestError`` or ``UsageError`` if
    the manifest cannot be read, ``StateError`` if the state cannot be used.
    """
    document = assemble(path, options.overlays)
    names = variables_of(document, event.variables)
    variables = {name: event.variables[name] for name in names}
    written = document.data.get("name") if isinstance(document.data, dict) else None
    name = str(written or path.stem)
    with closing(open_state(state_place(path, options), clock)) as state:
        handled = _Handled(state, name, options)
        if when := handled.get(event, clock.now()):  # first: this needs no lock
            yield EventRecord(when, variables)
            return
        with handled.lock(clock):
            record = EventRecord(handled.get(event, clock.now()), variables)
            yield record
            if record.exit_code in _HANDLED:
                handled.put(event, clock.now())


def variables_of(document: Document, names: Iterable[str]) -> list[str]:
    """Return the variables that a manifest has; warn of others that an option names."""
    known = document.data.get("vars") or {}
    found = []
    for name in names:
        if is_variable(document, name):
            found.append(name)
        elif name not in OWN_VARIABLES:
            hint = did_you_mean(name, {*known, *OWN_VARIABLES})
            _log.warning("--field %s=… sets no variable of this manifest%s", name, hint)
    return found


class _Handled:
    """The events of one manifest that were handled, each with its time.

    All are rows of one target, under one lock: events of a manifest run the same targets, so that
    two at once would fail, and what is removed with the next event leaves no file behind.
    """

    def __init__(self, state: State, manifest: str, options: RunOptions) -> None:
        self._state = state
        self._manifest = manifest
        self._fresh = options.fresh
        # Who has the lock, as the log says already.
        self._holder = ""
        # No name of a target begins with an underscore.
        self._target = f"{manifest}/_events"

    @contextmanager
    def lock(self, clock: Clock) -> Iterator[None]:
        """Lock the events of the manifest for the block, as soon as no other process has."""
        with ExitStack() as stack:
            while not self._acquired(stack, clock):
                clock.wait(_LOOK)
            yield

    def _acquired(self, stack: ExitStack, clock: Clock) -> bool:
        try:
            stack.enter_context(self._state.storage.lease(self._target, clock.now()))
        except LockedError as error:
            if error.holder != self._holder:
                self._holder = error.holder
                text = "waiting: another event of %s is handled by %s"
                _log.info(text, self._manifest, error.holder)
            return False
        return True

    def get(self, event: Event, now: datetime) -> str:
        """Return when an event was handled, empty if it was not, or is not remembered any more."""
        when = "" if self._fresh else self._state.value(self._key(event))
        return when if when >= _text(now - REMEMBERED) else ""

    def put(self, event: Event, now: datetime) -> None:
        """Store that an event is handled, and remove those that are too old."""
        key, least = self._key(event), _text(now - REMEMBERED)
        self._state.storage.write_vital(
            Scope.of_target(self._target),
            value_statement(key, _text(now)),
            old_values_statement(key, least),
        )

    def _key(self, event: Event) -> ValueKey:
        return self._target, _USES, event.id


def _text(moment: datetime) -> str:
    """Return a UTC time as text whose order is that of the times."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
