"""The ``checksum`` step: write checksum files that ``sha256sum -c`` and its relatives accept.

Run the check in the target's output folder, where the file is.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from spark_impex_runner import Registry, errors, hookimpl, models, tools

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


NAME = "checksum"
OPTIONS: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "algorithms": {
            "title": "Algorithms",
            "description": "Digests to write, each into a file of its own.",
            "type": "array",
            "items": {"enum": ["blake2b", "md5", "sha1", "sha224", "sha256", "sha384", "sha512"]},
            "minItems": 1,
            "uniqueItems": True,
            "default": ["sha256"],
            "examples": [["sha256", "sha512"]],
        },
        "file": {
            "title": "Checksum file",
            "description": (
                "Name of the checksum file in the target's output folder; by default the "
                "algorithm in capitals and SUMS. Only with a single algorithm: several use the "
                "default names."
            ),
            "type": "string",
            "pattern": r"^[^/\\:]*[^/\\:.][^/\\:]*$",
            "patternErrorMessage": "not a file's name without a folder",
            "x-form": "a file's name without a folder",
            "default": "SHA256SUMS",
            "examples": ["checksums.txt"],
        },
    },
    "dependentSchemas": {"file": {"properties": {"algorithms": {"maxItems": 1}}}},
}


@hookimpl
def impex_register(registry: Registry) -> None:
    """Register the step."""
    registry.step(
        NAME,
        "writes a checksum file that sha256sum -c accepts",
        OPTIONS,
        dry_run=True,
        writes=lambda options: _files(options).values(),
        rehearse=lambda options, _: options,
    )


@hookimpl(trylast=True)
def impex_plan_step(step: models.Step) -> str | None:
    """Name the files to write, for the step ``checksum`` only."""
    if step.uses != NAME:
        return None
    return f"write each package's checksum to {' and '.join(_files(step.options).values())}"


@hookimpl(trylast=True)
def impex_run_step(
    job: models.Job, step: models.Step, artifact: models.Artifact
) -> list[models.Artifact] | None:
    """Write the package's line to each file, for the step ``checksum`` only."""
    if step.uses != NAME:
        return None
    files = _files(step.options)
    try:
        found = _digests(job, artifact, list(files))
        return [_record(job, artifact, files[name], found[name]) for name in files]
    except OSError as error:
        raise errors.StepError(f"{artifact.name}: {error.strerror}: {error.filename}") from error


def _files(options: Mapping[str, Any]) -> dict[str, str]:
    """Return the file name for each algorithm."""
    algorithms = options.get("algorithms", ["sha256"])
    files = {name: f"{name.upper()}SUMS" for name in algorithms}
    if "file" in options:
        return dict.fromkeys(files, options["file"])
    return files


def _digests(job: models.Job, artifact: models.Artifact, algorithms: list[str]) -> dict[str, str]:
    """Return the digests; those known from the download are not computed again."""
    # An earlier step may have rewritten the package: then the download's digests are stale.
    same = artifact.digests.get("sha256", artifact.sha256) == artifact.sha256
    known = dict(artifact.digests) if same else {}
    if artifact.sha256:
        known["sha256"] = artifact.sha256
    missing = [name for name in algorithms if name not in known]
    if missing:
        known |= tools.file_digests(artifact.path, missing, tools.stop_check(job))
    return known


def _record(job: models.Job, artifact: models.Artifact, file: str, digest: str) -> models.Artifact:
    """Add the package's line to a checksum file, beside those of the target's other packages."""
    path = job.target.output / file
    packages = {each.name for each in job.packages}
    if file in {*packages, artifact.name, models.RECEIPT, models.EVIDENCE}:
        raise errors.StepError(f"file: {file} would overwrite a delivered file; name another")
    owned = tools.Ownership.of(job)
    owned.check(path)
    owned.claim(path)
    # Lines of packages that this run does not deliver are dropped: sha256sum -c would fail on them.
    rows = {name: each for name, each in _read(path).items() if name in packages}
    rows[artifact.name] = digest
    text = "".join(tools.checksum_line(rows[name], name) for name in sorted(rows))
    tools.write_atomically(path, text)
    # Hashed from memory: the file is known to have this text, and another run may replace it.
    content = text.encode()
    return models.Artifact(
        path, file, len(content), hashlib.sha256(content).hexdigest(), made_by=NAME
    )


def _read(path: Path) -> dict[str, str]:
    """Return the digests that earlier calls wrote, empty for any other file."""
    if not path.is_file():
        return {}
    return tools.parse_checksum_lines(path.read_text(encoding="utf-8", errors="replace"))
