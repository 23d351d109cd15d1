"""What a run would do, as its memory tells: create a job, adopt an earlier one, or nothing."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from spark_impex_runner.engine.attempt import fingerprint, key, why_not
from spark_impex_runner.engine.prepare import new_job, state_folder
from spark_impex_runner.models import Forecast
from spark_impex_runner.state.store import State, exists

if TYPE_CHECKING:
    from spark_impex_runner.clock import Clock
    from spark_impex_runner.engine.prepare import Prepared
    from spark_impex_runner.models import Job, Planned, RunOptions
    from spark_impex_runner.state.store import Attempt


def forecast(prepared: Prepared, options: RunOptions, clock: Clock) -> tuple[Forecast, ...]:
    """Return what a run of the plan would do now. No tenant is asked, and nothing begins."""
    folder = state_folder(prepared.run.manifest.path, options)
    if not exists(folder):
        return tuple(_fresh(item, "") for item in prepared.plan)
    with closing(State(folder)) as state:
        jobs = [new_job(item, prepared, clock) for item in prepared.plan]
        earlier = [state.unfinished(key(job)) for job in jobs]
    return tuple(
        _forecast(planned, job, attempt, options)
        for planned, job, attempt in zip(prepared.plan, jobs, earlier, strict=True)
    )


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
