"""Forecast what a run would do for each target: create a job, adopt an earlier one, or nothing."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from spark_impex_runner import fields
from spark_impex_runner.delivery.attempt import (
    age,
    describe_job,
    latest_part,
    reason_not_to_resume,
    reason_replaced,
)
from spark_impex_runner.delivery.context import Context
from spark_impex_runner.delivery.unchanged import last_delivery, unchanged
from spark_impex_runner.errors import ImpexError
from spark_impex_runner.models import RECEIPT, Forecast, PlannedStep, ServiceForecast
from spark_impex_runner.planning.locations import state_place
from spark_impex_runner.planning.placed import PlacedFiles
from spark_impex_runner.planning.preflight import export_warnings
from spark_impex_runner.planning.prepare import new_job
from spark_impex_runner.progress_log import ProgressLog
from spark_impex_runner.state.keys import fingerprint, size_class, target_key, tenant_of
from spark_impex_runner.state.opening import existing_state
from spark_impex_runner.state.storage import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.hooks.manager import Plugins
    from spark_impex_runner.models import Job, PlannedTarget, RunOptions, Step
    from spark_impex_runner.planning.stages import Prepared
    from spark_impex_runner.state.models import Attempt
    from spark_impex_runner.state.store import State

    # A tenant, and ``folder/service``.
    _Service = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Receipt:
    finished: datetime
    job_id: str


def forecast(prepared: Prepared, options: RunOptions, clock: Clock) -> tuple[Forecast, ...]:
    """Return what a run of the plan would do now, without starting anything.

    A tenant is asked only for targets with ``skip_unchanged`` that were delivered before, and by
    steps whose forecast needs the listing of the tenants between which they move services.
    """
    jobs = [(item, new_job(item, prepared, clock)) for item in prepared.plan]
    # A plan must not leave a trace.
    if found := existing_state(state_place(prepared.run.manifest.path, options)):
        with closing(found) as state:
            state.storage.prefetch([target_key(job) for _, job in jobs])
            context = Context.of(prepared, state, options)
            known = [_from_state(*each, context) for each in jobs]
    else:
        known = [(_forecast(item, job), job) for item, job in jobs]
    changed: set[_Service] = set()
    progress = ProgressLog(clock, "planned {} of {} targets", len(jobs))
    worked = []
    for each, job in known:
        if each.action == "unchanged":
            worked.append(replace(each, changes=False))
        elif each.action == "fail":
            worked.append(each)
        else:
            worked.append(_with_work(each, job, prepared.hooks, changed))
        progress.advance()
    # Last: any of the targets may have asked for the listing of a tenant.
    return tuple(
        replace(each, warnings=_warnings(each, job))
        for each, (_, job) in zip(worked, known, strict=True)
    )


def _from_state(item: PlannedTarget, job: Job, context: Context) -> tuple[Forecast, Job]:
    """Return the forecast of a target, and its job with what the state knows of it.

    A target whose records cannot be read fails in a run, too, which works on the others.
    """
    state = context.state
    try:
        found = _with_usual(_forecast(item, job, context), job, state)
        return found, _with_packages(job, found, state)
    except UnreadableError as error:
        return Forecast(item, "fail", note=str(error)), job


def _with_usual(forecast: Forecast, job: Job, state: State) -> Forecast:
    """Return a forecast with how long such jobs usually take."""
    request = tenant_of(job), fingerprint(job), size_class(job)
    usual = state.usual_duration(target_key(job), *request)
    return replace(forecast, usual=usual)


def _with_packages(job: Job, forecast: Forecast, state: State) -> Job:
    """Return a job with its last delivery, and with the packages of one that a run resumes."""
    job = replace(job, last=last_delivery(job, state))
    earlier = state.unfinished(target_key(job)) if forecast.action == "adopt" else None
    if earlier is None or not earlier.delivered:
        return job
    artifacts = state.artifacts(earlier)
    complete = all(each.path.exists() for each in artifacts)
    return replace(job, artifacts=artifacts) if complete else job


def _with_work(forecast: Forecast, job: Job, hooks: Plugins, changed: set[_Service]) -> Forecast:
    """Return a forecast with what the steps would do, and the delivery that would be replaced.

    ``changed`` are the services that earlier imports of the plan change; those of the steps are
    added.
    """
    steps = _steps(job, hooks, changed)
    receipt = _receipt(job.target.output)
    # A resumed job may have left the receipt itself, such as when it was held.
    replaced = (
        receipt
        and not _conflict(job)
        and (not forecast.job_id or receipt.job_id != forecast.job_id)
    )
    finished = receipt.finished if receipt and replaced else None
    return replace(
        forecast,
        steps=steps,
        replaces=finished,
        changes=_changes(job, steps, hooks),
    )


def _warnings(forecast: Forecast, job: Job) -> tuple[str, ...]:
    """Return why a new export would fail: the output is another target's, or what the tenant lists.

    The tenant is not asked for that; only what it was asked for already counts.
    """
    if forecast.action != "create":
        return ()
    if conflict := _conflict(job):
        return (conflict,)
    return export_warnings(job.request, job.run.connect(job.target.connection))


def _conflict(job: Job) -> str:
    """Return why a run writes nothing to the output: it holds the delivery of another target."""
    return PlacedFiles(None, target_key(job), job.target).conflict()


def _changes(job: Job, planned: Sequence[PlannedStep], hooks: Plugins) -> bool:
    """Return whether a run would change anything besides the output.

    An export whose imports find everything identical does not, unless another step delivers it.
    """
    busy = {each.uses for each in planned if not each.does_nothing}
    idle = {each.uses for each in planned} - busy
    offers = hooks.registry.steps
    delivering = {each.uses for each in job.target.steps if offers[each.uses].delivers}
    return not idle or bool(delivering - idle)


def _receipt(output: Path) -> _Receipt | None:
    """Return what the receipt in an output says, None without a readable one."""
    try:
        receipt = fields.parse((output / RECEIPT).read_bytes())
        # Python 3.10 reads no Z.
        finished = datetime.fromisoformat(receipt["finished"].replace("Z", "+00:00"))
        return _Receipt(finished, str(receipt["job_id"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _steps(job: Job, hooks: Plugins, changed: set[_Service]) -> tuple[PlannedStep, ...]:
    """Return the forecasts of the target's steps whose plugins support that."""
    offers = hooks.registry.steps
    steps = (step for step in job.target.steps if step.uses in offers and offers[step.uses].dry_run)
    return tuple(_after(changed, job, step, _step(job, step, hooks)) for step in steps)


