"""Report that a run cannot begin: by its reports and its notifications."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from spark_impex_runner.engine.notifications import notify
from spark_impex_runner.engine.reports import write_reports
from spark_impex_runner.errors import ImpexError, Interrupted, ManifestError
from spark_impex_runner.models import RECEIPT, RunResult
from spark_impex_runner.paths import Identities
from spark_impex_runner.planning.disk import unwritable
from spark_impex_runner.planning.load import open_announcement
from spark_impex_runner.planning.locations import check_conflicts, path_uses, state_place
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
def refusal_reported(
    path: Path, options: RunOptions, clock: Clock, masker: Masker
) -> Iterator[None]:
    """Send an error that keeps a run from beginning to the manifest's reports and notifications."""
    try:
        yield
    except Interrupted:
        raise
    except ImpexError as error:
        try:
            _report_refusal(path, options, clock, masker, error)
        except (ImpexError, OSError) as other:
            # Such as a manifest that cannot be read: reports and notifications are unknown.
            _log.debug("cannot report the refusal", exc_info=other)
        raise


def _report_refusal(
    path: Path, options: RunOptions, clock: Clock, masker: Masker, error: ImpexError
) -> None:
    opened, manifest = open_announcement(path, options, clock, masker)
    registry = opened.plugins.registry
    safe = not _concerns_reports(error) and not _is_in_conflict(path, options, opened, manifest)
    reports = {**manifest.reports, **options.reports} if safe else {}
    known = {name: file for name, file in reports.items() if name in registry.reports}
    unwritable_reports = {
        name: reason
        for name, file in known.items()
        if (reason := unwritable(file) or _in_use(file, opened.document))
    }
    for reason in unwritable_reports.values():
        _log.warning("%s", masker.mask(reason))
    known = {name: file for name, file in known.items() if name not in unwritable_reports}
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
    result = masked(result, masker)
    _, problems = write_reports(result, registry.reports, clock)
    for problem in problems:
        _log.warning("%s", masker.mask(problem))
    notify(manifest.notify, result, registry.notifiers, clock, masker)


def _is_in_conflict(path: Path, options: RunOptions, opened: Opened, manifest: Manifest) -> bool:
    """Return whether a report would replace a file that the run reads or writes."""
    registry = opened.plugins.registry
    try:
        uses = path_uses(opened.document, manifest, options, registry, state_place(path, options))
        check_conflicts(opened.document, manifest.targets, registry, uses)
    except ImpexError:
        return True
    return False


def _in_use(file: Path, document: Document) -> str:
    """Return why a report may not replace a file, an empty text if it may."""
    # An invalid manifest does not say what its targets read and write. So every text in it is
    # taken for a path, and every folder with a receipt for an output.
    if not file.exists():
        return ""
    identities, folder = Identities(), document.path.absolute().parent
    texts = (
        position.text or ""
        for key, position in document.positions.items()
        if key[:1] != ("report",)
    )
    names = (text.removeprefix("@").partition("#")[0] for text in texts)
    paths = (folder / name for name in names if name and "\0" not in name)
    if identities.of(file) in map(identities.of, paths):
        return f"{file} is not replaced: the manifest also uses it elsewhere; choose another path"
    if any((above / RECEIPT).exists() for above in file.absolute().parents):
        return f"{file} is not replaced: it lies in the output of a target; choose another path"
    return ""


def _concerns_reports(error: ImpexError) -> bool:
    """Return whether the reports themselves are wrong; then none is written."""
    problems = error.problems if isinstance(error, ManifestError) else ()
    return any(each.path.startswith("report") for each in problems) or "--report" in str(error)
