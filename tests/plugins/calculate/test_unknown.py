"""What is not known of packages and modules is refused with its reason, and never a success."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from spark_impex_runner.plugins.calculate import module
from spark_impex_runner.plugins.calculate.features import changing_functions, unknown_mapping

from spark_impex_runner.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from spark_impex_runner.models import Artifact

    Edit = Callable[[str, bytes], "bytes | None"]
    Calculate = Callable[..., str]
    Failure = Callable[[Edit], str]

CASES = "age,sum_insured,smoker\n47,33515.1,1\n"


def edited(content: bytes, edit: Edit) -> bytes:
    """Return a ZIP file with each file as ``edit`` returns it, without those that are None."""
    found = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(found, "w") as new:
        for name in dict.fromkeys(old.namelist()):
            if (text := edit(name, old.read(name))) is not None:
                new.writestr(name, text)
    return found.getvalue()


@pytest.fixture
def failure(toys: ModuleType, package_of: Callable[..., Artifact], calculate: Calculate) -> Failure:
    """Return a function that edits a package and returns how the step fails on it."""

    def call(edit: Edit) -> str:
        package = package_of({"life/term/1.0.0": toys.life("0.45")})
        package.path.write_bytes(edited(package.path.read_bytes(), edit))
        with pytest.raises(StepError) as error:
            calculate(package, CASES)
        return str(error.value)

    return call


def in_module(edit: Edit) -> Edit:
    """Return an edit of the files in the module's ZIP file."""
    return lambda name, text: edited(text, edit) if name.endswith(".zip") else text


@pytest.mark.parametrize(
    ("file", "path", "value", "reason"),
    [
        (
            "ModelMetaData.json",
            ("EngineInformation", "IsXParameter"),
            True,
            "it uses a parameter set (IsXParameter)",
        ),
        (
            "ModelMetaData.json",
            ("EngineInformation", "XReportRanges"),
            [{"Name": "policy"}],
            "it makes reports (XReportRanges), whose outputs are not known here",
        ),
        (
            "1.0.0/DefaultValidations.json",
            ("outputs", "age", "dependent_inputs"),
            ["smoker"],
            "the validation of its input age is a formula of other inputs (dependent_inputs)",
        ),
    ],
)
def test_stated_feature_is_refused(
    file: str, path: tuple[str, ...], value: Any, reason: str, failure: Failure
) -> None:
    """What a parameter set, a report or a validation formula does to the results is not known."""

    def edit(name: str, text: bytes) -> bytes:
        if not name.endswith(file):
            return text
        found = data = json.loads(text)
        for key in path[:-1]:
            found = found[key]
        found[path[-1]] = value
        return json.dumps(data).encode()

    assert failure(edit) == f"life/term[1.0.0] cannot be calculated here: {reason}"


def table(*names: str) -> bytes:
    """Return a workbook's table in the form of a genuine one: each name after its length."""
    entries = (len(each).to_bytes(2, "little") + each.encode() + bytes(23) for each in names)
    return gzip.compress(b"\x1f\x04\0term \x03\0" + b"".join(entries) + b"\x01\x04\0\0\0")


@pytest.mark.parametrize(
    "name",
    [
        *("Xsolve_price", "XSolve_B7", "Xvalidate_age", "Xparameter_rates", "Xrichoutput_chart"),
        "Xcall_rates",
    ],
)
def test_unknown_mapping_is_refused(name: str, toys: ModuleType, calculate: Calculate) -> None:
    """A solver, a validation formula, a rich output: the workbook's names say that it has one."""
    toy, data = toys.life("0.45"), table("Xinput_age", name, "Xoutput_premium")
    place = f'var files=[{{"filename":"/assets/data.gz","start":0,"end":{len(data)}}}];'
    files = toy.files()
    files |= {"model.data": data, "model.js": files["model.js"] + place.encode()}
    toy.files = lambda: files

    with pytest.raises(StepError) as error:
        calculate(toy, CASES)

    assert str(error.value) == (
        f"life/term[1.0.0] cannot be calculated here: its workbook has the mapping {name}, which "
        "is not known here"
    )


def test_names_of_inputs_and_outputs_are_known() -> None:
    """Texts that only look like a name are none, in a table or without compression."""
    known = gzip.decompress(table("Xinput_age", "Xoutput_premium"))

    assert unknown_mapping(known) == unknown_mapping(gzip.compress(known)) == ""
    assert unknown_mapping(b"") == unknown_mapping(b"a text of Xsolve_price and so on") == ""
    assert unknown_mapping(b"\x0c\0Xsolve_price") == "Xsolve_price"


