"""The ``package_check`` step: a package is proven from the inside, by its own checksums."""

from __future__ import annotations

import zipfile
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from spark_impex_runner import Registry, StepOutput, errors, hookimpl, models, tools

from .archive import Archive, Meter, OverLimit
from .proof import Proof, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


NAME = "package_check"
OPTIONS: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "max_total": {
            **tools.SIZE_SCHEMA,
            "title": "Most bytes",
            "description": (
                "Refuse a package whose files, and those of the modules in it, have more bytes "
                "than this in total."
            ),
            "default": "2GiB",
            "examples": ["500MB"],
        },
        "max_files": {
            "title": "Most files",
            "description": (
                "Refuse a package with more files and folders than this, those of the modules "
                "in it included."
            ),
            "type": "integer",
            "minimum": 1,
            "default": 100000,
        },
    },
}


@hookimpl
def impex_register(registry: Registry) -> None:
    """Offer the step."""
    registry.step(NAME, "proves a package by the checksums in it", OPTIONS, dry_run=True)


@hookimpl(trylast=True)
def impex_plan_step(step: models.Step) -> str | None:
    """Tell what would be read; answer for ``package_check`` only."""
    if step.uses != NAME:
        return None
    limit = step.options.get("max_total", "2GiB")
    return f"prove each package by the checksums in it, reading up to {limit}"


@hookimpl(trylast=True)
def impex_run_step(
    job: models.Job, step: models.Step, artifact: models.Artifact
) -> StepOutput | None:
    """Prove one package; answer for ``package_check`` only."""
    if step.uses != NAME:
        return None
    with tools.package_errors(artifact, OverLimit):
        proof = _prove(job, step.options, artifact)
    return StepOutput(message=f"{artifact.name}: {_verdict(artifact, proof)}")


def _prove(job: models.Job, options: Mapping[str, Any], artifact: models.Artifact) -> Proof:
    """Read the package, and from the job's other packages what they say they hold."""
    meter = Meter(
        tools.parse_size(options.get("max_total", "2GiB")),
        options.get("max_files", 100000),
        job.stopping,
    )
    proof = Proof(job)
    for other in job.packages:
        if other.name != artifact.name:
            # A broken one is told where it is proven itself.
            with suppress(zipfile.BadZipFile), _opened(other, replace(meter)) as package:
                proof.note_other(package)
    with _opened(artifact, meter) as package:
        proof.run(package)
    return proof


@contextmanager
def _opened(artifact: models.Artifact, meter: Meter) -> Iterator[Archive]:
    """Open a package."""
    with artifact.path.open("rb") as stream, Archive.open(stream, meter) as package:
        yield package


def _verdict(artifact: models.Artifact, proof: Proof) -> str:
    """Return what was proven in one line; raise ``StepError`` where anything disagrees."""
    if proof.differences:
        raise errors.StepError(f"{artifact.name}: {_first(proof.differences)}")
    if not proof.modules:
        raise errors.StepError(
            f"{artifact.name}: nothing in it can be proven: {_first(proof.unproven)}"
        )
    proven = (
        f"{tools.counted(len(proof.services), 'service')} as the manifest in it says, "
        f"{tools.counted(len(proof.modules), 'module')} by SHA-256, "
        f"{tools.counted(proof.files, 'file')} by MD5"
    )
    return f"{proven}; not proven: {_first(proof.unproven)}" if proof.unproven else proven


def _first(lines: list[str]) -> str:
    """Return the first of several findings, and how many there are besides."""
    first, more = shown(lines[0], 1000), len(lines) - 1
    return f"{first} (and {more} more)" if more else first
