"""Load a manifest and its plugins, check them, and select the targets; nothing is sent."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import ManifestError, PluginError, UsageError, describe_os_error
from spark_impex_runner.manifest.announcement import read_announcement
from spark_impex_runner.manifest.assemble import assemble
from spark_impex_runner.manifest.build import Settings, read_manifest, read_resolved
from spark_impex_runner.manifest.expand import SelectedTargets
from spark_impex_runner.manifest.rules import check_unused
from spark_impex_runner.planning.disk import invalid_locations
from spark_impex_runner.planning.entries import entry_error
from spark_impex_runner.planning.locations import (
    check_conflicts,
    check_options,
    path_uses,
    state_place,
)
from spark_impex_runner.planning.pending import Pending
from spark_impex_runner.planning.plan import select
from spark_impex_runner.planning.requirements import (
    built_in_plugins,
    check_offers,
    check_reports,
    executor_for,
    explaining_unknown_names,
    load_plugins,
)
from spark_impex_runner.planning.stages import Loaded, Opened
from spark_impex_runner.planning.tokens import TokenExpiry, check_tokens
from spark_impex_runner.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.errors import Problem
    from spark_impex_runner.manifest.yaml.document import Document
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.models import Manifest, RunOptions, Target

# How wrong this machine's clock may be when the tenant will judge the token itself: a day, as of a
# clock that is set to local time in another zone.
_CLOCK_ERROR = timedelta(days=1)


@contextmanager
def _os_errors_as_usage() -> Iterator[None]:
    """Raise ``UsageError`` for errors of the operating system: nothing has been sent yet."""
    try:
        yield
    except OSError as error:
        raise UsageError(describe_os_error(error)) from error
    except UnicodeEncodeError as error:
        raise UsageError(
            f"the encoding of file names here, {error.encoding}, cannot encode "
            f"{error.object!a}; set PYTHONUTF8=1 or a UTF-8 locale"
        ) from error


@_os_errors_as_usage()
def load(
    path: Path,
    options: RunOptions,
    clock: Clock,
    masker: Masker,
    placeholders: dict[str, str] | None = None,
) -> Loaded:
    """Load plugins and manifest, and select the targets.

    With ``placeholders``, for a rehearsal, no secret is read, and references without a value are
    no error: they stay in the text, and ``placeholders`` gets the reason for each of them.

    Raises ``ManifestError``, ``PluginError``, or ``UsageError``, which stands for file errors, too.
    """
    opened = _open(path, options, clock, masker)
    document, registry = opened.document, opened.plugins.registry
    executor_for(registry, options)  # raises for an unknown name
    check_reports(options.reports, registry.reports)
    with explaining_unknown_names(opened.plugins):
        settings = replace(opened.settings, selected=_selected_targets(opened, options))
        if placeholders is not None:
            settings = replace(settings, keep_secrets=True, asks=False, placeholders=placeholders)
        read = read_manifest(document, settings)
        manifest = replace(read, overlays=options.overlays)
    alone = options.alone or bool(options.job)
    state = state_place(path, options)
    pending = Pending.of(manifest, options, state)
    delivered = pending.delivered()
    chosen = select(manifest, options.targets, options.tags, alone=alone, delivered=delivered)
    if options.job and len(chosen) != 1:
        raise UsageError(f"a job belongs to one target, {len(chosen)} are chosen; use --target")
    if not options.run_id:  # a work unit has only some of the targets that wait
        pending.check(chosen, registry.steps)
    with_steps = () if options.until == "download" else chosen
    check_offers(document, manifest, with_steps, registry)
    uses = path_uses(document, manifest, options, registry, state)
    check_conflicts(document, manifest.targets, registry, uses)
    # A run asks the tenant, whose own clock decides; `impex validate` has this machine's alone.
    clock_error = _CLOCK_ERROR if options.asks else timedelta(0)
    expiry = TokenExpiry(manifest.connections, os.environ, opened.now, clock_error)
    unused = map(document.problem, check_unused(document, options.variables))
    warnings = (*unused, *_check_tokens(document, chosen, expiry))
    return Loaded(opened, manifest, uses, chosen, warnings)


def _selected_targets(opened: Opened, options: RunOptions) -> SelectedTargets | None:
    """Return the chosen targets, whose secrets alone are resolved; None if all are chosen."""
    chooses = bool(options.targets or options.tags)
    if not chooses and not options.connections:
        return None
    try:
        manifest, _ = read_resolved(opened.document, opened.settings)
    except ManifestError:
        return None  # the second read reports the mistakes, with the secrets that it needs
    chosen = select(manifest, options.targets, options.tags, alone=options.alone) if chooses else ()
    connections = frozenset(name for target in chosen for name in target.connections)
    names = frozenset(target.name for target in chosen)
    return SelectedTargets(names, connections | options.connections)


@_os_errors_as_usage()
def resolve(path: Path, options: RunOptions, clock: Clock, masker: Masker) -> dict[str, Any]:
    """Return the resolved data of a manifest, with its chosen targets.

    Secrets stay references.
    """
    opened = _open(path, options, clock, masker)
    with explaining_unknown_names(opened.plugins):
        manifest, data = read_resolved(opened.document, opened.settings)
    chosen = {target.name for target in select(manifest, options.targets, options.tags)}
    data["targets"] = [target for target in data["targets"] if target["name"] in chosen]
    return data


@_os_errors_as_usage()
def read_without_secrets(
    path: Path, options: RunOptions, clock: Clock, masker: Masker
) -> tuple[Manifest, tuple[Target, ...]]:
    """Return a manifest and its chosen targets; no secret is read, and none has to exist."""
    opened = _open(path, options, clock, masker)
    with explaining_unknown_names(opened.plugins):
        manifest, _ = read_resolved(opened.document, opened.settings)
    return manifest, select(manifest, options.targets, options.tags, alone=True)


@_os_errors_as_usage()
def open_for_connection(
    path: Path,
    options: RunOptions,
    settings: tuple[Clock, Masker],
    connection: str,
    targets: Callable[[Manifest], Collection[str]],
) -> tuple[Opened, Manifest]:
    """Return a manifest with the secrets of one connection, and of the ``targets`` of its steps.

    Raises ``UsageError`` if it has no such connection.
    """
    opened = _open(path, options, *settings)
    with explaining_unknown_names(opened.plugins):
        manifest, _ = read_resolved(opened.document, opened.settings)
        if connection not in manifest.connections:
            known = manifest.connections
            hint = did_you_mean(connection, known) or f"; known: {', '.join(known)}"
            raise UsageError(f"{connection}: is no connection of {path}{hint}")
        chosen = SelectedTargets(frozenset(targets(manifest)), frozenset({connection}))
        return opened, read_manifest(opened.document, replace(opened.settings, selected=chosen))


def open_announcement(
    path: Path, options: RunOptions, clock: Clock, masker: Masker
) -> tuple[Opened, Manifest]:
    """Return the reports and notifications of a manifest that cannot be run.

    Uses the built-in plugins alone if others cannot be loaded. Raises ``ImpexError`` if the
    manifest cannot be read at all.
    """
    try:
        opened = _open(path, options, clock, masker)
    except PluginError:
        opened = _open(path, options, clock, masker, own_plugins=False)
    return opened, read_announcement(opened.document, opened.settings)


def _open(
    path: Path, options: RunOptions, clock: Clock, masker: Masker, *, own_plugins: bool = True
) -> Opened:
    """Read the manifest as data, and load the plugins that it admits."""
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
        # From the id, not the clock: all work units of a run share one date.
        run_date=f"{run_id[:4]}-{run_id[4:6]}-{run_id[6:8]}",
        output=options.output,
        entry_error=partial(entry_error, plugins.registry, path.absolute().parent),
        invalid_locations=partial(invalid_locations, path.parent),
        asks=options.asks,
    )
    return Opened(document, plugins, settings, now)


def _check_tokens(
    document: Document, targets: Sequence[Target], expiry: TokenExpiry
) -> tuple[Problem, ...]:
    """Return a warning for each token that may expire too early; raise if one has expired."""
    problems = [document.problem(finding) for finding in check_tokens(targets, expiry)]
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        raise ManifestError(errors)
    return tuple(problems)
