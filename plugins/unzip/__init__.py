"""The ``unzip`` step: extract a package to a folder, or change nothing."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from spark_impex_runner import Registry, StepOutput, errors, hookimpl, models, tools

from . import names
from .entries import Limits, UnsafeArchive
from .extract import extract
from .swap import atomic_folder, set_aside

if TYPE_CHECKING:
    from collections.abc import Mapping


NAME = "unzip"
OPTIONS: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "to": {
            "title": "Folder",
            "description": (
                "Folder for the files, relative to the target's output. It is replaced as a "
                "whole. With several packages, each gets a folder of its own in it, named like "
                "the package without .zip."
            ),
            "type": "string",
            "minLength": 1,
            "x-path": "output",
            "default": "files",
        },
        "max_total": {
            **tools.SIZE_SCHEMA,
            "title": "Most bytes",
            "description": "Refuse a package whose files have more bytes than this in total.",
            "default": "2GiB",
            "examples": ["500MB"],
        },
        "max_files": {
            "title": "Most files",
            "description": "Refuse a package with more files and folders than this.",
            "type": "integer",
            "minimum": 1,
            "default": 20000,
        },
        "max_ratio": {
            "title": "Highest ratio",
            "description": (
                "Refuse a package whose files have more bytes than this many times its own. "
                "Compiled services come to about 4, JSON to 20; deflate ends at 1032."
            ),
            "type": "number",
            "minimum": 1,
            "default": 200,
        },
    },
}


@hookimpl
def impex_register(registry: Registry) -> None:
    """Register the step."""
    registry.step(
        NAME,
        "extracts a package into a folder, safely",
        OPTIONS,
        dry_run=True,
        writes=lambda options: [_to(options)],
        rehearse=lambda options, _: options,
    )


@hookimpl(trylast=True)
def impex_plan_step(step: models.Step) -> str | None:
    """Name the folder to replace, for the step ``unzip`` only."""
    if step.uses != NAME:
        return None
    to = _to(step.options)
    if reason := names.problem(to):
        raise errors.StepError(f"to: {to!r} {reason}")
    limit = step.options.get("max_total", "2GiB")
    return f"extract each package into {to}/, up to {limit}"


@hookimpl(trylast=True)
def impex_run_step(
    job: models.Job, step: models.Step, artifact: models.Artifact
) -> list[models.Artifact] | StepOutput | None:
    """Extract one package, for the step ``unzip`` only."""
    if step.uses != NAME:
        return None
    with tools.package_errors(artifact, UnsafeArchive, errors.UsageError):
        made = [_unzip(job, step.options, artifact)]
    left = [str(each) for each in set_aside(made[0].path)]
    return StepOutput(made, f"cannot remove {left[0]}; remove it yourself") if left else made


def _unzip(
    job: models.Job, options: Mapping[str, Any], artifact: models.Artifact
) -> models.Artifact:
    """Extract beside the destination, then swap the folders."""
    limits = Limits(
        tools.parse_size(options.get("max_total", "2GiB")),
        options.get("max_files", 20000),
        options.get("max_ratio", 200),
    )
    name = _folder(job, _to(options), artifact)
    folder = job.target.output / name
    with atomic_folder(folder, tools.Ownership.of(job)) as fresh:
        tree = extract(artifact.path, fresh, limits, job.stopping)
    return models.Artifact(folder, f"{name}/", tree.size, tree.sha256, made_by=NAME)


def _to(options: Mapping[str, Any]) -> str:
    return str(options.get("to", "files")).removesuffix("/")


def _folder(job: models.Job, to: str, artifact: models.Artifact) -> str:
    """Return the package's folder in the output; raise if it hides another artifact."""
    packages = {each.name for each in job.packages}
    # Several packages share the folder: each replaces only its own part of it.
    several = len(packages | {artifact.name}) > 1
    name = _package_folder(to, artifact.name) if several else to
    reason = names.problem(name)
    if reason:
        raise UnsafeArchive(f"to: {name!r} {reason}")
    # Resolved: a link in the output may lead anywhere.
    output = job.target.output
    if not (output / name).parent.resolve().is_relative_to(output.resolve()):
        raise UnsafeArchive(f"to: {name!r} is outside the output folder; use one in it")
    others = {each.name.rstrip("/") for each in job.artifacts}
    others |= {artifact.name, models.RECEIPT, models.EVIDENCE}
    siblings = {_package_folder(to, each) for each in packages - {artifact.name}}
    for other in others | siblings:
        if _nested(name, other) or _nested(other, name):
            raise UnsafeArchive(f"to: {name!r} would hide {other!r}; use another folder")
    return name


def _package_folder(to: str, package: str) -> str:
    return f"{to}/{PurePosixPath(package).with_suffix('')}"


def _nested(inner: str, outer: str) -> bool:
    """Return True if one path is the other or inside it."""
    return f"{names.key(inner)}/".startswith(f"{names.key(outer)}/")
