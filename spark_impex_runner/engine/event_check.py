"""Check manifest and state of a listener before the first event."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from spark_impex_runner.blocking import interruptible
from spark_impex_runner.engine.event_record import variables_of
from spark_impex_runner.manifest.assemble import assemble
from spark_impex_runner.manifest.references import UnresolvedText
from spark_impex_runner.planning.locations import state_place
from spark_impex_runner.planning.prepare import connect
from spark_impex_runner.state.opening import existing_state

if TYPE_CHECKING:
    from pathlib import Path

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.engine.webhook import EventOptions
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.models import RunOptions


def check_manifest(
    path: Path, options: RunOptions, event_options: EventOptions, clock: Clock, masker: Masker
) -> None:
    """Check a manifest as ``impex validate`` does, and that its targets' credentials are there.

    What depends on a variable that events set is not checked. Nothing is sent. Everything that a
    run needs is imported then, so that the first event need not wait for it. Raises
    ``ManifestError``, ``UsageError`` or ``PluginError``, and ``Interrupted`` after a stop.
    """
    document = assemble(path, options.overlays)
    names = variables_of(document, event_options.variables)
    unknown = {name: UnresolvedText(f"${{var:{name}}}") for name in names}
    options = replace(options, asks=False, variables={**unknown, **options.variables})

    def check() -> None:
        with connect(path, options, clock, masker, writes=True) as prepared:
            used = {each for target in prepared.run.targets for each in target.connections}
            for name in sorted(used):
                written = str(document.data["connections"][name])
                if any(each in written for each in unknown.values()):
                    continue  # an event completes its address or credentials
                # Imports the HTTP library, which a client does with its first request.
                _ = prepared.connections.client(name).session.http.transport

    interruptible("the check of the manifest", check, clock)


def check_state(path: Path, options: RunOptions, clock: Clock) -> None:
    """Raise ``StateError`` if the state cannot be read now; ``Interrupted`` after a stop."""

    def check() -> None:
        if state := existing_state(state_place(path, options), clock):
            state.close()

    interruptible("the check of the state", check, clock)