def answering(toys: ModuleType, outputs: Any) -> Any:
    """Return a toy that gives the same outputs to each case."""
    text = json.dumps({"response_data": {"outputs": outputs}})
    toy = toys.life("0.45")
    toy.outputs = dict.fromkeys(outputs, "(f64.const 0)")
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    toy.functions = f'(data (i32.const 6000) "{quoted}")'
    size = f"(i32.store (local.get $size) (i32.const {len(text)}))"
    toy.begin = f"{size} (return (i32.const 6000))"
    return toy


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ({"type": "image", "content": "x"}, "an object"),
        ("data:image/svg+xml,<svg/>", "an image"),
        ("iVBORw0KGgoAAAANSUhEUg==", "an image"),
        ([1, 2], "a list, but not of rows"),
        ([{"year": 1, "flows": [{"cash": 2}]}], "a table with tables in it"),
        ([["year", "cash"], [1, [2]]], "a table with tables in it"),
    ],
)
def test_output_in_an_unknown_form_is_refused(
    value: Any, what: str, toys: ModuleType, calculate: Calculate
) -> None:
    """Images and rich outputs were never seen; of tables, only the forms in the SDK's source."""
    toy = answering(toys, {"chart": value})

    with pytest.raises(StepError) as error:
        calculate(toy, CASES)

    reason = f"its output chart is {what}, which is not known here"
    assert str(error.value) == f"life/term[1.0.0] cannot be calculated here: {reason}"
    assert calculate(toy, CASES, uncalculable="skip").startswith("skipped: life/term[1.0.0] cannot")


@pytest.mark.parametrize(
    "flows", [[{"year": 1, "cash": 2.5}], [["year", "cash"], [1, 2.5]]], ids=["objects", "rows"]
)
def test_table_in_a_known_form_is_compared(
    flows: Any, toys: ModuleType, calculate: Calculate
) -> None:
    """Cell by cell; another form of the same table is a difference, never an agreement."""
    toy = answering(toys, {"flows": flows})
    inputs = {"age": 47, "sum_insured": 1, "smoker": 1}

    def cases(expected: Any) -> str:
        return json.dumps([{"inputs": inputs, "expected": {"flows": expected}}])

    assert "1 of 1 case agreed" in calculate(toy, cases(flows), name="cases.json")
    for other in ([], [{"year": 1, "cash": 2.6}], {"year": 1, "cash": 2.5}):
        with pytest.raises(StepError, match="1 of 1 case failed: case 1: flows"):
            calculate(toy, cases(other), name="cases.json")


@pytest.mark.parametrize("tokens", [None, 7, "Now", [1, ["Now"]], {"Mul": 2}])
def test_other_logs_name_no_function(tokens: Any) -> None:
    """Another compiler may count in another form."""
    assert changing_functions({"TokenCnt": tokens}) == ()


def test_functions_of_time_and_chance_are_named(
    toys: ModuleType, package_of: Callable[..., Artifact], calculate: Calculate
) -> None:
    """By the compiler's log: a case may reach one that the first case does not."""
    package = package_of({"life/term/1.0.0": toys.life("0.45")})

    def edit(name: str, text: bytes) -> bytes:
        if not name.endswith("_CompilerLog.json"):
            return text
        tokens = ["Mul", 2, "Rand", 1, "Round", 1, "Now", 3]
        return json.dumps({**json.loads(text), "TokenCnt": tokens}).encode()

    package.path.write_bytes(edited(package.path.read_bytes(), in_module(edit)))

    assert calculate(package, CASES).endswith("clock 2026-01-01, the formulas use NOW, RAND)")


def test_package_without_module_is_refused(failure: Failure) -> None:
    """Such as one with source workbooks only, or one for migrations in another form."""
    message = failure(lambda name, text: None if name.endswith(".zip") else text)

    assert "cannot be calculated here: the package holds no module " in message


@pytest.mark.parametrize("suffix", [".wasm", ".js", ".data"])
def test_module_without_a_file_is_refused(suffix: str, failure: Failure) -> None:
    """Another compiler may write other files."""
    message = failure(in_module(lambda name, text: None if name.endswith(suffix) else text))

    assert f"cannot be calculated here: its module has no {suffix} file" in message


def test_module_that_is_no_zip_is_refused(failure: Failure) -> None:
    """Its form is not known then."""
    message = failure(lambda name, text: b"?" if name.endswith(".zip") else text)

    assert "cannot be calculated here: its module is no ZIP file" in message


def test_large_module_is_refused(failure: Failure, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it is compiled."""
    monkeypatch.setitem(module._LIMITS, "wasm", 1000)

    message = failure(lambda _, text: text)

    assert "cannot be calculated here: _term.wasm has more than 1000 bytes" in message


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"wasmImports={", b"wasmImports={x:y:z,", "has a wasmImports in an unknown form"),
        (b"wasmImports={", b"imports={", "its start-up code has no wasmImports in the known form"),
    ],
)
def test_other_start_up_code_is_refused(
    old: bytes, new: bytes, reason: str, failure: Failure
) -> None:
    """Other versions of Emscripten may write the names differently."""

    def edit(name: str, text: bytes) -> bytes:
        return text.replace(old, new) if name.endswith(".js") else text

    assert reason in failure(in_module(edit))
