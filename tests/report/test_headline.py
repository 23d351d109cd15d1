from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from spark_impex_runner.models import Outcome
from spark_impex_runner.report.headline import headline, outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from spark_impex_runner.models import RunResult, TargetResult

GOOD, BAD, KEPT, HELD = Outcome.SUCCEEDED, Outcome.FAILED, Outcome.UNCHANGED, Outcome.HELD
CODES = {BAD: 4, HELD: 9}


@pytest.mark.parametrize(
    ("outcomes", "signal", "expected"),
    [
        ([GOOD], 0, ("succeeded", "1 of 1 target succeeded")),
        ([GOOD, KEPT], 0, ("succeeded", "2 of 2 targets succeeded (1 unchanged)")),
        ([GOOD, BAD], 0, ("partial", "1 of 2 targets succeeded; t1 failed")),
        ([BAD] * 3, 0, ("failed", "0 of 3 targets succeeded; t0, t1, t2 failed")),
        ([BAD] * 5, 0, ("failed", "0 of 5 targets succeeded; t0, t1, t2 and 2 more failed")),
        ([GOOD, HELD], 0, ("held", "1 of 2 targets succeeded; t1 held")),
        ([HELD, BAD], 0, ("failed", "0 of 2 targets succeeded; t1 failed; t0 held")),
        (
            [GOOD, Outcome.CANCELLED],
            15,
            (
                "interrupted",
                "interrupted by SIGTERM: 1 of 2 targets succeeded; t1 cancelled",
            ),
        ),
    ],
)
def test_outcome_and_headline(
    target: TargetResult,
    run: Callable[..., RunResult],
    outcomes: list[Outcome],
    signal: int,
    expected: tuple[str, str],
) -> None:
    """The headline counts what succeeded and names what did not."""
    targets = [
        replace(
            target,
            outcome=each,
            exit_code=CODES.get(each, 0),
            target=replace(target.target, name=f"t{index}"),
        )
        for index, each in enumerate(outcomes)
    ]

    result = run(*targets, signal=signal)

    assert (outcome(result), headline(result)) == expected
