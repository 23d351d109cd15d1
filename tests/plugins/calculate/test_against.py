"""A release is compared with another one, such as what PROD has; an approver reads what moved."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from spark_impex_runner.plugins import calculate as plugin

from spark_impex_runner import Registry
from spark_impex_runner.errors import StepError
from spark_impex_runner.models import Step, Target

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

    from spark_impex_runner.models import Artifact, Job

    Compare = Callable[..., str]

HEADER = "case,age,sum_insured,smoker"
CASES = f"{HEADER}\na,47,33515.1,1\nb,20,1000,0\nc,20,1000,1\n"


@pytest.fixture
def compare(
    toys: ModuleType, calculate: Callable[..., str], package_of: Callable[..., Artifact]
) -> Compare:
    """Return a function that compares a toy, or the new version, with an old one."""

    def call(old: Any = None, new: Any = None, cases: str = CASES, **options: Any) -> str:
        package_of({"life/term/0.9.0": old or toys.life("0.45")}, "old.zip")
        path = options.pop("path", "out/old.zip")
        return calculate(new or toys.life("0.50"), cases, against=path, **options)

    return call


def failure(compare: Compare, *arguments: Any, **options: Any) -> str:
    """Return the message of a step that fails."""
    with pytest.raises(StepError) as error:
        compare(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_moved_results_are_reported(compare: Compare, toys: ModuleType) -> None:
    """The number, the largest move with its case, and both modules."""
    message = compare()

    old = hashlib.sha256(toys.life("0.45").files()["model.wasm"]).hexdigest()
    assert (
        "3 of 3 cases were calculated; no output is expected; 2 of 3 results moved from "
        "life/term[0.9.0], +3.45 % at most (case a) (cases sha256 "
    ) in message
    assert message.endswith(f"against module sha256 {old}, compiler Neuron_v1.22.3)")


def test_tolerances_hide_no_move(compare: Compare) -> None:
    """They are for expected outputs; an approver has to know of every number that moves."""
    assert "2 of 3 results moved" in compare(tolerance={"relative": 0.5})


def test_equal_release_moves_nothing(compare: Compare, toys: ModuleType) -> None:
    """In words, so that it cannot be missed."""
    assert "; none of 3 results moved from life/term[0.9.0] (" in compare(toys.life("0.50"))


def test_new_errors_are_counted(compare: Compare, toys: ModuleType) -> None:
    """A number that became an error value has no size."""
    new = toys.life("0.45")
    new.outputs["rate"] = "(f64.const nan)"
    cases = f"{HEADER},expected.rate\na,47,1,1,#VALUE!\n"

    assert "1 of 1 results moved from life/term[0.9.0], rate 3.2 -> #VALUE! (case a), 1 " in (
        compare(new=new, cases=cases)
    )


def test_other_outputs_are_named(compare: Compare, toys: ModuleType) -> None:
    """They cannot be compared."""
    new = toys.life("0.45")
    new.outputs["tax"] = "(f64.const 1)"

    assert "not compared: tax, only in one of them (" in compare(new=new)


def test_service_of_another_name(compare: Compare) -> None:
    """As for impex diff; by default the one of the same name, whatever its version."""
    assert "2 of 3" in compare(path="out/old.zip::life/term[0.9.0]")
    assert "holds no life/trem, but life/term[0.9.0]" in failure(
        compare, path="out/old.zip::life/trem"
    )


def test_saved_defaults_on_request(compare: Compare) -> None:
    """On both sides."""
    cases = "age,smoker\n47,1\n"

    assert "1 of 1 results moved" in compare(cases=cases, missing_inputs="default")


def test_uncalculated_cases_fail(compare: Compare, toys: ModuleType) -> None:
    """A result that is not known has not stayed the same."""
    old = toys.life("0.45")
    old.begin = "(if (f64.eq (local.get $smoker) (f64.const 1)) (then (unreachable)))"

    message = failure(compare, old)

    assert "against: 2 cases not calculated with life/term[0.9.0]: case a: the module f" in message


def test_uncalculable_release_fails(compare: Compare, toys: ModuleType) -> None:
    """Unless that is to be skipped, by name."""
    old = toys.life("0.45")
    old.is_async = 1

    reason = "OLD (life/term[0.9.0]): the service calls other services (Xcall)"
    assert f"against: cannot be calculated here: {reason}" in failure(compare, old)
    skipped = compare(old, uncalculable="skip")
    assert f"no output is expected; not compared: {reason} (cases sha256" in skipped


def regional(toys: ModuleType, loading: str) -> Any:
    """Return the toy with one input more, which adds its value to the premium; saved is 0."""
    toy = toys.life(loading)
    toy.inputs["region"] = 0.0
    toy.outputs["premium"] = f"(f64.add (local.get $region) {toy.outputs['premium']})"
    return toy


def test_new_input_takes_its_saved_default(compare: Compare, toys: ModuleType) -> None:
    """Then a result that moves has another reason; the cases themselves have values for it."""
    rows = [f"{row},{'region' if row == HEADER else 7}" for row in CASES.split()]
    cases = "\n".join(rows)
    saved = "with the saved default of region, an input of only one of them"
    moves = "; 2 of 3 results moved from life/term[0.9.0], +3.45 % at most (case a), "

    same = compare(toys.life("0.45"), regional(toys, "0.45"), cases)
    moved = compare(toys.life("0.45"), regional(toys, "0.50"), cases)
    removed = compare(regional(toys, "0.45"), toys.life("0.50"))

    assert f"; none of 3 results moved from life/term[0.9.0], {saved} (cases" in same
    assert moves + saved in moved
    assert moves + saved in removed


def test_missing_common_input_still_fails(compare: Compare, toys: ModuleType) -> None:
    """Only an input that one of the two does not have may be left out."""
    cases = "age,smoker,region\n47,1,1\n"

    assert "case 1: there is no input sum_insured" in failure(
        compare, toys.life("0.45"), regional(toys, "0.45"), cases
    )


def test_random_outputs_are_named(compare: Compare, toys: ModuleType) -> None:
    """Of either release: what is not compared has not stayed the same."""
    old = toys.life("0.45")
    old.imports = {"_getentropy": '(import "a" "i0" (func $entropy (param i32 i32) (result i32)))'}
    old.begin = "(drop (call $entropy (i32.const 6000) (i32.const 4)))"
    old.outputs["rate"] = "(f64.convert_i32_u (i32.load8_u (i32.const 6000)))"

    assert "+3.45 % at most (case a), not compared, since random: rate (" in compare(old)


def test_missing_or_changed_folder_fails(compare: Compare, tmp_path: Path) -> None:
    """A folder is verified by its receipt, as by impex diff."""
    (tmp_path / "empty").mkdir()

    assert "there is no such file or folder" in failure(compare, path="exports/none")
    assert "holds neither impex-receipt.json nor" in failure(compare, path="empty")


@pytest.mark.parametrize("needs", [(), ("on-prod",)])
def test_output_of_a_target_must_be_needed(
    needs: tuple[str, ...], make_job: Callable[..., Job], package: Artifact, tmp_path: Path
) -> None:
    """Else the two may run in any order."""
    job = make_job(package)
    (tmp_path / "cases.csv").write_text(CASES)
    other = Target("on-prod", "prod", tmp_path / "exports" / "on-prod")
    manifest = replace(job.run.manifest, targets=(job.target, other))
    job = replace(
        job, run=replace(job.run, manifest=manifest), target=replace(job.target, needs=needs)
    )
    step = Step("calculate", {"cases": "cases.csv", "against": "exports/on-prod"})

    if needs:
        text = "calculate 3 cases of cases.csv, at 2026-01-01; compare with exports/on-prod"
        assert plugin.impex_plan_step(job, step) == text
        return
    with pytest.raises(StepError, match=r"the output of target on-prod, .* add needs: \[on-prod\]"):
        plugin.impex_plan_step(job, step)


def test_url_is_refused_before_the_run() -> None:
    """Only what is on this machine is calculated."""
    registry = Registry()
    plugin.impex_register(registry)

    check = registry.steps["calculate"].check

    assert check({"against": "exports/on-prod::life/term", "cases": "c.csv"}) == ""
    assert check({"against": "exports/on-prod"}).startswith("against: needs cases")
    assert check({"against": "s3://bucket/on-prod", "cases": "c.csv"}).startswith(
        "against: 's3://bucket/on-prod' is a URL, not a local path; download it first"
    )
