"""Select the files to upload: packages and results of earlier steps."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from spark_impex_runner import errors, models, tools

from . import listing
from .options import is_selected
from .store import UploadFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# What the runner writes about a delivery; another run of it writes other ones.
RECORDS: Final = (models.RECEIPT, models.EVIDENCE)


def select(job: models.Job, patterns: Sequence[str], check: Callable[[], None]) -> list[UploadFile]:
    """Return the files that match any of the patterns, including those inside folders."""
    found = {
        source.name: source
        for artifact in job.artifacts
        for source in _sources(artifact, patterns, check)
    }
    if not found:
        raise errors.StepError(f"files: no file of the target matches {', '.join(patterns)}")
    if taken := found.keys() & {*RECORDS, listing.NAME}:
        raise errors.StepError(f"{min(taken)}: this name is reserved at the destination")
    return [*found.values(), *_records(job, check)]


def _records(job: models.Job, check: Callable[[], None]) -> Iterator[UploadFile]:
    """Yield the receipt and its signed records, whatever the patterns.

    The runner has written them before this step, about all that was done until then.
    """
    for path in (job.target.output / name for name in RECORDS):
        if path.is_file():
            sha256 = tools.file_digests(path, ["sha256"], check)["sha256"]
            yield UploadFile.of_file(path, path.name, sha256, check)


def _sources(
    artifact: models.Artifact, patterns: Sequence[str], check: Callable[[], None]
) -> Iterator[UploadFile]:
    for path, name, sha256 in _files(artifact):
        if is_selected(name, patterns):
            known = sha256 or tools.file_digests(path, ["sha256"], check)["sha256"]
            yield UploadFile.of_file(path, name, known, check)


def _files(artifact: models.Artifact) -> Iterator[tuple[Path, str, str]]:
    """Yield path, name and known SHA-256 of each file."""
    if not artifact.path.is_dir():
        yield artifact.path, artifact.name, artifact.sha256
        return
    for base, folders, names in os.walk(artifact.path):
        folders.sort()
        for path in (Path(base, name) for name in sorted(names)):
            inner = path.relative_to(artifact.path).as_posix()
            yield path, f"{artifact.name.rstrip('/')}/{inner}", ""
