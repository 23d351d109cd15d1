"""The ``package_check`` step: verify a package by the checksums that it contains."""

from __future__ import annotations

import zipfile
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from spark_impex_runner import Registry, StepOutput, errors, hookimpl, models, tools

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .verifier import PackageVerifier


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
        "self_test": {
            "title": "Self-test",
            "description": (
                "Whether the compiler's own self-test counts: not at all, where the package has "
                "one, or always. With it, names, rules and compiler versions that a package states "
                "twice are compared."
            ),
            "enum": ["off", "if_present", "required"],
            "default": "if_present",
        },
    },
}


@hookimpl
def impex_register(registry: Registry) -> None:
    """Register the step."""
    registry.step(
        NAME,
        "verifies a package by the checksums in it",
        OPTIONS,
        dry_run=True,
        rehearse=_rehearse,
    )


def _rehearse(options: Mapping[str, Any], _: models.StandIns) -> Mapping[str, Any]:
    """Return options that need no self-test: what stands in for a module has none."""
    if options.get("self_test") == "required":
        return {**options, "self_test": "if_present"}
    return options


@hookimpl(trylast=True)
def impex_plan_step(step: models.Step) -> str | None:
    """Describe the check, for the step ``package_check`` only."""
    if step.uses != NAME:
        return None
    limit = step.options.get("max_total", "2GiB")
    return f"verify each package by the checksums in it, reading up to {limit}"


@hookimpl(trylast=True)
def impex_run_step(
    job: models.Job, step: models.Step, artifact: models.Artifact
) -> StepOutput | None:
    """Verify one package, for the step ``package_check`` only."""
    if step.uses != NAME:
        return None
    with tools.package_errors(artifact):
        verifier = _verify(job, step.options, artifact)
    return StepOutput(message=f"{artifact.name}: {_verdict(artifact, verifier)}")


def _verify(
    job: models.Job, options: Mapping[str, Any], artifact: models.Artifact
) -> PackageVerifier:
    """Verify the package, with the manifests of the job's other packages."""
    # Imported on use, as in other steps: each run loads all plugins and uses few.
    from .self_test import SelfTest  # noqa: PLC0415
    from .verifier import PackageVerifier  # noqa: PLC0415

    budget = tools.ReadBudget(
        tools.parse_size(options.get("max_total", "2GiB")),
        options.get("max_files", 100000),
        job.stopping,
    )
    mode = options.get("self_test", "if_present")
    verifier = PackageVerifier(job, None if mode == "off" else SelfTest(mode == "required"))
    for other in job.packages:
        if other.name != artifact.name:
            # A broken one is reported when the step verifies it.
            with suppress(zipfile.BadZipFile), _open(other, replace(budget)) as package:
                verifier.add_sibling(package)
    with _open(artifact, budget) as package:
        verifier.run(package)
    return verifier


@contextmanager
def _open(artifact: models.Artifact, budget: tools.ReadBudget) -> Iterator[tools.ArchiveReader]:
    try:
        with artifact.path.open("rb") as file, tools.ArchiveReader.open(file, budget) as package:
            yield package
    except tools.OverLimitError as error:
        advice = f"raise {error.limit} to allow it"
        raise errors.StepError(f"{artifact.name}: {error}; {advice}") from error


def _verdict(artifact: models.Artifact, verifier: PackageVerifier) -> str:
    """Return the result in one line; raise ``StepError`` if there are differences."""
    if verifier.differences:
        raise errors.StepError(f"{artifact.name}: {_first(verifier.differences)}")
    # A step that verified no module must not look like one that did.
    if not verifier.modules:
        raise errors.StepError(
            f"{artifact.name}: nothing in it can be verified: {_first(verifier.unverified)}"
        )
    verified = (
        f"{tools.counted(len(verifier.services), 'service')} as its manifest lists, "
        f"{tools.counted(len(verifier.modules), 'module')} by SHA-256, "
        f"{tools.counted(verifier.files, 'file')} by MD5"
    )
    if verifier.self_test and verifier.self_test.found:
        verified += f", {verifier.self_test}"
    return (
        f"{verified}; not verified: {_first(verifier.unverified)}"
        if verifier.unverified
        else verified
    )


def _first(lines: list[str]) -> str:
    """Return the first of several findings, and the number of the others."""
    from .verifier import printable  # noqa: PLC0415

    first, more = printable(lines[0], 1000), len(lines) - 1
    return f"{first} (and {more} more)" if more else first
