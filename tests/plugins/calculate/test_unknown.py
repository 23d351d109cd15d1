"""What is not known of packages and modules is refused with its reason, and never a success."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from spark_impex_runner.plugins.calculate import module

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


def test_parameter_set_is_refused(failure: Failure) -> None:
    """What it does to the inputs is not known."""

    def edit(name: str, text: bytes) -> bytes:
        if not name.endswith("ModelMetaData.json"):
            return text
        data: dict[str, Any] = json.loads(text)
        data["EngineInformation"]["IsXParameter"] = True
        return json.dumps(data).encode()

    assert failure(edit) == (
        "life/term[1.0.0] cannot be calculated here: it uses a parameter set (IsXParameter)"
    )


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
