from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest

from spark_impex_runner.errors import ManifestError
from spark_impex_runner.manifest.assemble import assemble
from spark_impex_runner.manifest.build import read_manifest
from spark_impex_runner.manifest.schema.compose import compose, published

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spark_impex_runner.errors import Problem
    from spark_impex_runner.hooks.registry import Registry
    from spark_impex_runner.manifest.build import Settings

CASES = Path(__file__).parent.parent / "manifests"
VALID = sorted(CASES.glob("valid/*.yaml"))
INVALID = sorted(CASES.glob("invalid/*.yaml"))
EXPECT = "# expect: "
SECRETS = ("hunter2", "220022")
# Of the library that judges by a schema.
LIBRARY = ("is not valid under", "schema", "NoneType", "dict", "$defs", "anyOf")


def problems(path: Path, settings: Settings) -> Sequence[Problem]:
    """Return what is wrong with a manifest."""
    with pytest.raises(ManifestError) as caught:
        read_manifest(assemble(path), settings)
    return caught.value.problems


def test_there_are_cases() -> None:
    """A moved folder does not turn the tests below into nothing."""
    assert len(VALID) >= 5
    assert len(INVALID) >= 80


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_valid_cases_are_read(path: Path, case_settings: Settings) -> None:
    """Every file in valid/ becomes a model with targets."""
    assert read_manifest(assemble(path), case_settings).targets


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_invalid_cases_have_expected_errors(path: Path, case_settings: Settings) -> None:
    """Every file in invalid/ has exactly the problems that its first lines announce.

    Secrets of the cases begin with hunter2 or are 220022: no message shows either, or
    mentions alternatives, schemas or Python types. The excerpt of a problem is the file's line, as
    far as its caret needs it.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    expected = [line.removeprefix(EXPECT) for line in lines if line.startswith(EXPECT)]

    found = problems(path, case_settings)

    messages = [str(problem).removeprefix(f"{path}:") for problem in found]
    assert messages == expected
    for word in (*SECRETS, *LIBRARY):
        assert word not in "\n".join(messages)
    for problem in found:
        assert not [word for word in SECRETS if word in problem.source]
        text = Path(problem.file).read_text(encoding="utf-8").splitlines() or [""]
        assert text[problem.line - 1].startswith(problem.source.removesuffix("***"))
        assert problem.caret in (0, problem.column)


def test_most_problems_show_their_line(case_settings: Settings) -> None:
    """Only where a value in the wrong place, a secret maybe, stands before it there is none."""
    bare = {
        path.stem
        for path in INVALID
        for problem in problems(path, case_settings)
        if not problem.source
    }

    assert bare == {
        "password-in-address",
        "secret-from-variable",
        "secret-goes-on",
        "secret-on-two-lines",
        "unknown-key-on-two-lines",
        "wrong-default",
    }


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_editor_accepts_valid_cases(path: Path, registry: Registry) -> None:
    """The published schema, alone and with the plugins' options, has nothing to object."""
    data = assemble(path).data

    for schema in (published(), compose(registry)):
        assert list(jsonschema.Draft202012Validator(schema).iter_errors(data)) == []
