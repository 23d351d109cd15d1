"""Write release notes of deliveries, and reject drafts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_impex_runner import Registry, errors, hookimpl, models, tools

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "release_note"
OPTIONS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "title": {
            "title": "Title",
            "description": "The heading of the note; the default is the target's name.",
            "type": "string",
            "minLength": 1,
            "examples": ["Motor in winter"],
        },
        "drafts": {
            "title": "Drafts",
            "description": "Whether versions below 1.0.0 may be delivered.",
            "type": "boolean",
            "default": False,
        },
    },
}


@hookimpl
def impex_register(registry: Registry) -> None:
    """Register the step."""
    registry.step(
        NAME,
        "writes a release note beside each package, and rejects drafts",
        OPTIONS,
        rehearse=lambda options, _: options,  # it has no destination to replace
    )


@hookimpl
def impex_check_download(job: models.Job, artifact: models.Artifact) -> None:
    """Reject a package with drafts if the target has the step and does not allow them."""
    steps = [step for step in job.target.steps if step.uses == NAME]
    if not steps or any(step.options.get("drafts", False) for step in steps):
        return
    drafts = [each.uri for each in _versions(job) if each.version.startswith("0.")]
    if drafts:
        msg = f"{artifact.name} contains drafts: {', '.join(drafts)}; allow them with drafts: true"
        raise errors.IntegrityError(msg)


@hookimpl
def impex_run_step(
    job: models.Job, step: models.Step, artifact: models.Artifact
) -> list[models.Artifact] | None:
    """Write the note of one package, for our own step only."""
    if step.uses != NAME:
        return None
    name = f"{artifact.name}.md"
    path = job.target.output / name
    title = step.options.get("title", job.target.name)
    owned = tools.Ownership.of(job)
    owned.check(path)  # raises for a file that no earlier run has written
    owned.claim(path)
    try:
        path.write_text("\n".join(_note(title, job, artifact)) + "\n", encoding="utf-8")
    except OSError as error:
        msg = f"cannot write {path}: {error.strerror}"
        raise errors.StepError(msg) from error
    return [models.Artifact(path, name, path.stat().st_size)]


@hookimpl
def impex_run_finished(report: models.RunResult) -> None:
    """Show the delivered versions on the summary page of GitHub Actions."""
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if not summary:
        return
    lines = ["| target | outcome | versions |", "|---|---|---|"]
    for each in report.results:
        versions = ", ".join(version.uri for version in each.service_versions)
        lines.append(f"| {each.target.name} | {each.outcome.value} | {versions} |")
    with Path(summary).open("a", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def _versions(job: models.Job) -> tuple[models.ServiceVersion, ...]:
    """Return the versions that the tenant lists for the job."""
    return job.status.service_versions if job.status else ()


def _note(title: str, job: models.Job, artifact: models.Artifact) -> Iterator[str]:
    """Yield the lines of a note."""
    yield f"# {title}"
    yield ""
    yield f"{artifact.name}, {artifact.size} bytes, SHA-256 `{artifact.sha256}`"
    yield ""
    yield from sorted(f"- {each.uri}" for each in _versions(job))