def _after(changed: set[_Service], job: Job, step: Step, planned: PlannedStep) -> PlannedStep:
    """Return an import whose forecast is unknown where an earlier one of the plan changes it.

    The tenants were asked as they are now. What would end the import still does: an earlier import
    removes no service, and creates no folder.
    """
    to = step.options.get("to", "")
    if not planned.services or to not in job.run.manifest.connections:
        return planned
    # The packages of a resumed job are those of an earlier export.
    source = "" if job.packages else job.run.connect(job.target.connection).identity
    destination = job.run.connect(to).identity

    def after(each: ServiceForecast) -> ServiceForecast:
        exported = each.source.partition("[")[0]
        if each.fails or not {(source, exported), (destination, each.target)} & changed:
            return each
        reason = "an earlier import of this plan changes it"
        return ServiceForecast(each.source, each.target, "unknown", reason=reason)

    services = tuple(map(after, planned.services))
    if not any(each.fails for each in services):
        changed |= {(destination, each.target) for each in services if not each.is_identical}
    return replace(planned, services=services)


def _step(job: Job, step: Step, hooks: Plugins) -> PlannedStep:
    try:
        answer = hooks.call("impex_plan_step", job=job, step=step)
        planned = answer if isinstance(answer, PlannedStep) else PlannedStep(step.uses, answer)
        line = planned.summary
        if not isinstance(line, str) or not line or "\n" in line:
            raise hooks.invalid_answer("impex_plan_step", answer, "a line of text")
    except ImpexError as error:
        return PlannedStep(step.uses, problem=str(error))
    return replace(planned, uses=step.uses)


def _forecast(planned: PlannedTarget, job: Job, context: Context | None = None) -> Forecast:
    if planned.kept:
        note = f"delivered in {planned.target.output} (if_exists: keep)"
        return Forecast(planned, "unchanged", note=note)
    if context and (found := unchanged(job, context)):
        return Forecast(planned, "unchanged", note=found[1])
    earlier = context.state.unfinished(target_key(job)) if context else None
    if context is None or earlier is None:
        return Forecast(planned, "create")
    wanted = (tenant_of(job), fingerprint(job))
    idle = age(earlier, context.state, job.started)
    reason = reason_not_to_resume(earlier, wanted, idle, fresh=context.fresh)
    if reason := reason or reason_replaced(earlier, job, context.state):
        unused = describe_job(latest_part(earlier, context.state))
        note = f"{unused} of an earlier run is not resumed ({reason})"
        return Forecast(planned, "create", note=note)
    return Forecast(planned, "adopt", earlier.job_id, _describe(earlier, context.state))


def _describe(earlier: Attempt, state: State) -> str:
    """Return how far an unfinished attempt has got."""
    note = f"started at {earlier.intended:%Y-%m-%d %H:%M}Z"
    if parts := len(state.parts(earlier)):
        note += f", split into {parts} parts"
    elif not earlier.job_id:
        note += f", its create call got no reply; searched by {earlier.correlation_id}"
    if earlier.delivered:
        note += ", packages downloaded"
    return f"{note}, held for --approve {earlier.held}" if earlier.held else note
