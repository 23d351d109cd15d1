"""The steps ``calculate`` and ``calculate_remote``: test a service with cases.

The first calculates with the compiled module in a package, the second also on a tenant.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from spark_impex_runner import Registry, StepOutput, errors, hookimpl, models, tools

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME: Final = "calculate"
REMOTE: Final = "calculate_remote"
# An option that no manifest can have: nothing is calculated. Most tenants of a rehearsal have
# invented services anyway, without code.
REHEARSAL: Final = "rehearsal"
INSTALL: Final = (
    "wasmtime is not installed; install it with: pip install 'spark-impex-runner[calculate]'"
)


# The child process, which is started often, imports this module: so the rest is imported on use.
@hookimpl
def impex_register(registry: Registry) -> None:
    """Register the step."""
    from .options import OPTIONS  # noqa: PLC0415
    from .remote_options import REMOTE_OPTIONS  # noqa: PLC0415

    registry.step(
        NAME,
        "calculates test cases with the module in a package",
        OPTIONS,
        always=True,
        covered_by_approval=True,
        dry_run=True,
        writes=lambda options: [options["results"]] if "results" in options else [],
        lacks=lacks,
        rehearse=_rehearse,
        check=_check,
    )
    registry.step(
        REMOTE,
        "compares a tenant's results with those of the module in a package",
        REMOTE_OPTIONS,
        always=True,
        dry_run=True,
        credentials=True,
        lacks=lacks,
        rehearse=_rehearse,
        check=_check,
    )


def lacks(_options: Mapping[str, Any]) -> str:
    """Return what is not installed, and the command that installs it."""
    return "" if find_spec("wasmtime") else INSTALL


def _rehearse(options: Mapping[str, Any], stand_ins: models.StandIns) -> Mapping[str, Any]:
    """Return options with which the cases are read and nothing is calculated."""
    from .options import NO_PROGRAM  # noqa: PLC0415

    stand_ins.left_out.append(f"the calculation, since {NO_PROGRAM}")
    return {**options, REHEARSAL: True}


def _check(options: Mapping[str, Any]) -> str:
    """Return why the options cannot work."""
    from .options import AT  # noqa: PLC0415
    from .settings import milliseconds  # noqa: PLC0415

    # Not an enumeration in the schema: editors refuse `true` there.
    if {"exact": False} in (options.get("tolerance"), *options.get("outputs", {}).values()):
        return "exact: false is no tolerance; name digits, decimals, absolute or relative instead"
    try:
        milliseconds(str(options.get("at", AT)))
    except errors.UsageError as error:
        return str(error)
    if "against" in options and "cases" not in options:
        return "against: needs cases, which are calculated with both releases"
    problem = tools.url_problem(str(options.get("against", "")))
    return f"against: {problem}" if problem else ""


@hookimpl(trylast=True)
def impex_plan_step(job: models.Job, step: models.Step) -> str | None:
    """Read the cases and describe the calculation, for these steps only."""
    if step.uses == NAME:
        from .step import describe  # noqa: PLC0415

        return describe(job, step.options)
    if step.uses == REMOTE:
        from .remote import describe as describe_remote  # noqa: PLC0415

        return describe_remote(job, step.options)
    return None


@hookimpl(trylast=True)
def impex_run_step(
    job: models.Job, step: models.Step, artifact: models.Artifact
) -> StepOutput | None:
    """Calculate once all packages are there, for these steps only."""
    if step.uses not in {NAME, REMOTE}:
        return None
    # The service may be in any of the packages: it is looked for once all are there.
    if artifact.name != job.packages[-1].name:
        return StepOutput()
    if step.options.get(REHEARSAL):
        from .step import rehearse  # noqa: PLC0415

        return rehearse(job, step.options)
    if step.uses == NAME:
        from .step import run  # noqa: PLC0415

        return run(job, step.options)
    from .remote import run as run_remote  # noqa: PLC0415

    return run_remote(job, step.options)
