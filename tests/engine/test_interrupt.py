"""SIGINT and SIGTERM: nothing new, the slot freed, the report written."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.models import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(("on_interrupt", "cancels"), [("cancel", 1), ("leave", 0)])
def test_an_interrupted_wait_frees_the_slot_as_the_target_says(
    run: Any, serve: Callable[..., Any], tmp_path: Path, on_interrupt: str, cancels: int
) -> None:
    """The wait ends at once; other targets are not started; the report holds it all."""
    sandbox, file = serve(job_seconds=1000), tmp_path / "report.json"
    run.clock.at_wait = lambda elapsed: elapsed > 10 and run.clock.stop(signal.SIGTERM)
    targets = (
        f"- {{name: a, folders: [life], on_interrupt: {on_interrupt}}}\n"
        "- {name: b, folders: [life], needs: [a]}"
    )

    result = run(sandbox, targets, reports={"json": file})

    assert [r.outcome for r in result.results] == [Outcome.CANCELLED, Outcome.CANCELLED]
    assert result.exit_code == 143
    assert len([r for r in sandbox.requests if r.method == "PATCH"]) == cancels
    assert len([r for r in sandbox.requests if r.method == "POST"]) == 1
    assert json.loads(file.read_text())["signal"] == signal.SIGTERM


def test_an_interrupt_before_the_first_job_creates_none(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """A stop that came early sends nothing at all."""
    sandbox = serve()
    run.clock.stop(signal.SIGINT)

    result = run(sandbox, "- {name: a, folders: [life]}")

    assert (only(result).outcome, result.exit_code) == (Outcome.CANCELLED, 130)
    assert not [r for r in sandbox.requests if r.method == "POST"]
