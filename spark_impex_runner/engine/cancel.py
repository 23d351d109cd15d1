"""Ending the jobs that earlier runs left on a tenant."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_impex_runner.engine.attempt import key_of
from spark_impex_runner.engine.context import Context
from spark_impex_runner.engine.creation import Creation
from spark_impex_runner.engine.plan import plan_target
from spark_impex_runner.engine.prepare import Prepared, connect, new_job, state_folder
from spark_impex_runner.engine.weather import forgotten
from spark_impex_runner.errors import ImpexError, SparkError
from spark_impex_runner.state.lease import lease
from spark_impex_runner.state.store import State

if TYPE_CHECKING:
    from pathlib import Path

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.models import RunOptions, Target
    from spark_impex_runner.spark.client import Spark
    from spark_impex_runner.state.store import Attempt


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What became of one unfinished attempt; ``error`` is empty where the slot is free now."""

    target: str
    job_id: str
    error: str = ""


def cancel_jobs(
    path: Path, options: RunOptions, clock: Clock, masker: Masker
) -> tuple[Cancelled, ...]:
    """Cancel the job of every chosen target that is not finished, and close its attempt.

    Raises what ``connect`` raises. A target that another runner works on is an error of its own.
    """
    with (
        connect(path, options, clock, masker) as prepared,
        closing(State(state_folder(path, options))) as state,
    ):
        context = Context(prepared.hooks, clock, state, masker)
        done = [_cancel(target, prepared, context) for target in prepared.run.targets]
        return tuple(each for each in done if each is not None)


def _cancel(target: Target, prepared: Prepared, context: Context) -> Cancelled | None:
    name = key_of(prepared.run.manifest, target)
    attempt = context.state.unfinished(name)
    if attempt is None:
        return None
    spark = prepared.tenants.connect(target.connection)
    if attempt.tenant != spark.url:
        told = f"it belongs to {attempt.tenant}, the manifest now names {spark.url}"
        return Cancelled(target.name, attempt.job_id, told)
    job_id = attempt.job_id
    try:
        with lease(context.state.folder, name, context.clock.now()):
            job_id = job_id or _find(target, prepared, context, attempt)
            if job_id:
                _cancel_job(spark, job_id)
            now = context.clock.now()
            context.state.finish(attempt, "cancelled", "by impex cancel", now)
    except ImpexError as error:
        return Cancelled(target.name, job_id, context.masker.mask(str(error)))
    return Cancelled(target.name, job_id)


def _find(target: Target, prepared: Prepared, context: Context, attempt: Attempt) -> str:
    """Look for a job whose id was lost with the reply to its create call."""
    planned = plan_target(target, prepared.run, prepared.hooks)
    job = new_job(planned, prepared, context.clock)
    spark = prepared.tenants.connect(target.connection)
    return Creation(job, spark, context, attempt).find()


def _cancel_job(spark: Spark, job_id: str) -> None:
    """Ask the tenant; a job that it does not know holds no slot."""
    try:
        spark.impex.exports.cancel(job_id)
    except SparkError as error:
        if not forgotten(error):
            raise
