"""What a run would do, as its memory tells: create a job, adopt an earlier one, or nothing."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from spark_impex_runner.engine.attempt import fingerprint, key, why_not
from spark_impex_runner.engine.prepare import new_job, state_folder
from spark_impex_runner.errors import ImpexError
from spark_impex_runner.models import Forecast, PlannedStep
from spark_impex_runner.state.store import State, exists

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.engine.prepare import Prepared
    from spark_impex_runner.models import Job, Planned, RunOptions, Step
    from spark_impex_runner.pluginmanager import Plugins
    from spark_impex_runner.state.store import Attempt


def forecast(prepared: Prepared, options: RunOptions, clock: Clock) -> tuple[Forecast, ...]:
    """Return what a run of the plan would do now. No tenant is asked, and nothing begins."""
    jobs = [new_job(item, prepared, clock) for item in prepared.plan]
    earlier = _earlier(state_folder(prepared.run.manifest.path, options), jobs)
    items = (
        _forecast(planned, job, attempt, options)
        for planned, job, attempt in zip(prepared.plan, jobs, earlier, strict=True)
    )
    return tuple(
        replace(item, steps=_steps(job, prepared.hooks)) if item.action != "unchanged" else item
        for item, job in zip(items, jobs, strict=True)
    )


def _earlier(folder: Path, jobs: Sequence[Job]) -> list[Attempt | None]:
    """Return what earlier runs left of each job; to look makes no memory where there is none."""
    if not exists(folder):
        return [None for _ in jobs]
    with closing(State(folder)) as state:
        return [state.unfinished(key(job)) for job in jobs]


def _steps(job: Job, hooks: Plugins) -> tuple[PlannedStep, ...]:
    """Return what those of the target's steps would do that can tell."""
    offers = hooks.registry.steps
    told = (step for step in job.target.steps if step.uses in offers and offers[step.uses].dry_run)
    return tuple(_step(job, step, hooks) for step in told)


def _step(job: Job, step: Step, hooks: Plugins) -> PlannedStep:
    try:
        answer = hooks.decide("impex_plan_step", job=job, step=step)
        if not isinstance(answer, str) or not answer or "\n" in answer:
            raise hooks.refuse("impex_plan_step", answer, "a line of text")
    except ImpexError as error:
        return PlannedStep(step.uses, problem=str(error))
    return PlannedStep(step.uses, answer)


def _forecast(planned: Planned, job: Job, earlier: Attempt | None, options: RunOptions) -> Forecast:
    if planned.kept or earlier is None:
        return _fresh(planned, "")
    wanted = (job.tenant, fingerprint(job))
    why = why_not(earlier, wanted, job.started, fresh=options.fresh)
    if why:
        left = f"job {earlier.job_id}" if earlier.job_id else "a job whose reply was lost"
        return _fresh(planned, f"{left} of an earlier run is left behind ({why})")
    begun = f"begun at {earlier.intended:%Y-%m-%d %H:%M}Z"
    if not earlier.job_id:
        sought = f"{begun}, its reply was lost; looked for by {earlier.correlation_id}"
        return Forecast(planned, "adopt", note=sought)
    state = f"{begun}, packages are here" if earlier.delivered else begun
    return Forecast(planned, "adopt", earlier.job_id, state)


def _fresh(planned: Planned, note: str) -> Forecast:
    return Forecast(planned, "unchanged" if planned.kept else "create", note=note)
