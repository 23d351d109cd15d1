"""Record a run in the state: when it began and ended, who started it, and what it did."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from spark_impex_runner.errors import Interrupted, StateError
from spark_impex_runner.report.data import job_ids, phase_seconds
from spark_impex_runner.state.keys import target_key_for
from spark_impex_runner.state.runs import PastRun, PastTarget

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spark_impex_runner.delivery.context import Context
    from spark_impex_runner.models import RunResult, TargetResult
    from spark_impex_runner.planning.stages import Prepared


@contextmanager
def recorded(prepared: Prepared, context: Context) -> Iterator[None]:
    """Record that a run begins, and mark it as running for the block."""
    run = prepared.run
    # The lock first: a run without an end and without a lock was killed.
    with context.state.storage.run_lease(run.id):
        by = context.actors.initiator.name
        begun = PastRun(run.id, str(run.manifest.path), run.started, started_by=by)
        context.state.begin_run(begun, _keys(prepared))
        yield


def record_end(prepared: Prepared, context: Context, finished: RunResult) -> RunResult:
    """Record how a run and its targets ended; an error there is a problem of the result."""
    pairs = zip(_keys(prepared), finished.results, strict=True)
    ended = [_past_target(key, result) for key, result in pairs]
    try:
        context.state.end_run(finished.run_id, finished.exit_code, finished.finished, ended)
    except (StateError, Interrupted) as error:
        # A lost lease is the error of each target that it ended.
        if str(error) not in {each.error for each in finished.results}:
            return replace(finished, problems=(*finished.problems, str(error)))
    return finished


def _keys(prepared: Prepared) -> list[str]:
    """Return the keys of the targets in the plan's order, which is that of the results."""
    return [target_key_for(prepared.run.manifest, item.target) for item in prepared.plan]


def _past_target(key: str, result: TargetResult) -> PastTarget:
    """Return what the state records of a result."""
    return PastTarget(
        key,
        result.outcome.value,
        result.error,
        job_ids(result),
        result.started,
        result.finished,
        phase_seconds(result),
    )
