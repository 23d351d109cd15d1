"""What a run would do: create a job, adopt an earlier one, or nothing."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from spark_impex_runner.delivery.attempt import (
    age,
    describe_job,
    last_of,
    reason_not_to_resume,
    replaced,
)
from spark_impex_runner.delivery.context import Context
from spark_impex_runner.delivery.unchanged import unchanged
from spark_impex_runner.errors import ImpexError
from spark_impex_runner.models import Forecast, PlannedStep
from spark_impex_runner.planning.locations import state_folder
from spark_impex_runner.planning.prepare import new_job
from spark_impex_runner.state.keys import fingerprint, target_key
from spark_impex_runner.state.store import State, exists

if TYPE_CHECKING:
    from spark_impex_runner.clock import Clock
    from spark_impex_runner.hooks.manager import Plugins
    from spark_impex_runner.models import Job, PlannedTarget, RunOptions, Step
    from spark_impex_runner.planning.stages import Prepared


def forecast(prepared: Prepared, options: RunOptions, clock: Clock) -> tuple[Forecast, ...]:
    """Return what a run of the plan would do now, and begin nothing.

    A tenant is asked only where a target with ``skip_unchanged`` was delivered before.
    """
    jobs = [(item, new_job(item, prepared, clock)) for item in prepared.plan]
    folder = state_folder(prepared.run.manifest.path, options)
    if exists(folder):  # To open a memory that is not there would make it.
        with closing(State(folder)) as state:
            context = Context.of(prepared, state, options)
            found = [_forecast(item, job, context) for item, job in jobs]
    else:
        found = [_fresh(item) for item, _ in jobs]
    return tuple(
        each if each.action == "unchanged" else replace(each, steps=_steps(job, prepared.hooks))
        for each, (_, job) in zip(found, jobs, strict=True)
    )


def _steps(job: Job, hooks: Plugins) -> tuple[PlannedStep, ...]:
    """Return what those of the target's steps would do that can tell."""
    offers = hooks.registry.steps
    told = (step for step in job.target.steps if step.uses in offers and offers[step.uses].dry_run)
    return tuple(_step(job, step, hooks) for step in told)


def _step(job: Job, step: Step, hooks: Plugins) -> PlannedStep:
    try:
        answer = hooks.call("impex_plan_step", job=job, step=step)
        if not isinstance(answer, str) or not answer or "\n" in answer:
            raise hooks.invalid_answer("impex_plan_step", answer, "a line of text")
    except ImpexError as error:
        return PlannedStep(step.uses, problem=str(error))
    return PlannedStep(step.uses, answer)


def _forecast(planned: PlannedTarget, job: Job, context: Context) -> Forecast:
    if planned.kept:
        return _fresh(planned)
    if found := unchanged(job, context):
        return Forecast(planned, "unchanged", note=found[1])
    state = context.state
    earlier = state.unfinished(target_key(job))
    if earlier is None:
        return _fresh(planned)
    wanted = (job.tenant, fingerprint(job))
    why = reason_not_to_resume(
        earlier, wanted, age(earlier, state, job.started), fresh=context.fresh
    )
    why = why or replaced(earlier, job, state)
    if why:
        left = describe_job(last_of(earlier, state))
        return _fresh(planned, f"{left} of an earlier run is left behind ({why})")
    begun = f"begun at {earlier.intended:%Y-%m-%d %H:%M}Z"
    if parts := len(state.parts(earlier)):
        begun += f", divided into {parts} parts"
    elif not earlier.job_id:
        sought = f"{begun}, its reply was lost; looked for by {earlier.correlation_id}"
        return Forecast(planned, "adopt", note=sought)
    note = f"{begun}, packages are here" if earlier.delivered else begun
    if earlier.held:
        note = f"{note}, held for --approve {earlier.held}"
    return Forecast(planned, "adopt", earlier.job_id, note)


def _fresh(planned: PlannedTarget, note: str = "") -> Forecast:
    if planned.kept:
        return Forecast(
            planned, "unchanged", note=f"delivered in {planned.target.output} (if_exists: keep)"
        )
    return Forecast(planned, "create", note=note)
