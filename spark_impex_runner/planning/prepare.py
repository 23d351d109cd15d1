"""Everything before the first request: plugins, manifest, selection, plan."""

from __future__ import annotations

import logging
import os
import secrets
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import (
    ManifestError,
    PluginError,
    UsageError,
    describe_os_error,
)
from spark_impex_runner.manifest.announcement import read_announcement
from spark_impex_runner.manifest.assemble import assemble
from spark_impex_runner.manifest.build import (
    Settings,
    read_manifest,
    read_resolved,
)
from spark_impex_runner.manifest.expand import Wanted
from spark_impex_runner.manifest.rules import check_unused
from spark_impex_runner.models import Job, Run
from spark_impex_runner.planning.disk import check_disk, invalid_locations
from spark_impex_runner.planning.entries import entry_error
from spark_impex_runner.planning.locations import check_conflicts, check_options, path_uses
from spark_impex_runner.planning.pending import Pending
from spark_impex_runner.planning.plan import make_plan, select
from spark_impex_runner.planning.requirements import (
    built_in_plugins,
    check_names,
    check_offers,
    explaining_unknown_names,
    load_plugins,
)
from spark_impex_runner.planning.stages import Loaded, Opened, Prepared
from spark_impex_runner.planning.tokens import TokenExpiry, check_tokens
from spark_impex_runner.spelling import did_you_mean
from spark_impex_runner.state.store import STATE_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.errors import Problem
    from spark_impex_runner.hooks.registry import ExecutorFactory, Registry
    from spark_impex_runner.manifest.yaml.document import Document
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.models import Manifest, PlannedTarget, RunOptions, Target


_log = logging.getLogger(__name__)
# The clock of a machine may be wrong by so much, as one that is set to another zone.
_CLOCK_ERROR = timedelta(days=1)


def load(path: Path, options: RunOptions, clock: Clock, masker: Masker) -> Loaded:
    """Load plugins and manifest, and choose the targets. What the disk refuses is a usage error."""
    with _refused_by_disk():
        return _load(path, options, clock, masker)


@contextmanager
def _refused_by_disk() -> Iterator[None]:
    """Raise ``UsageError`` for what a system call refuses before anything is sent."""
    try:
        yield
    except OSError as error:
        raise UsageError(describe_os_error(error)) from error
    except UnicodeEncodeError as error:
        raise UsageError(
            f"the encoding of file names here, {error.encoding}, lacks a letter of "
            f"{error.object!a}; set PYTHONUTF8=1 or a UTF-8 locale"
        ) from error


def _load(path: Path, options: RunOptions, clock: Clock, masker: Masker) -> Loaded:
    opened = _open(path, options, clock, masker)
    executor_for(opened.plugins.registry, options)
    check_names(options.reports, opened.plugins.registry.reports)
    with explaining_unknown_names(opened.plugins):
        settings = replace(opened.settings, wanted=_wanted(opened, options))
        read = read_manifest(opened.document, settings)
        manifest = replace(read, overlays=options.overlays)
    alone = options.alone or bool(options.job)
    pending = Pending.of(manifest, options, state_folder(path, options))
    delivered = pending.delivered()
    chosen = select(manifest, options.targets, options.tags, alone=alone, delivered=delivered)
    if options.job and len(chosen) != 1:
        raise UsageError(f"a job belongs to one target, {len(chosen)} are chosen; use --target")
    if not options.run_id:  # of a part of a run only the whole can be judged
        pending.check(chosen, opened.plugins.registry.steps)
    document, registry = opened.document, opened.plugins.registry
    stepping = () if options.until == "download" else chosen
    check_offers(document, manifest, stepping, registry)
    uses = path_uses(document, manifest, options, registry, state_folder(path, options))
    check_conflicts(document, manifest.targets, registry, uses)
    # A run asks the tenant, which knows better than a clock that may be wrong.
    doubt = _CLOCK_ERROR if options.asks else timedelta(0)
    ends = TokenExpiry(manifest.connections, os.environ, opened.now, doubt)
    unused = map(document.problem, check_unused(document, options.variables))
    return Loaded(
        document=document,
        uses=uses,
        plugins=opened.plugins,
        manifest=manifest,
        targets=chosen,
        warnings=(*unused, *_check_tokens(document, chosen, ends)),
        run_id=opened.settings.run_id,
        run_date=opened.settings.run_date,
        now=opened.now,
    )


def _wanted(opened: Opened, options: RunOptions) -> Wanted | None:
    """Return the chosen targets, whose secrets alone are asked for; None where all are chosen."""
    if not options.targets and not options.tags:
        return None
    try:
        manifest, _ = read_resolved(opened.document, opened.settings)
    except ManifestError:
        return None  # to be read once more, for every mistake
    chosen = select(manifest, options.targets, options.tags, alone=options.alone)
    connections = frozenset(name for target in chosen for name in target.connections)
    return Wanted(frozenset(target.name for target in chosen), connections)


