"""Saying that a run cannot begin, by its reports and its notifications."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from spark_impex_runner.engine.notifications import send
from spark_impex_runner.engine.reports import write_reports
from spark_impex_runner.errors import ImpexError, Interrupted, ManifestError
from spark_impex_runner.models import RECEIPT, RunResult
from spark_impex_runner.paths import Identities
from spark_impex_runner.planning.disk import unwritable
from spark_impex_runner.planning.locations import check_conflicts, uses_of
from spark_impex_runner.planning.prepare import open_announcement, state_folder
from spark_impex_runner.report.masked import masked
from spark_impex_runner.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.manifest.yaml.document import Document
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.models import Manifest, RunOptions
    from spark_impex_runner.planning.stages import Opened

_log = logging.getLogger(__name__)


@contextmanager
def announced(path: Path, options: RunOptions, clock: Clock, masker: Masker) -> Iterator[None]:
    """Report an error that keeps a run from beginning, where the manifest says to whom."""
    try:
        yield
    except Interrupted:
        raise
    except ImpexError as error:
        try:
            _announce(path, options, clock, masker, error)
        except (ImpexError, OSError) as other:
            # Without a manifest that can be read, nobody is known who is to hear of it.
            _log.debug("the refusal could not be announced", exc_info=other)
        raise


def _announce(
    path: Path, options: RunOptions, clock: Clock, masker: Masker, error: ImpexError
) -> None:
    opened, manifest = open_announcement(path, options, clock, masker)
    registry = opened.plugins.registry
    safe = not _is_of_reports(error) and not _is_in_conflict(path, options, opened, manifest)
    reports = {**manifest.reports, **options.reports} if safe else {}
    known = {name: file for name, file in reports.items() if name in registry.reports}
    faults = {
        name: reason
        for name, file in known.items()
        if (reason := unwritable(file) or _needed(file, opened.document))
    }
    for reason in faults.values():
        _log.warning("%s", masker.mask(reason))
    known = {name: file for name, file in known.items() if name not in faults}
    result = RunResult(
        run_id=opened.settings.run_id,
        manifest=replace(manifest, reports=known),
        started=opened.now,
        finished=clock.now(),
        results=(),
        runner_version=__version__,
        refusal=str(error),
        refused_with=error.exit_code,
    )
    told = masked(result, masker)
    _, problems = write_reports(told, registry.reports, clock)
    for problem in problems:
        _log.warning("%s", masker.mask(problem))
    send(manifest.notify, told, registry.notifiers, clock, masker)


def _is_in_conflict(path: Path, options: RunOptions, opened: Opened, manifest: Manifest) -> bool:
    """Tell whether reports would replace files that the run reads or writes: none is written."""
    registry = opened.plugins.registry
    try:
        uses = uses_of(opened.document, manifest, options, registry, state_folder(path, options))
        check_conflicts(opened.document, manifest.targets, registry, uses)
    except ImpexError:
        return True
    return False


def _needed(file: Path, document: Document) -> str:
    """Return why a report may not replace a file, empty if it may.

    What the targets read and write is not known of a manifest that is wrong: no file is replaced
    whose path the manifest holds, nor one in a folder that was delivered.
    """
    if not file.exists():
        return ""
    identities, folder = Identities(), document.path.absolute().parent
    texts = (spot.text or "" for key, spot in document.spots.items() if key[:1] != ("report",))
    names = (text.removeprefix("@").partition("#")[0] for text in texts)
    paths = (folder / name for name in names if name and "\0" not in name)
    if identities.of(file) in map(identities.of, paths):
        return f"{file} is not replaced: the manifest names it for something else, too"
    if any((above / RECEIPT).exists() for above in file.absolute().parents):
        return f"{file} is not replaced: it lies in a folder that was delivered"
    return ""


def _is_of_reports(error: ImpexError) -> bool:
    """Tell whether the reports themselves are wrong: then none is written."""
    problems = error.problems if isinstance(error, ManifestError) else ()
    return any(each.path.startswith("report") for each in problems) or "--report" in str(error)
