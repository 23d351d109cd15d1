from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest

from spark_impex_runner.errors import ManifestError
from spark_impex_runner.manifest.assemble import assemble
from spark_impex_runner.manifest.build import read_manifest
from spark_impex_runner.manifest.compose import compose, published

if TYPE_CHECKING:
    from spark_impex_runner.manifest.build import Settings
    from spark_impex_runner.registry import Registry

CASES = Path(__file__).parent.parent / "manifests"
VALID = sorted(CASES.glob("valid/*.yaml"))
INVALID = sorted(CASES.glob("invalid/*.yaml"))
EXPECT = "# expect: "


def problems(path: Path, settings: Settings) -> list[str]:
    """Return what is wrong with a manifest, without the file's name."""
    with pytest.raises(ManifestError) as caught:
        read_manifest(assemble(path), settings)
    return [str(problem).removeprefix(f"{path}:") for problem in caught.value.problems]


def test_there_are_cases() -> None:
    """A moved folder does not turn the tests below into nothing."""
    assert len(VALID) >= 5
    assert len(INVALID) >= 80


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_a_valid_manifest_is_read(path: Path, case_settings: Settings) -> None:
    """Every file in valid/ becomes a model with targets."""
    assert read_manifest(assemble(path), case_settings).targets


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_an_invalid_manifest_says_what_it_expects(path: Path, case_settings: Settings) -> None:
    """Every file in invalid/ has exactly the problems that its first lines announce."""
    lines = path.read_text(encoding="utf-8").splitlines()
    expected = [line.removeprefix(EXPECT) for line in lines if line.startswith(EXPECT)]

    assert problems(path, case_settings) == expected


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_no_problem_shows_a_secret(path: Path, case_settings: Settings) -> None:
    """Secrets of the cases begin with hunter2 or are 220022; no message holds either."""
    text = "\n".join(problems(path, case_settings))

    assert "hunter2" not in text
    assert "220022" not in text


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_the_line_that_a_problem_shows_holds_no_secret(path: Path, case_settings: Settings) -> None:
    """It is the line of the file as far as a caret needs it, and never a literal secret."""
    with pytest.raises(ManifestError) as caught:
        read_manifest(assemble(path), case_settings)

    for problem in caught.value.problems:
        assert "hunter2" not in problem.source
        assert "220022" not in problem.source
        lines = Path(problem.file).read_text(encoding="utf-8").splitlines() or [""]
        assert lines[problem.line - 1].startswith(problem.source.removesuffix("***"))
        assert problem.caret in (0, problem.column)


def test_most_problems_show_their_line(case_settings: Settings) -> None:
    """Only where a value in the wrong place, a secret maybe, stands before it there is none."""
    bare = set()
    for path in INVALID:
        with pytest.raises(ManifestError) as caught:
            read_manifest(assemble(path), case_settings)
        bare |= {path.stem for problem in caught.value.problems if not problem.source}

    assert bare == {
        "password-in-address",
        "secret-from-variable",
        "secret-goes-on",
        "secret-on-two-lines",
        "unknown-key-on-two-lines",
        "wrong-default",
    }


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_no_problem_speaks_of_the_schema_library(path: Path, case_settings: Settings) -> None:
    """Nobody is told about alternatives, schemas or Python types."""
    text = "\n".join(problems(path, case_settings))

    for word in ("is not valid under", "schema", "NoneType", "dict", "$defs", "anyOf"):
        assert word not in text


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_an_editor_accepts_a_valid_manifest(path: Path, registry: Registry) -> None:
    """The published schema, alone and with the plugins' options, has nothing to object."""
    data = assemble(path).data

    for schema in (published(), compose(registry)):
        assert list(jsonschema.Draft202012Validator(schema).iter_errors(data)) == []