def resolve(path: Path, options: RunOptions, clock: Clock, masker: Masker) -> dict[str, Any]:
    """Return a manifest's data as a run takes it, with secrets as the references they are.

    Holds the chosen targets only, under the names that a run gives them.
    """
    with _refused_by_disk():
        opened = _open(path, options, clock, masker)
    with explaining_unknown_names(opened.plugins), _refused_by_disk():
        manifest, data = read_resolved(opened.document, opened.settings)
    chosen = {target.name for target in select(manifest, options.targets, options.tags)}
    data["targets"] = [target for target in data["targets"] if target["name"] in chosen]
    return data


def open_announcement(
    path: Path, options: RunOptions, clock: Clock, masker: Masker
) -> tuple[Opened, Manifest]:
    """Return of a manifest that cannot be run what says whom to tell.

    Where its plugins cannot be loaded, the built-in ones do. Raises ``ImpexError`` where it
    cannot be read at all.
    """
    try:
        opened = _open(path, options, clock, masker)
    except PluginError:
        opened = _open(path, options, clock, masker, own_plugins=False)
    return opened, read_announcement(opened.document, opened.settings)


def _open(
    path: Path, options: RunOptions, clock: Clock, masker: Masker, *, own_plugins: bool = True
) -> Opened:
    """Read the text, and load the plugins that it lets in."""
    check_options(path, options)
    document = assemble(path, options.overlays)
    plugins = load_plugins(document, options) if own_plugins else built_in_plugins(options)
    now = clock.now()
    # The default correlation ids begin with the run's id, so it must be unique on the tenant.
    run_id = options.run_id or f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
    settings = Settings(
        registry=plugins.registry,
        masker=masker,
        variables=options.variables,
        environ=os.environ,
        run_id=run_id,
        # That of the id, which all parts of a run share.
        run_date=f"{run_id[:4]}-{run_id[4:6]}-{run_id[6:8]}",
        output=options.output,
        entry_error=partial(entry_error, plugins.registry, path.absolute().parent),
        invalid_locations=partial(invalid_locations, path.parent),
        asks=options.asks,
    )
    return Opened(document, plugins, settings, now)


@contextmanager
def prepare(path: Path, options: RunOptions, clock: Clock, masker: Masker) -> Iterator[Prepared]:
    """Load, connect, resolve and plan; close whatever was opened at the end."""
    with connect(path, options, clock, masker, writes=True) as connected:
        yield replace(connected, plan=make_plan(connected.run, connected.hooks))


@contextmanager
def connect(
    path: Path, options: RunOptions, clock: Clock, masker: Masker, *, writes: bool = False
) -> Iterator[Prepared]:
    """Load and connect, without a plan: no tenant is asked what a service's name stands for.

    With ``writes`` it is checked, too, that the disk takes what a run would write.
    """
    # Here, as a manifest is validated without the client and the emulated tenant.
    from spark_impex_runner.planning.connections import Connections  # noqa: PLC0415

    loaded = load(path, options, clock, masker)
    if writes:
        check_disk(loaded, options, state_folder(path, options))
    connections = Connections(loaded.manifest.connections, clock, masker, options.jobs)
    run = Run(
        id=loaded.run_id,
        date=loaded.run_date,
        manifest=loaded.manifest,
        targets=loaded.targets,
        started=loaded.now,
        connect=connections.client,
        guarded=loaded.uses.guarded(loaded.manifest.targets),
    )
    try:
        for warning in () if options.run_id else loaded.warnings:  # a part repeats them
            _log.warning("%s", warning)
        yield Prepared(run, loaded.plugins, connections)
    finally:
        connections.close()


def new_job(planned: PlannedTarget, prepared: Prepared, clock: Clock) -> Job:
    """Return the job of a target before anything was done for it."""
    return Job(
        run=prepared.run,
        target=planned.target,
        request=planned.request,
        tenant=prepared.connections.client(planned.target.connection).url,
        started=clock.now(),
        stopping=clock.stopping,
        wait=clock.wait,
    )


def executor_for(registry: Registry, options: RunOptions) -> ExecutorFactory:
    """Return where the targets are to run; raise ``UsageError`` where nobody offers that."""
    name, places = options.executor.partition(":")[0] or "local", registry.executors
    if name not in places:
        known = ", ".join(sorted(places))
        raise UsageError(
            f"there is no executor '{name}'{did_you_mean(name, places)}; known: {known}"
        )
    return places[name]


def state_folder(path: Path, options: RunOptions) -> Path:
    """Return where the runner's memory of a manifest lies."""
    return options.state or path.parent / STATE_FOLDER


def _check_tokens(
    document: Document, targets: Sequence[Target], ends: TokenExpiry
) -> tuple[Problem, ...]:
    """Return a warning for each token that may end too early; raise for those that have ended."""
    problems = [document.problem(finding) for finding in check_tokens(targets, ends)]
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        raise ManifestError(errors)
    return tuple(problems)
