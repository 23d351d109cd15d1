"""Prepare a run: load its manifest, open its connections, and make the plan."""

from __future__ import annotations

import logging
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from spark_impex_runner.models import Job, Run
from spark_impex_runner.planning.disk import check_disk
from spark_impex_runner.planning.load import load, open_for_connection
from spark_impex_runner.planning.locations import state_place
from spark_impex_runner.planning.plan import make_plan
from spark_impex_runner.planning.stages import Prepared

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.errors import Problem
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.models import Manifest, PlannedTarget, RunOptions
    from spark_impex_runner.planning.connections import Connections
    from spark_impex_runner.planning.stages import Loaded

_log = logging.getLogger(__name__)


@contextmanager
def prepare(path: Path, options: RunOptions, clock: Clock, masker: Masker) -> Iterator[Prepared]:
    """Load a manifest, connect and plan; close the connections at the end."""
    with connect(path, options, clock, masker, writes=True) as connected:
        yield replace(connected, plan=make_plan(connected.run, connected.hooks))


@contextmanager
def connect(
    path: Path, options: RunOptions, clock: Clock, masker: Masker, *, writes: bool = False
) -> Iterator[Prepared]:
    """Load a manifest and connect, without a plan, which may ask a tenant what entries stand for.

    With ``writes``, also check that the outputs and reports of a run can be written.
    """
    prepared, warnings = _connected(path, options, clock, masker, writes=writes)
    try:
        for warning in () if options.run_id else warnings:  # the run itself has logged them
            _log.warning("%s", warning)
        yield prepared
    finally:
        prepared.connections.close()


@contextmanager
def connect_to(
    path: Path,
    options: RunOptions,
    settings: tuple[Clock, Masker],
    connection: str,
    targets: Callable[[Manifest], Collection[str]],
) -> Iterator[Prepared]:
    """Load a manifest and open one of its connections, for work on none of its targets.

    Of the other secrets, only those of the named ``targets`` are read. Raises as ``connect``.
    """
    from spark_impex_runner.planning.connections import Connections  # noqa: PLC0415

    opened, manifest = open_for_connection(path, options, settings, connection, targets)
    with closing(Connections(manifest.connections, *settings)) as connections:
        connections.client(connection)
        run = Run(
            id=opened.settings.run_id,
            date=opened.settings.run_date,
            manifest=manifest,
            targets=(),
            started=opened.now,
            connect=connections.client,
        )
        yield Prepared(run, opened.plugins, connections)


def _connected(
    path: Path, options: RunOptions, clock: Clock, masker: Masker, *, writes: bool
) -> tuple[Prepared, tuple[Problem, ...]]:
    """Return a run that is connected, and the warnings about its manifest.

    The document is freed here: the positions of its values need as much memory as the targets.
    """
    # Imported here: `impex validate` starts faster without the HTTP client.
    from spark_impex_runner.planning.connections import Connections  # noqa: PLC0415

    loaded = load(path, options, clock, masker)
    if writes:
        check_disk(loaded, options, state_place(path, options))
    connections = Connections(loaded.manifest.connections, clock, masker, options.jobs)
    run = new_run(loaded, connections)
    return Prepared(run, loaded.opened.plugins, connections), loaded.warnings


def new_run(loaded: Loaded, connections: Connections) -> Run:
    """Return the run of a loaded manifest."""
    return Run(
        id=loaded.opened.settings.run_id,
        date=loaded.opened.settings.run_date,
        manifest=loaded.manifest,
        targets=loaded.targets,
        started=loaded.opened.now,
        connect=connections.client,
        guarded=loaded.uses.guarded(loaded.manifest.targets),
    )


def new_job(planned: PlannedTarget, prepared: Prepared, clock: Clock) -> Job:
    """Return a new job of a planned target."""
    return Job(
        run=prepared.run,
        target=planned.target,
        request=planned.request,
        tenant=prepared.connections.client(planned.target.connection).url,
        started=clock.now(),
        stopping=clock.stopping,
        wait=clock.wait,
    )
