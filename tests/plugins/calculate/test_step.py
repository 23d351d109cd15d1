"""The step calculates a package's module with cases, and passes only what was calculated."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from spark_impex_runner.plugins import calculate as plugin
from spark_impex_runner.plugins.calculate import calculation, step

from spark_impex_runner.errors import StepError
from spark_impex_runner.models import Step

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

    from spark_impex_runner.models import Artifact, Job

    Calculate = Callable[..., str]

HEADER = "age,sum_insured,smoker"
CASES = f"{HEADER},expected.premium\n47,33515.1,1,155.51\n20,1000,0,1.1\n"


@pytest.fixture
def life(toys: ModuleType) -> Any:
    """Return the toy: a premium by age, sum insured and smoking."""
    return toys.life("0.45")


def failure(calculate: Calculate, *arguments: Any, **options: Any) -> str:
    """Return the message of a step that fails."""
    with pytest.raises(StepError) as error:
        calculate(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_agreeing_cases_are_evidence(life: Any, calculate: Calculate) -> None:
    """The message names cases, module, engine, compiler and clock."""
    message = calculate(life, CASES)

    sha256 = hashlib.sha256(CASES.encode()).hexdigest()
    module = hashlib.sha256(life.files()["model.wasm"]).hexdigest()
    assert message.startswith(
        f"life/term[1.0.0]: 2 of 2 cases agreed (cases sha256 {sha256}, module sha256 {module}, "
        "engine wasmtime "
    )
    assert message.endswith("compiler Neuron_v1.22.3, clock 2026-01-01)")


def test_differing_case_is_described(life: Any, calculate: Calculate) -> None:
    """Case, output, expected, got, and both differences."""
    text = CASES.replace("155.51", "155.511")

    assert (
        "1 of 2 cases failed: case 1: premium: expected 155.511, got 155.51 "
        "(-0.001, -0.000643 %) (cases sha256"
    ) in failure(calculate, life, text)
    assert "2 of 2 cases agreed" in calculate(life, text, tolerance={"absolute": 0.005})
    assert "2 of 2 cases agreed" in calculate(
        life, text, outputs={"Premium": {"decimals": 2}}, tolerance={"exact": True}
    )


def test_only_ten_failures_in_full(life: Any, calculate: Calculate, output: Path) -> None:
    """The others are counted, and all are in the results."""
    rows = "".join(f"20,{number},0,9\n" for number in range(1, 13))
    text = f"{HEADER},expected.premium\n{rows}"

    message = failure(calculate, life, text, results="results.jsonl", show_inputs=False)

    assert "12 of 12 cases failed" in message
    assert message.count("expected 9") == 10
    assert "; and 2 cases more (" in message
    lines = [json.loads(line) for line in (output / "results.jsonl").read_text().splitlines()]
    assert len(lines) == 12
    assert lines[11] == {
        "case": "12",
        "status": "differs",
        "outputs": {"premium": 0.01, "rate": 1.1},
        "differences": [{"output": "premium", "expected": 9, "got": 0.01}],
    }


def test_results_are_an_artifact(
    life: Any, make_job: Callable[..., Job], package_of: Callable[..., Artifact], tmp_path: Path
) -> None:
    """With the hash that the receipt states."""
    package = package_of({"life/term/1.0.0": life})
    (tmp_path / "cases.csv").write_text(CASES)
    options = {"cases": "cases.csv", "results": "results.jsonl"}

    made = plugin.impex_run_step(make_job(package), Step("calculate", options), package)

    assert made
    [artifact] = made.artifacts
    assert artifact.sha256 == hashlib.sha256(artifact.path.read_bytes()).hexdigest()
    assert json.loads(artifact.path.read_text().splitlines()[0])["inputs"]["age"] == 47


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("age,sum_insurd,smoker\n1,2,0\n", "the service has no input sum_insurd (did you mean"),
        ("age,sum_insured\n1,2\n", "case 1: there is no input smoker; give it, or set missing_i"),
        ("age,sum_insured,smoker,Smoker\n1,2,0,0\n", "smoker and Smoker are given twice"),
        (f"{HEADER}\n1,,0\n", "line 2: sum_insured is empty"),
        (f"{HEADER},expected.premum\n1,2,0,1\n", "the service has no output premum (did you"),
        (f"{HEADER}\n1,99999999999999999999,0\n", "case 1: premium: got no value (overflow)"),
        (f"{HEADER}\nx,1,0\n", "case 1: premium: got #VALUE!; case 1: rate: got #VALUE!"),
        (f"{HEADER},expected.premium\nx,1,0,1\n", "premium: expected 1, got #VALUE! (cases"),
        (f"{HEADER},expected.premium\n20,1000,0,#N/A\n", "premium: expected #N/A, got 1.1 (c"),
        (f"{HEADER},expected.premium\n20,1000,0,TRUE\n", "premium: expected 'TRUE', got 1.1"),
    ],
)
def test_wrong_cases_are_never_green(
    text: str, reason: str, life: Any, calculate: Calculate
) -> None:
    """Each mistake that the module itself answers in silence has a line of its own."""
    assert reason in failure(calculate, life, text)


def test_missing_inputs_on_request(life: Any, calculate: Calculate) -> None:
    """Then the saved defaults count; expected errors do, too."""
    text = f"{HEADER},expected.premium\n,1000,,1.65\nx,1000,,#VALUE!\n"

    message = calculate(life, text, empty="default", missing_inputs="default")

    assert "2 of 2 cases agreed" in message


def test_names_in_any_letter_case(life: Any, calculate: Calculate) -> None:
    """As the module reads them."""
    assert "2 of 2 cases agreed" in calculate(life, CASES.replace("age", "AGE"))


def test_without_cases_a_smoke_test(life: Any, toys: ModuleType, calculate: Calculate) -> None:
    """The saved default inputs are calculated; an error value in them fails."""
    broken = toys.life("0.45")
    broken.outputs["premium"] = "(f64.const nan)"

    assert "the saved default inputs were calculated; nothing was compared" in calculate(life)
    assert "case default: premium: got #VALUE!" in failure(calculate, broken)


def test_kept_values_are_noticed(
    life: Any, calculate: Calculate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What such an instance has answered does not count; the next block begins with a new one."""
    monkeypatch.setattr(calculation, "BLOCK", 2)
    life.functions = "(global $kept (mut f64) (f64.const 0))"
    life.begin = (
        "(if (f64.gt (local.get $age) (f64.const 90)) (then (global.set $kept (f64.const 1))))"
    )
    life.outputs["rate"] = f"(f64.add (global.get $kept) {life.outputs['rate']})"
    text = f"{HEADER}\n20,1,0\n99,2,0\n20,3,0\n20,4,0\n"

    message = failure(calculate, life, text)

    assert "2 of 4 cases failed" in message
    assert "case 1: the default case has another answer after these cases than before" in message
    assert "case 3" not in message


