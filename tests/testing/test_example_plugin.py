"""The example of a distribution by somebody else: built, installed from its wheel, and used."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
NAME = "plugin-release-note"


@pytest.fixture(scope="module")
def installed(environment: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Build the plugin's wheel and install it; return a copy of the plugin's own folder."""
    copy = tmp_path_factory.mktemp("examples")
    shutil.copytree(EXAMPLES / "tenant", copy / "tenant")
    shutil.copytree(
        EXAMPLES / NAME, copy / NAME, ignore=shutil.ignore_patterns("exports", ".impex")
    )
    # As build and pip do it, without one of the two.
    build = "from setuptools import build_meta; build_meta.build_wheel('../wheels')"
    environment(f'python -c "{build}"', copy / NAME)
    for made in ("build", "src/impex_release_note.egg-info"):
        shutil.rmtree(copy / NAME / made, ignore_errors=True)
    [wheel] = (copy / "wheels").iterdir()
    environment(f"pip install --quiet '{wheel}'", copy)
    yield copy / NAME
    environment("pip uninstall --quiet --yes impex-release-note", copy)


def test_its_own_tests_pass(environment: Any, installed: Path) -> None:
    """What pytest imports is the wheel: beside the tests lies no source."""
    shutil.move(installed / "src", installed.parent / "src")
    try:
        assert " passed" in environment("pytest -q", installed)
    finally:
        shutil.move(installed.parent / "src", installed / "src")


def test_it_has_three_hooks(environment: Any, installed: Path) -> None:
    """``impex plugins`` tells of the distribution, its hooks and its step."""
    rows = json.loads(environment("impex plugins --json", installed))

    [row] = [row for row in rows if row["distribution"] == "impex-release-note"]
    assert (row["version"], row["origin"], row["error"]) == ("0.1.0", "pip", "")
    assert "'release_note'" in str(row["steps"])
    assert row["hooks"] == [
        "impex_check_download",
        "impex_register",
        "impex_run_finished",
        "impex_run_step",
    ]


def test_its_manifest_runs_on_the_sandbox(environment: Any, installed: Path) -> None:
    """Both targets have their notes, and the drafts are among them only where they may be."""
    environment("impex-run release.yaml", installed)

    motor = (installed / "exports/motor/package.zip.md").read_text(encoding="utf-8")
    assert motor.startswith("# Motor in winter\n")
    assert "- motor/claims[2.1.0]\n- motor/pricing[1.4.2]\n" in motor
    draft = (installed / "exports/outpatient/package.zip.md").read_text(encoding="utf-8")
    assert "- health/outpatient[0.9.0]" in draft
    environment("impex verify exports/motor exports/outpatient", installed)


def test_manifest_names_missing_plugin(
    installed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the plugin the manifest is refused with the command that installs it."""
    shutil.copy(installed / "release.yaml", tmp_path)
    with pytest.raises(SystemExit) as exit_:
        main.main(["validate", str(tmp_path / "release.yaml")])

    assert exit_.value.code == 7
    assert "pip install 'impex-release-note>=0.1'" in capsys.readouterr().err


def test_ruff_and_mypy_find_no_fault(installed: Path, mypy: list[str]) -> None:
    """It is a model for others."""
    for command in (
        ["ruff", "check"],
        ["ruff", "format", "--check"],
        [*mypy, "src", "tests"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=installed,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
