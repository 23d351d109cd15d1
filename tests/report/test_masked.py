from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from spark_impex_runner.hooks.manager import make_plugin_manager
from spark_impex_runner.masking import Masker
from spark_impex_runner.models import StepResult
from spark_impex_runner.report.masked import masked

if TYPE_CHECKING:
    from collections.abc import Callable

    from spark_impex_runner.models import RunResult, TargetResult

FORMATS = {name: each.write for name, each in make_plugin_manager().registry.reports.items()}
SECRET = 'p"<&é word'


@pytest.mark.parametrize("name", FORMATS)
def test_a_secret_is_in_no_report(
    target: TargetResult, run: Callable[..., RunResult], name: str
) -> None:
    """Not even one whose characters a format writes in another way."""
    step = StepResult("upload", "warned", 0.1, f"refused {SECRET}")
    result = run(replace(target, error=f"no {SECRET}", warnings=(SECRET,), steps=(step,)))
    masker = Masker()
    masker.add(SECRET)

    clean = masked(result, masker)

    # Text, or its pieces.
    text = "".join(FORMATS[name](clean))
    assert text == "".join(FORMATS[name](masked(clean, masker)))
    assert "word" not in text
    # That has numbers, and the names of the manifest and its targets.
    assert "***" in text or name == "prometheus"


def test_nothing_else_changes(every_outcome: RunResult) -> None:
    """Without secrets the result is the same; outcomes and numbers are never masked."""
    masker = Masker()
    assert masked(every_outcome, masker) == every_outcome

    masker.add("failed")

    assert [each.outcome for each in masked(every_outcome, masker).results] == [
        each.outcome for each in every_outcome.results
    ]


def test_only_secret_values_are_copied(target: TargetResult, run: Callable[..., RunResult]) -> None:
    """Ten thousand targets are not copied for one; digests do not count for equality, yet here."""
    masker = Masker()
    masker.add(SECRET)
    package = replace(target.artifacts[0], digests={"note": SECRET})

    clean = masked(run(target, replace(target, artifacts=(package,))), masker)

    assert clean.results[0] is target
    assert clean.results[1].artifacts[0].digests == {"note": "***"}
