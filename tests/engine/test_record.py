"""The state has what the result of a run says."""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.state.opening import open_state

if TYPE_CHECKING:
    from collections.abc import Callable

TARGETS = """
    - {name: a, folders: [life, motor]}
    - {name: b, services: [motor/none]}
    - {name: c, needs: [b], folders: [life]}
"""


def test_record_equals_result(run: Any, serve: Callable[..., Any]) -> None:
    """Outcome, error, jobs, times and phases of each target, those of parts added up."""
    sandbox = serve(size_limit=6000, over_limit="refuse", job_seconds=20)

    result = run(sandbox, TARGETS)

    with closing(open_state(run.folder / ".impex")) as state:
        [past] = state.runs.last(9)
        targets = state.runs.targets(past.id)
    assert (past.id, past.exit_code) == (result.run_id, result.exit_code)
    assert (past.started, past.finished) == (result.started, result.finished)
    assert [each.target for each in targets] == ["manifest/a", "manifest/b", "manifest/c"]
    for each, done in zip(targets, result.results, strict=True):
        phases: dict[str, float] = defaultdict(float)
        for phase in done.phases:
            phases[phase.name] += round((phase.finished - phase.started).total_seconds(), 3)
        assert (each.outcome, each.error) == (done.outcome.value, done.error)
        assert (each.job_ids, each.started, each.finished) == (
            done.job_ids,
            done.started,
            done.finished,
        )
        assert each.phases == pytest.approx(phases, abs=0.01)
    assert len(targets[0].job_ids) > 1
    assert targets[0].phases["running"] >= 40
