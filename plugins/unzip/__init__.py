"""The ``unzip`` step: a package becomes a folder, or nothing changes."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from spark_impex_runner import Registry, StepOutput, errors, hookimpl, models, tools

from . import names
from .entries import Limits, Refusal
from .extract import extract
from .swap import replacing, set_aside

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
                "whole. Where a target has several packages, each has a folder of its own in "
                "it, named like the package without .zip."
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
    """Offer the step."""
    registry.step(
        NAME,
        "extracts a package into a folder, safely",
        OPTIONS,
        dry_run=True,
        writes=lambda options: [_to(options)],
    )


@hookimpl(trylast=True)
def impex_plan_step(step: models.Step) -> str | None:
    """Tell which folder would be replaced; answer for ``unzip`` only."""
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
    """Extract one package; answer for ``unzip`` only."""
    if step.uses != NAME:
        return None
    with tools.package_errors(artifact, Refusal, errors.UsageError):
        made = [_unzip(job, step.options, artifact)]
    left = [str(each) for each in set_aside(made[0].path)]
    return StepOutput(made, f"{left[0]} cannot be removed; remove it") if left else made


def _unzip(
    job: models.Job, options: Mapping[str, Any], artifact: models.Artifact
) -> models.Artifact:
    """Extract beside the destination and then swap it in."""
    limits = Limits(
        tools.parse_size(options.get("max_total", "2GiB")),
        options.get("max_files", 20000),
        options.get("max_ratio", 200),
    )
    name = _folder(job, _to(options), artifact)
    folder = job.target.output / name
    with replacing(folder, tools.Ownership.of(job)) as fresh:
        tree = extract(artifact.path, fresh, limits, job.stopping)
    return models.Artifact(folder, f"{name}/", tree.size, tree.sha256, made_by=NAME)


def _to(options: Mapping[str, Any]) -> str:
    """Return the folder that the options name."""
    return str(options.get("to", "files")).removesuffix("/")


def _folder(job: models.Job, to: str, artifact: models.Artifact) -> str:
    """Return the folder of this package, relative to the output; it may hide nothing else."""
    packages = {each.name for each in job.packages}
    several = len(packages | {artifact.name}) > 1
    name = _own(to, artifact.name) if several else to
    reason = names.problem(name)
    if reason:
        raise Refusal(f"to: {name!r} {reason}")
    output = job.target.output
    if not (output / name).parent.resolve().is_relative_to(output.resolve()):
        raise Refusal(f"to: {name!r} leads outside of the output folder")
    others = {each.name.rstrip("/") for each in job.artifacts} | {artifact.name, models.RECEIPT}
    siblings = {_own(to, each) for each in packages - {artifact.name}}
    for other in others | siblings:
        if _nested(name, other) or _nested(other, name):
            raise Refusal(f"to: {name!r} is in the way of {other!r}; name another folder")
    return name


def _own(to: str, package: str) -> str:
    """Return the folder of one package among several."""
    return f"{to}/{PurePosixPath(package).with_suffix('')}"


def _nested(inner: str, outer: str) -> bool:
    """Tell whether one path is the other or lies in it."""
    return f"{names.key(inner)}/".startswith(f"{names.key(outer)}/")
