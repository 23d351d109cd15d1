"""``impex diff --cases`` says which results moved, and where they could not be calculated."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from jsonschema import validate
from spark_impex_runner.plugins.calculate import moves
from spark_impex_runner.plugins.calculate.cases import Case
from spark_impex_runner.plugins.calculate.settings import Settings

from spark_impex_runner.errors import UsageError
from spark_impex_runner.models.comparison import Diff
from spark_impex_runner.report.diff import html, junit, text
from spark_impex_runner.report.diff.json import as_data

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from spark_impex_runner.models import CaseDiff

    Compare = Callable[..., CaseDiff]

WORST = {"age": 47, "sum_insured": 33516, "smoker": 1}


@pytest.fixture
def cases() -> list[Case]:
    """Return 1,000 cases, of which 13 are of smokers."""
    found = [
        Case(str(number), {"age": 20 + number % 50, "sum_insured": 100 * number, "smoker": 0})
        for number in range(1, 1001)
    ]
    for number in (5, 99, 180, 261, 333, 390, 500, 610, 700, 800, 870, 960):
        found[number - 1] = Case(str(number), {**WORST, "sum_insured": 20000, "age": 25})
    found[415] = Case("416", WORST)
    return found


@pytest.fixture
def compare(as_module: Callable[..., Any]) -> Compare:
    """Return a function that compares two toys by cases."""

    def call(old: Any, new: Any, cases: list[Case], **more: Any) -> CaseDiff:
        options = {"tolerance": {"exact": True}, "limits": {"case": "2s"}}
        settings = Settings.of({**options, **more.pop("options", {})}, None)
        asked = moves.Asked(cases, settings, **more)
        return moves.compare_modules(as_module(old), as_module(new), asked, lambda: None)

    return call


def lines(diff: CaseDiff, show: int = 0) -> list[str]:
    """Return the text format."""
    return text.render(Diff("a", "b", calculation=diff), show=show).splitlines()


def test_moved_results_are_summed_up(toys: ModuleType, cases: list[Case], compare: Compare) -> None:
    """One loading of 0.50 instead of 0.45: 13 cases of 1,000, and which is the worst."""
    diff = compare(toys.life("0.45"), toys.life("0.50"), cases)

    assert lines(diff)[:3] == [
        "life/term 1: 13 of 1,000 cases moved, 987 the same",
        "  premium      13 moved   max +3.45 % (case 416: 155.51 -> 160.88)   mean +3.45 %",
        "  rate          0 moved",
    ]
    assert lines(diff)[3].startswith("engine: wasmtime ")
    assert (diff.same, diff.moved, len(diff.moves)) == (987, 13, 13)
    [premium, _] = diff.outputs
    assert [pair for pair in premium.histogram if pair[1]] == [("1 % to 10 %", 13)]
    assert Diff("a", "b", calculation=diff).differs


def test_equal_modules_move_nothing(toys: ModuleType, cases: list[Case], compare: Compare) -> None:
    """Not even the last digit."""
    diff = compare(toys.life("0.45"), toys.life("0.45"), cases)

    assert lines(diff)[0] == "life/term 1: 0 of 1,000 cases moved, 1,000 the same"
    assert not Diff("a", "b", calculation=diff).differs


def test_single_moves_on_request(toys: ModuleType, cases: list[Case], compare: Compare) -> None:
    """The largest first, and how many more there are."""
    found = lines(compare(toys.life("0.45"), toys.life("0.50"), cases), show=2)

    assert found[3] == "  case 416: premium 155.51 -> 160.88 (+3.45 %)"
    assert found[5] == "  and 11 more moves"


def test_only_named_outputs_within_tolerance(
    toys: ModuleType, cases: list[Case], compare: Compare
) -> None:
    """In any letter case; a name that is wrong is an error with its side."""
    old, new = toys.life("0.45"), toys.life("0.50")

    rate = compare(old, new, cases[410:420], outputs=["RATE"])
    loose = compare(old, new, cases[410:420], options={"tolerance": {"relative": 0.04}})

    assert [each.name for each in rate.outputs] == ["rate"]
    assert rate.moved == loose.moved == 0
    with pytest.raises(UsageError, match="OLD: the service has no output prem"):
        compare(old, new, cases[410:420], outputs=["prem"])


def test_names_with_dots_are_outputs(toys: ModuleType, cases: list[Case], compare: Compare) -> None:
    """A dot in a name is not a column of a table."""
    pair = [toys.life("0.45"), toys.life("0.50")]
    for each in pair:
        each.outputs = {"premium": each.outputs["rate"], "premium.total": each.outputs["premium"]}

    diff = compare(*pair, cases[415:416])

    assert [(each.name, each.moved) for each in diff.outputs] == [
        ("premium", 0),
        ("premium.total", 1),
    ]
    assert (
        "  premium.total       1 moved   max +3.45 % (case 416: 155.51 -> 160.88)" in lines(diff)[2]
    )


def test_number_becomes_an_error(toys: ModuleType, cases: list[Case], compare: Compare) -> None:
    """A move of its own kind, without a size."""
    new = toys.life("0.45")
    new.outputs["rate"] = "(f64.const nan)"

    diff = compare(toys.life("0.45"), new, cases[:2])

    assert lines(diff)[2] == (
        "  rate          2 moved   max - (case 1: 1.1 -> #VALUE!)   mean -   2 became an error"
    )


def test_other_compilers_are_named(toys: ModuleType, cases: list[Case], compare: Compare) -> None:
    """Moves beyond the 12th digit are counted apart."""
    diff = compare(toys.life("0.45"), toys.life("0.50"), cases[415:416])
    other = type(diff.new)(diff.new.uri, diff.new.sha256, "Neuron_v2")

    assert "  the compilers differ: 0 of 1 moves are beyond the 12th digit" in lines(
        replace(diff, new=other)
    )


def test_uncalculated_cases_are_named(
    toys: ModuleType, cases: list[Case], compare: Compare
) -> None:
    """One side may fail alone; what it did not calculate neither moved nor stayed."""
    new = toys.life("0.45")
    new.begin = "(if (f64.eq (local.get $smoker) (f64.const 1)) (then (unreachable)))"

    diff = compare(toys.life("0.45"), new, cases[410:420])

    assert lines(diff)[0] == "life/term 1: 0 of 10 cases moved, 9 the same, 1 not calculated"
    assert "  case 416 was not calculated (new): the module failed: " in lines(diff)[3]


def test_uncalculable_side_is_named(toys: ModuleType, cases: list[Case], compare: Compare) -> None:
    """Then there is no result at all."""
    new = toys.life("0.45")
    new.is_async = 1

    diff = compare(toys.life("0.45"), new, cases[:2])

    assert diff.calculated == 0
    assert lines(diff)[0] == (
        "life/term 1: no case could be calculated: NEW (life/term[1]): the service calls other "
        "services (Xcall)"
    )


def test_unknown_form_in_a_late_case(toys: ModuleType, cases: list[Case], compare: Compare) -> None:
    """What was compared before it does not count."""
    new = toys.life("0.45")
    text = '{\\"response_data\\":{\\"outputs\\":{\\"premium\\":{},\\"rate\\":1}}}'
    new.functions = f'(data (i32.const 6000) "{text}")'
    answer = f"(i32.store (local.get $size) (i32.const {len(text) - text.count(chr(92))}))"
    smokes = "(f64.eq (local.get $smoker) (f64.const 1))"
    new.begin = f"(if {smokes} (then {answer} (return (i32.const 6000))))"

    diff = compare(toys.life("0.45"), new, cases[:10])

    assert (diff.calculated, diff.same) == (0, 0)
    assert lines(diff)[0] == (
        "life/term 1: no case could be calculated: NEW (life/term[1]): its output premium is an "
        "object, which is not known here"
    )


def test_new_inputs_take_their_saved_defaults(
    toys: ModuleType, cases: list[Case], compare: Compare
) -> None:
    """A new version is compared with its predecessor by the inputs that both have."""
    new = toys.life("0.50")
    new.inputs["bmi"] = 22.0

    diff = compare(toys.life("0.45"), new, cases)

    assert (diff.moved, diff.saved) == (13, ("bmi",))
    assert lines(diff)[3].endswith(", inputs of only one of them, at their saved defaults: bmi")
    assert as_data(Diff("a", "b", calculation=diff))["calculation"]["saved_inputs"] == ["bmi"]


@pytest.mark.parametrize(
    ("what", "inputs", "output"),
    [("input", {"vehicle_value": 1.0}, "premium"), ("output", {"age": 1.0}, "price")],
)
def test_other_services_are_no_versions(
    what: str,
    inputs: dict[str, float],
    output: str,
    toys: ModuleType,
    cases: list[Case],
    compare: Compare,
) -> None:
    """With nothing in common, nothing could move."""
    old, new = toys.life("0.45"), toys.motor("1.45")
    new.inputs, new.outputs = inputs, {output: "(f64.const 1)"}

    with pytest.raises(UsageError, match=f"have no {what} in common: there is nothing to compare"):
        compare(old, new, cases)


def test_random_outputs_alone_are_not_compared(
    toys: ModuleType, cases: list[Case], compare: Compare
) -> None:
    """Unless they are named: else nothing would have moved."""
    new = toys.life("0.45")
    new.imports = {"_getentropy": '(import "a" "i0" (func $entropy (param i32 i32) (result i32)))'}
    new.begin = "(drop (call $entropy (i32.const 6000) (i32.const 4)))"
    new.outputs = {"rate": "(f64.convert_i32_u (i32.load8_u (i32.const 6000)))"}

    diff = compare(toys.life("0.45"), new, cases[:3])
    named = compare(toys.life("0.45"), new, cases[:3], outputs=["rate"])

    assert (diff.calculated, diff.reason) == (0, "all outputs depend on random numbers")
    assert named.calculated == 3


def test_unknown_inputs_name_their_side(
    toys: ModuleType, cases: list[Case], compare: Compare
) -> None:
    """An input that neither version has is a mistake in the cases."""
    wrong = [replace(each, inputs={**each.inputs, "bmi": 22.0}) for each in cases[:3]]

    with pytest.raises(UsageError) as error:
        compare(toys.life("0.45"), toys.life("0.45"), wrong)

    assert "OLD (life/term[1]): case 1: the service has no input bmi" in str(error.value)


def test_formats_hold_the_same_numbers(
    toys: ModuleType, cases: list[Case], compare: Compare
) -> None:
    """JSON fits its schema, the page has a histogram and no script, JUnit fails."""
    found = compare(toys.life("0.45"), toys.life("0.50"), cases)
    diff = Diff("a", "b", calculation=found)

    data = as_data(diff, 5)
    page = html.render(diff, 5)
    [suite] = ET.fromstring(junit.render_calculation(found, 5))  # noqa: S314 - our own

    schema = files("spark_impex_runner.schemas").joinpath("diff.schema.json")
    validate(data, json.loads(schema.read_text(encoding="utf-8")))
    assert data["calculation"]["summary"] == {"same": 987, "moved": 13, "not_calculated": 0}
    assert data["calculation"]["outputs"]["premium"]["worst"] == "416"
    assert data["calculation"]["moves"][0]["inputs"] == WORST
    assert len(data["calculation"]["moves"]) == 5
    assert page.count("<rect") == 8
    assert "13 of 1,000 cases moved" in page
    assert "<script" not in page
    assert suite.attrib["failures"] == "1"
    assert suite.attrib["tests"] == "2"


def test_inputs_can_be_hidden(toys: ModuleType, cases: list[Case], compare: Compare) -> None:
    """They may be personal data."""
    old, new = toys.life("0.45"), toys.life("0.50")
    diff = Diff("a", "b", calculation=compare(old, new, cases[415:416], with_inputs=False))

    assert "33516" not in json.dumps(as_data(diff, 5)) + html.render(diff, 5)
