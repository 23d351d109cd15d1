"""The ``upload`` step: upload a target's files to a folder, an object store or a server."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from spark_impex_runner import Registry, StepOutput, errors, hookimpl, models

from .destination import applies, check, destination, scheme_of
from .options import OPTIONS, is_selected
from .stores import connect, lacks, load

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .destination import Destination

NAME = "upload"


@hookimpl
def impex_register(registry: Registry) -> None:
    """Register the step."""
    summary = "uploads packages and step results to a folder, object store or server"
    registry.step(
        NAME,
        summary,
        OPTIONS,
        dry_run=True,
        credentials=True,
        delivers=_delivers,
        lacks=lacks,
        check=check,
        rehearse=_rehearse,
    )


def _delivers(options: Mapping[str, Any], package: str) -> bool:
    """Return whether a package goes to where other machines reach it: no folder of this one."""
    is_remote = (scheme_of(options["to"]) or "file") != "file"
    return is_remote and is_selected(package, options.get("files", ["*"]))


def _rehearse(options: Mapping[str, Any], stand_ins: models.StandIns) -> Mapping[str, Any]:
    """Return options that upload to a local folder."""
    scheme = scheme_of(options["to"]) or "file"
    store = "permissions" if scheme == "file" else f"{scheme}://, its credentials and permissions"
    stand_ins.left_out.append(f"{store}, and what is there already: files go to a scratch folder")
    return {
        **{key: value for key, value in options.items() if applies(key, "file")},
        "to": str(stand_ins.folder),
    }


@hookimpl(trylast=True)
def impex_plan_step(job: models.Job, step: models.Step) -> str | None:
    """Describe upload and retention, for the step ``upload`` only."""
    if step.uses != NAME:
        return None
    place = destination(step.options, job.run.manifest.path.parent)
    load(place.scheme)
    files = ", ".join(step.options.get("files", ["all packages and step results"]))
    keep = step.options.get("keep", {})
    kept = [f"the last {keep['last']}"] if "last" in keep else []
    kept += [f"those of the last {keep['days']} days"] if "days" in keep else []
    text = f"send {files} to {_address(place, step.options)}"
    return f"{text}, then keep {' and '.join(kept)}" if kept else text


@hookimpl(trylast=True)
def impex_run_step(
    job: models.Job, step: models.Step, artifact: models.Artifact
) -> StepOutput | None:
    """Upload all files of the target, for the step ``upload`` and the last package only."""
    if step.uses != NAME:
        return None
    packages = [each.name for each in job.packages]
    # With the last package all files are there: they go in parallel, as one complete delivery.
    if artifact.name != packages[-1]:
        return StepOutput()
    folder = job.run.manifest.path.parent
    options = step.options
    # Imported on use: loading the plugin for a manifest without uploads must be quick.
    from .delivery import Delivery  # noqa: PLC0415
    from .files import select  # noqa: PLC0415

    place = destination(options, folder)
    try:
        with closing(connect(place, options, folder)) as store:
            delivery = Delivery(job, options, store)
            sources = select(job, options.get("files", ["*"]), delivery.check)
            summary = delivery.run(sources)
    except OSError as error:
        raise errors.StepError(f"{place.shown}: {error}") from error
    return StepOutput(message=f"{_address(place, options)}: {summary}")


def _address(place: Destination, options: Mapping[str, Any]) -> str:
    root = place.shown.rstrip("/")
    return f"{root}/{options['prefix']}" if "prefix" in options else root
