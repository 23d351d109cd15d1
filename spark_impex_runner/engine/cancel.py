"""Cancel the jobs that earlier runs left on a tenant."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from spark_impex_runner.delivery.attempt import OpenedAttempt
from spark_impex_runner.delivery.context import Context
from spark_impex_runner.delivery.create import JobCreator
from spark_impex_runner.delivery.progress import TargetProgress
from spark_impex_runner.engine.tenant_jobs import asked, connections_of, list_jobs
from spark_impex_runner.errors import ImpexError, Interrupted, SparkError, StateError
from spark_impex_runner.models import PlannedTarget, Verdict
from spark_impex_runner.planning.labels import Relation
from spark_impex_runner.planning.locations import state_place
from spark_impex_runner.planning.plan import plan_target
from spark_impex_runner.planning.prepare import connect, new_job
from spark_impex_runner.spark.failures import is_unknown_job
from spark_impex_runner.spark.http.retry import confirmed
from spark_impex_runner.state.keys import target_key_for
from spark_impex_runner.state.models import part_key
from spark_impex_runner.state.opening import existing_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.engine.tenant_jobs import TenantJob, TenantJobs
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.models import Request, RunOptions, RunResult, Target
    from spark_impex_runner.planning.stages import Prepared
    from spark_impex_runner.spark.client import Spark
    from spark_impex_runner.state.models import Attempt
    from spark_impex_runner.state.place import StatePlace
    from spark_impex_runner.state.store import State


@dataclass(frozen=True, slots=True)
class CancelledJob:
    """The result for one unfinished attempt; without ``error`` its slot on the tenant is free.

    A ``note`` says why nothing was done, or what is left to do. ``connection`` is that of a job
    which was left alone, and which its id alone cancels.
    """

    target: str
    job_id: str
    error: str = ""
    note: str = ""
    connection: str = ""


@dataclass(frozen=True, slots=True)
class Cancellation:
    """The results for the targets of one manifest.

    Attributes:
        jobs: One for each job, and for each tenant that could not be asked.
        tenants: The addresses of the tenants that were asked, without the state.
        has_state: Whether there is a state.
    """

    jobs: tuple[CancelledJob, ...]
    tenants: tuple[str, ...]
    has_state: bool


def cancel_jobs(path: Path, options: RunOptions, clock: Clock, masker: Masker) -> Cancellation:
    """Cancel the unfinished job of every chosen target, and close its attempt.

    A target without an attempt in the state may have a job all the same: its tenant is asked.
    Raises what ``connect`` raises. A target that another runner holds is an error in the result.
    """
    with connect(path, options, clock, masker) as prepared:
        state = existing_state(state_place(path, options), clock)
        known, others = list[CancelledJob](), prepared.run.targets
        if state:
            with closing(state):
                known, others = _cancel_known(prepared, Context.of(prepared, state, options))
        tenants = list_jobs(prepared, connections_of(others), recent=False)
        found = _cancel_running(others, tenants, prepared)
        return Cancellation((*known, *found), asked(tenants), has_state=bool(state))


def _cancel_known(
    prepared: Prepared, context: Context
) -> tuple[list[CancelledJob], tuple[Target, ...]]:
    """Cancel the jobs in the state; return what was done, and the targets without an attempt."""
    targets, manifest = prepared.run.targets, prepared.run.manifest
    context.state.storage.prefetch([target_key_for(manifest, each) for each in targets])
    results = [_cancel(each, prepared, context) for each in targets]
    both = zip(targets, results, strict=True)
    others = tuple(target for target, cancelled in both if not cancelled)
    return list(chain(*results)), others


def _cancel_running(
    targets: Sequence[Target], tenants: Sequence[TenantJobs], prepared: Prepared
) -> Iterator[CancelledJob]:
    """Cancel the running jobs of targets that the state does not know, as their tenants list them.

    Yields also why jobs are left alone, and which tenants could not be asked.
    """
    selected = {each.name for each in targets}
    mask = prepared.connections.masker.mask
    for tenant in tenants:
        if tenant.error:
            yield CancelledJob(tenant.connection, "", mask(str(tenant.error)))
        for job in tenant.jobs:
            if job.unread:
                yield CancelledJob(tenant.connection, job.listed.id, mask(job.unread))
            elif job.target in selected and job.is_current:
                client = prepared.connections.client(tenant.connection)
                yield _cancelled(job.target, job.listed.id, client, mask)
            elif job.target in selected:
                note, place = _why_left(job), tenant.connection
                yield CancelledJob(job.target, job.listed.id, note=note, connection=place)
        if note := tenant.listing.unlisted_note:
            yield CancelledJob(tenant.connection, "", note=note)


def _why_left(job: TenantJob) -> str:
    if job.relation is Relation.OTHER:
        return "it exports another request"
    return "perhaps its job: only its correlation id is the same"


def cancel_by_id(job_id: str, clients: Mapping[str, Spark]) -> CancelledJob:
    """Cancel one job on the first of some tenants that knows it.

    If none does, the error names the tenants that could not be asked.
    """
    asked, unasked = [], []
    for name, spark in clients.items():
        try:
            status = spark.impex.exports.status(job_id)
        except SparkError as error:
            if is_unknown_job(error):
                asked.append(spark.url)
            else:
                unasked.append(f"{name} cannot be asked: {error}")
            continue
        if spark.impex.exports.judge(status) is not Verdict.PENDING:
            return CancelledJob(name, job_id, note=f"it has ended already ({status.status})")
        spark.impex.exports.cancel(job_id)
        return CancelledJob(name, job_id)
    unknown = [f"no such job on {', '.join(asked)}"] if asked else []
    return CancelledJob(next(iter(clients)), job_id, "; ".join([*unknown, *unasked]))


def close_cancelled(job_id: str, path: Path, options: RunOptions, clock: Clock) -> str:
    """Close the open attempt of a job that was cancelled by its id, if the state has one.

    Returns a note if it stays open, as while a run works on it.
    """
    try:
        _close_attempt(job_id, state_place(path, options), clock)
    except StateError as error:
        return f"cancelled; the run that works on it closes its attempt ({error})"
    return ""


def _close_attempt(job_id: str, place: StatePlace, clock: Clock) -> None:
    state = existing_state(place, clock)
    if state is None:
        return
    with closing(state):
        found = state.owner(job_id)
        if found and found.finished is None and found.part_of is None:
            with state.storage.lease(found.target, clock.now()):
                # Read again: the attempt may have ended meanwhile, and numbers of rows changed.
                attempt = state.unfinished(found.target)
                if attempt and attempt.job_id == job_id:
                    state.finish(attempt, "cancelled", "by impex cancel", clock.now())


def _cancelled(target: str, job_id: str, spark: Spark, mask: Callable[[str], str]) -> CancelledJob:
    try:
        _cancel_job(spark, job_id)
    except SparkError as error:
        return CancelledJob(target, job_id, mask(str(error)))
    return CancelledJob(target, job_id)


def may_have_running_jobs(run: RunResult, options: RunOptions, clock: Clock) -> bool:
    """Return whether a job of a run's targets may still run, according to the state."""
    try:
        found = existing_state(state_place(run.manifest.path, options), clock)
        if found is None:
            return False
        with closing(found) as state:
            names = (target_key_for(run.manifest, each.target) for each in run.results)
            attempts = (state.unfinished(name) for name in names)
            return any(each and any(_unfinished_jobs(each, "", state)) for each in attempts)
    except (StateError, Interrupted):
        return True


