"""The ``upload`` step: a target's files go to a folder, a cloud's store or a server."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from spark_impex_runner import Registry, StepOutput, errors, hookimpl, models

from .destination import check, destination
from .files import select
from .options import OPTIONS
from .stores import connect, lacks, load

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .destination import Destination

NAME = "upload"


@hookimpl
def impex_register(registry: Registry) -> None:
    """Offer the step."""
    summary = "sends the packages and what was made of them to a folder, cloud store or server"
    registry.step(
        NAME,
        summary,
        OPTIONS,
        dry_run=True,
        credentials=True,
        delivers=True,
        lacks=lacks,
        check=check,
    )


@hookimpl(trylast=True)
def impex_plan_step(job: models.Job, step: models.Step) -> str | None:
    """Tell what would be sent where, and what would stay; answer for ``upload`` only."""
    if step.uses != NAME:
        return None
    place = destination(step.options, job.run.manifest.path.parent)
    load(place.scheme)
    files = ", ".join(step.options.get("files", ["all packages and what was made of them"]))
    keep = step.options.get("keep", {})
    stays = [f"the last {keep['last']}"] if "last" in keep else []
    stays += [f"those of the last {keep['days']} days"] if "days" in keep else []
    told = f"send {files} to {_shown(place, step.options)}"
    return f"{told}, then keep {' and '.join(stays)}" if stays else told


@hookimpl(trylast=True)
def impex_run_step(
    job: models.Job, step: models.Step, artifact: models.Artifact
) -> StepOutput | None:
    """Send all files of the target once, when its last package comes; answer for ``upload`` only.

    Only then all are sent at the same time, and the retention sees a whole delivery.
    """
    if step.uses != NAME:
        return None
    packages = [each.name for each in job.packages]
    if artifact.name != packages[-1]:
        return StepOutput()
    folder = job.run.manifest.path.parent
    options = step.options
    # Imported on use: loading the plugin for a manifest without uploads must be quick.
    from .delivery import Delivery  # noqa: PLC0415

    place = destination(options, folder)
    try:
        with closing(connect(place, options, folder)) as store:
            delivery = Delivery(job, options, store)
            sources = select(job, options.get("files", ["*"]), delivery.check)
            told = delivery.run(sources)
    except OSError as error:
        raise errors.StepError(f"{place.shown}: {error}") from error
    return StepOutput(message=f"{_shown(place, options)}: {told}")


def _shown(place: Destination, options: Mapping[str, Any]) -> str:
    """Return the address of the delivery."""
    return "/".join(
        [place.shown.rstrip("/"), *([options["prefix"]] if "prefix" in options else [])]
    )