def test_random_outputs_are_not_compared(life: Any, calculate: Calculate) -> None:
    """Unless they are listed; then they are the same in each run."""
    life.imports = {"_getentropy": '(import "a" "i0" (func $entropy (param i32 i32) (result i32)))'}
    life.begin = "(drop (call $entropy (i32.const 6000) (i32.const 4)))"
    life.outputs["rate"] = "(f64.convert_i32_u (i32.load8_u (i32.const 6000)))"
    text = CASES.replace("premium", "rate")

    message = calculate(life, CASES)
    listed = failure(calculate, life, text, outputs={"Rate": {"exact": True}})

    assert "2 of 2 cases agreed" in message
    assert message.endswith("not compared, since random: rate)")
    assert "case 1: rate: expected 155.51, got" in listed
    assert "since random" not in listed
    assert listed == failure(calculate, life, text, outputs={"Rate": {"exact": True}})
    assert "2 of 2 cases failed: case 1: rate depends on random numbers, so no value can be" in (
        failure(calculate, life, text)
    )


def test_clock_is_fixed(life: Any, calculate: Calculate) -> None:
    """At the start of 2026, or as the option says."""
    life.imports = {"_emscripten_date_now": '(import "a" "i0" (func $now (result f64)))'}
    life.outputs["rate"] = "(f64.div (call $now) (f64.const 1000))"
    text = f"{HEADER},expected.rate\n20,1,0,{{}}\n"

    message = calculate(life, text.format(1767225600))
    at = "2024-02-29T12:30:00"

    assert message.endswith("clock 2026-01-01, depends on the clock: rate)")
    assert "agreed" in calculate(life, text.format(1709209800), at=at)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"is_async": 1}, "the service calls other services (Xcall)"),
        ({"start": "(unreachable)"}, "the module failed"),
    ],
)
def test_uncalculable_is_no_success(
    change: dict[str, Any], reason: str, life: Any, calculate: Calculate
) -> None:
    """It fails, or is skipped by name on request."""
    for name, value in change.items():
        setattr(life, name, value)

    message = failure(calculate, life, CASES)

    assert message.startswith("life/term[1.0.0] cannot be calculated here: ")
    assert reason in message
    assert calculate(life, CASES, uncalculable="skip") == f"skipped: {message}"


def test_stand_in_is_no_success(life: Any, calculate: Calculate) -> None:
    """The sandbox serves eight bytes where a folder holds no module."""
    life.files = dict

    assert "its .wasm is a stand-in without code" in failure(calculate, life, CASES)


