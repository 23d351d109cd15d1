"""The ``upload`` step: a target's files go to a folder, a cloud's store or a server."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from spark_impex_runner.errors import StepError
from spark_impex_runner.hookspecs import Made, hookimpl

from .delivery import Delivery
from .files import select
from .options import OPTIONS, destination
from .stores import connect

if TYPE_CHECKING:
    from spark_impex_runner.models import Artifact, Job, Step
    from spark_impex_runner.registry import Registry

NAME = "upload"


@hookimpl
def impex_register(registry: Registry) -> None:
    """Offer the step."""
    summary = "sends the packages and what was made of them to a folder, cloud store or server"
    registry.step(NAME, summary, OPTIONS, dry_run=True, credentials=True)


@hookimpl(trylast=True)
def impex_run_step(job: Job, step: Step, artifact: Artifact) -> Made | None:
    """Send all files of the target once, when its last package comes; answer for ``upload`` only.

    Only then all are sent at the same time, and the retention sees a whole delivery.
    """
    if step.uses != NAME:
        return None
    packages = [each.name for each in job.artifacts if each.made_by == "download"]
    if artifact.name != packages[-1]:
        return Made()
    folder = job.run.manifest.path.parent
    options = step.options
    place = destination(options, folder)
    try:
        with closing(connect(place, options, folder)) as store:
            delivery = Delivery(job, options, store)
            sources = select(job, options.get("files", ["*"]), delivery.check)
            told = delivery.run(sources)
    except OSError as error:
        raise StepError(f"{place.shown}: {error}") from error
    prefix = options.get("prefix")
    return Made(message=f"{place.shown.rstrip('/')}{f'/{prefix}' if prefix else ''}: {told}")