def _cancel(target: Target, prepared: Prepared, context: Context) -> list[CancelledJob]:
    """Cancel the jobs of a target, and close its attempt if all of them have ended."""
    name, job_id = target_key_for(prepared.run.manifest, target), ""
    try:
        attempt = context.state.unfinished(name)
        if attempt is None:
            return []
        job_id = attempt.job_id
        with context.state.storage.lease(name, context.clock.now()):
            # Read again: the attempt may have ended meanwhile, and numbers of rows changed.
            attempt = context.state.unfinished(name)
            return _cancel_attempt(attempt, target, prepared, context) if attempt else []
    except ImpexError as error:
        return [CancelledJob(target.name, job_id, context.masker.mask(str(error)))]


def _cancel_attempt(
    attempt: Attempt, target: Target, prepared: Prepared, context: Context
) -> list[CancelledJob]:
    """Cancel the jobs of an attempt, whose target is locked, and close it if all have ended."""
    spark = prepared.connections.client(target.connection)
    if attempt.tenant != spark.identity:
        error = f"it runs on {attempt.tenant}, the manifest now names {spark.identity}"
        return [CancelledJob(target.name, attempt.job_id, error)]
    jobs = _unfinished_jobs(attempt, target.name, context.state)
    results = [_cancel_one(each, target, prepared, context) for each in jobs]
    if not any(each.error for each in results):
        context.state.finish(attempt, "cancelled", "by impex cancel", context.clock.now())
    return results or [CancelledJob(target.name, "")]


@dataclass(frozen=True, slots=True)
class _UnfinishedJob:
    """A job that may still run; ``request`` is set for a part, whose request the state holds."""

    label: str
    attempt: Attempt
    request: Request | None = None


def _unfinished_jobs(attempt: Attempt, target: str, state: State) -> Iterator[_UnfinishedJob]:
    """Yield the job of a target, or, where it was split, those of its parts."""
    parts = state.parts(attempt)
    if not parts and not attempt.delivered:
        yield _UnfinishedJob(target, attempt)
    begun = {each.target: each for each in state.open_parts(attempt)}
    for part in parts:
        found = begun.get(part_key(attempt.target, part.name))
        if found and not found.delivered:
            yield _UnfinishedJob(part_key(target, part.name), found, part.request)


def _cancel_one(
    job: _UnfinishedJob, target: Target, prepared: Prepared, context: Context
) -> CancelledJob:
    """Cancel one job, after looking for its id if the reply to its create call was lost."""
    job_id = job.attempt.job_id
    try:
        job_id = job_id or _find_lost_job(job, target, prepared, context)
        if job_id:
            _cancel_job(prepared.connections.client(target.connection), job_id)
    except ImpexError as error:
        return CancelledJob(job.label, job_id, context.masker.mask(str(error)))
    return CancelledJob(job.label, job_id)


def _find_lost_job(
    unfinished: _UnfinishedJob, target: Target, prepared: Prepared, context: Context
) -> str:
    """Return the id of a job whose create call had no reply, empty if there is no such job."""
    # Planned only here: resolving the entries may ask the tenant.
    request = unfinished.request or plan_target(target, prepared.run, prepared.hooks).request
    job = new_job(PlannedTarget(target, request, "", ""), prepared, context.clock)
    spark = prepared.connections.client(target.connection)
    progress = TargetProgress(job, context)
    progress.open(OpenedAttempt(unfinished.attempt, adopted=True))
    # Two answers have to agree that there is none: afterwards nothing looks for the job again.
    return confirmed(JobCreator(progress, spark).find, context.clock)


def _cancel_job(spark: Spark, job_id: str) -> None:
    """Cancel a job; one that the tenant does not know, in two answers, holds no slot."""
    for _ in range(2):
        try:
            spark.impex.exports.cancel(job_id)
        except SparkError as error:
            if not is_unknown_job(error):
                raise
        else:
            return
