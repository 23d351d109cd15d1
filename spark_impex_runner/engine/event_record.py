"""Handle an event once: the state keeps which events a manifest has been run for."""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_impex_runner.manifest.assemble import assemble
from spark_impex_runner.manifest.rules import is_variable
from spark_impex_runner.planning.locations import state_place
from spark_impex_runner.state.opening import open_state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.engine.webhook import Event
    from spark_impex_runner.models import RunOptions
    from spark_impex_runner.state.placed import ValueKey
    from spark_impex_runner.state.store import State

# Exit codes after which the event is not run again: all is delivered, or waits for an approval.
_HANDLED = (0, 9)


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
    """Lock an event of a manifest for the block, and record it as handled if its run ends well.

    A killed run leaves it unhandled; run again, it resumes the same jobs. Raises ``StateError`` if
    another process handles it, ``ManifestError`` or ``UsageError`` if the manifest cannot be read.
    """
    document = assemble(path, options.overlays)
    variables = {
        name: value for name, value in event.variables.items() if is_variable(document, name)
    }
    name = document.data.get("name") if isinstance(document.data, dict) else None
    # No name in a manifest has a plus.
    key = f"{name or path.stem}/event+{event.id}"
    value = (key, "event", "handled")
    with closing(open_state(state_place(path, options), clock)) as state:
        if handled := _handled(state, value, options):  # first: this needs no lock
            yield EventRecord(handled, variables)
            return
        with state.storage.lease(key, clock.now()):
            record = EventRecord(_handled(state, value, options), variables)
            yield record
            if record.exit_code in _HANDLED:
                state.store_value(value, f"{clock.now():%Y-%m-%dT%H:%M:%SZ}")


def _handled(state: State, key: ValueKey, options: RunOptions) -> str:
    return "" if options.fresh else state.value(key)
