"""The results of targets that a worker ended before it died, as the state has recorded them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.errors import DeliveryError
from spark_impex_runner.models import Outcome, TargetResult
from spark_impex_runner.report import receipt
from spark_impex_runner.state.keys import target_key

if TYPE_CHECKING:
    from spark_impex_runner.delivery.context import Context
    from spark_impex_runner.models import Job

_OUTCOMES = {each.value for each in Outcome}
# What stands for the name of a machine that is gone.
_DEAD = "the machine of a worker that died"


def recorded_result(job: Job, context: Context) -> TargetResult | None:
    """Return how a target ended in this run; None if no worker has brought it to an end.

    A unit that is run again must not start a second job for it.
    """
    attempt = context.state.ended_by(job.run.id, target_key(job))
    if attempt is None or attempt.outcome not in _OUTCOMES:
        return None
    outcome, state = Outcome(attempt.outcome), context.state
    steps = sorted(state.steps(attempt).items())
    return TargetResult(
        target=job.target,
        outcome=outcome,
        started=attempt.intended,
        finished=attempt.finished or attempt.intended,
        tenant=job.tenant,
        job_id=attempt.job_id,
        request=job.request,
        services=attempt.services,
        service_versions=attempt.service_versions,
        artifacts=state.artifacts(attempt),
        steps=tuple(step for (position, _), step in steps if position >= 0),
        error=attempt.error,
        exit_code=DeliveryError.exit_code if outcome is Outcome.FAILED else 0,
        host="" if _is_here(job) else _DEAD,
    )


def _is_here(job: Job) -> bool:
    """Return whether the output holds the receipt of this very run."""
    try:
        return bool(receipt.read(job.target.output)["run_id"] == job.run.id)
    except (OSError, ValueError, LookupError):
        return False
