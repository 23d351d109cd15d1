"""The ``calculate`` step: test a service with cases, by the compiled module in its package."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from spark_impex_runner import Registry, StepOutput, errors, hookimpl, models

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME: Final = "calculate"
INSTALL: Final = (
    "wasmtime is not installed; install it with: pip install 'spark-impex-runner[calculate]'"
)


# The child process, which is started often, imports this module: so the rest is imported on use.
@hookimpl
def impex_register(registry: Registry) -> None:
    """Register the step."""
    from .options import OPTIONS  # noqa: PLC0415

    registry.step(
        NAME,
        "calculates test cases with the module in a package",
        OPTIONS,
        dry_run=True,
        writes=lambda options: [options["results"]] if "results" in options else [],
        lacks=lacks,
        check=_check,
    )


def lacks(_options: Mapping[str, Any]) -> str:
    """Return what is not installed, and the command that installs it."""
    return "" if find_spec("wasmtime") else INSTALL


def _check(options: Mapping[str, Any]) -> str:
    """Return why the options cannot work."""
    from .options import AT, milliseconds  # noqa: PLC0415

    try:
        milliseconds(str(options.get("at", AT)))
    except errors.UsageError as error:
        return str(error)
    return ""


@hookimpl(trylast=True)
def impex_plan_step(job: models.Job, step: models.Step) -> str | None:
    """Read the cases and describe the calculation, for the step ``calculate`` only."""
    if step.uses != NAME:
        return None
    from .step import describe  # noqa: PLC0415

    return describe(job, step.options)


@hookimpl(trylast=True)
def impex_run_step(
    job: models.Job, step: models.Step, artifact: models.Artifact
) -> StepOutput | None:
    """Calculate once all packages are there, for the step ``calculate`` only."""
    if step.uses != NAME:
        return None
    # The service may be in any of the packages: it is looked for once all are there.
    if artifact.name != job.packages[-1].name:
        return StepOutput()
    from .step import run  # noqa: PLC0415

    return run(job, step.options)