def test_service_is_chosen_by_name(
    life: Any, calculate: Calculate, package_of: Callable[..., Artifact]
) -> None:
    """With or without its version; without a name only where there is no choice."""
    package = package_of({"life/term/1.0.0": life, "life/term/1.1.0": life, "life/other/2": life})

    assert "life/other[2]: 2 of 2" in calculate(package, CASES, service="life/other")
    assert "life/term[1.1.0]: 2" in calculate(package, CASES, service="life/term[1.1.0]")
    assert "name one as the service, such as life/" in failure(calculate, package, CASES)
    assert "name one as the service, such as life/term[1" in failure(
        calculate, package, CASES, service="life/term"
    )
    assert "holds no life/trem, but life/" in failure(
        calculate, package, CASES, service="life/trem"
    )


def test_service_in_another_package(
    life: Any,
    make_job: Callable[..., Job],
    package_of: Callable[..., Artifact],
    tmp_path: Path,
) -> None:
    """A split job has several packages: the step works once, with the last."""
    first = package_of({"life/term/1.0.0": life}, "a.zip")
    last = package_of({"life/other/1.0.0": life}, "b.zip")
    (tmp_path / "cases.csv").write_text(CASES)
    step = Step("calculate", {"cases": "cases.csv", "service": "life/term"})
    job = make_job(first, last)

    messages = [
        getattr(plugin.impex_run_step(job, step, each), "message", "") for each in (first, last)
    ]

    assert messages[0] == ""
    assert messages[1].startswith("life/term[1.0.0]: 2 of 2 cases agreed")


def test_compiled_code_is_kept(
    life: Any, make_job: Callable[..., Job], package_of: Callable[..., Artifact], tmp_path: Path
) -> None:
    """In a folder that no other user can read; damaged code is compiled again."""
    package = package_of({"life/term/1.0.0": life})
    cache = tmp_path / "cache"
    job = replace(make_job(package), cache=cache)

    def run() -> Any:
        return plugin.impex_run_step(job, Step("calculate"), package)

    first = run()
    [code] = (cache / "calculate").iterdir()
    kept = code.read_bytes()
    middle = len(kept) // 2
    code.write_bytes(kept[:middle] + bytes([kept[middle] ^ 1]) + kept[middle + 1 :])

    assert (cache / "calculate").stat().st_mode & 0o777 == 0o700
    assert run() == first
    assert code.read_bytes() == kept


@pytest.mark.skipif("os.name == 'nt'", reason="Windows has other rights")
def test_shared_cache_is_not_used(
    life: Any, make_job: Callable[..., Job], package_of: Callable[..., Artifact], tmp_path: Path
) -> None:
    """Loading compiled code is running it: others must not be able to write there."""
    package = package_of({"life/term/1.0.0": life})
    (tmp_path / "cache" / "calculate").mkdir(parents=True)
    (tmp_path / "cache" / "calculate").chmod(0o770)
    job = replace(make_job(package), cache=tmp_path / "cache")

    assert plugin.impex_run_step(job, Step("calculate"), package)
    assert not list((tmp_path / "cache" / "calculate").iterdir())


def test_damaged_package_is_named(
    life: Any, calculate: Calculate, package_of: Callable[..., Artifact]
) -> None:
    """As every step does, in one line."""
    package = package_of({"life/term/1.0.0": life})
    content = bytearray(package.path.read_bytes())
    at = content.index(b"ModelMetaData.json") + 30
    content[at : at + 9] = bytes(9)
    package.path.write_bytes(content)

    assert failure(calculate, package).startswith("package.zip: ")


def test_progress_is_logged(
    life: Any,
    calculate: Calculate,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Every ten seconds, here after every case."""
    monkeypatch.setattr(step, "_PROGRESS", -1.0)
    with caplog.at_level("INFO"):
        calculate(life, CASES)

    assert [each.message for each in caplog.records] == [
        "calculate: 1 of 2 cases calculated",
        "calculate: 2 of 2 cases calculated",
    ]


def test_plan_reads_the_cases(
    make_job: Callable[..., Job], tmp_path: Path, package: Artifact
) -> None:
    """A file that cannot be read is a problem before anything is exported."""
    (tmp_path / "cases.csv").write_text(CASES)
    job = make_job(package)

    def plan(**options: Any) -> str | None:
        return plugin.impex_plan_step(job, Step("calculate", options))

    assert plan(cases="cases.csv") == "calculate 2 cases of cases.csv, at 2026-01-01"
    assert plan() == "calculate the saved default inputs, at 2026-01-01"
    with pytest.raises(StepError, match="No such file"):
        plan(cases="none.csv")


def test_other_steps_are_left_alone(make_job: Callable[..., Job], package: Artifact) -> None:
    """They belong to other plugins."""
    assert plugin.impex_plan_step(make_job(package), Step("unzip")) is None
    assert plugin.impex_run_step(make_job(package), Step("unzip"), package) is None
