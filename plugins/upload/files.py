"""What is sent: the packages of a target and what earlier steps made."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from spark_impex_runner import errors, models, tools

from . import listing
from .store import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


def select(job: models.Job, patterns: Sequence[str], check: Callable[[], None]) -> list[Source]:
    """Return the files whose names fit any of the patterns, folders as the files in them."""
    found = {
        source.name: source
        for artifact in job.artifacts
        for source in _sources(artifact, patterns, check)
    }
    if not found:
        raise errors.StepError(f"files: no file of the target fits {', '.join(patterns)}")
    if taken := found.keys() & {models.RECEIPT, listing.NAME}:
        raise errors.StepError(f"{min(taken)}: this name is the runner's own at the destination")
    return list(found.values())


def _sources(
    artifact: models.Artifact, patterns: Sequence[str], check: Callable[[], None]
) -> Iterator[Source]:
    for path, name, sha256 in _files(artifact):
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            known = sha256 or tools.file_digests(path, ["sha256"], check)["sha256"]
            yield Source.of_file(path, name, known, check)


def _files(artifact: models.Artifact) -> Iterator[tuple[Path, str, str]]:
    """Yield path, name and, where it is known, the SHA-256 of each file."""
    if not artifact.path.is_dir():
        yield artifact.path, artifact.name, artifact.sha256
        return
    for base, folders, names in os.walk(artifact.path):
        folders.sort()
        for path in (Path(base, name) for name in sorted(names)):
            inner = path.relative_to(artifact.path).as_posix()
            yield path, f"{artifact.name.rstrip('/')}/{inner}", ""
