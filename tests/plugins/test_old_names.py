"""Plugins that were written for the names of 0.1 run unchanged, for one release."""

from __future__ import annotations

import importlib
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest

import spark_impex_runner
from spark_impex_runner import StepOutput, models, tools
from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.hooks import specs
from spark_impex_runner.models import RunOptions, RunResult
from spark_impex_runner.paths import ProtectedPaths

PUBLISHED = Path(__file__).parent / "published"
MANIFEST = """
version: 1
connections: {demo: {sandbox: tenant}}
targets:
  - name: life
    folders: [life]
    steps: [{uses: note}, {uses: tally}, {uses: release_note, with: {title: Winter}}]
report: {csv: out.csv}
"""


@pytest.fixture
def result(tmp_path: Path, clock: Any) -> RunResult:
    """Run a manifest that uses all of them."""
    files = []
    for source in PUBLISHED.glob("*.py.txt"):
        files.append(tmp_path / source.name.removesuffix(".txt"))
        shutil.copy(source, files[-1])
    (tmp_path / "tenant/life/annuity/1.0.0").mkdir(parents=True)
    (tmp_path / "m.yaml").write_text(MANIFEST)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Made is now called StepOutput", DeprecationWarning)
        return run_manifest(tmp_path / "m.yaml", RunOptions(plugin_files=tuple(files)), clock=clock)


def test_documented_0_1_steps_still_run(result: RunResult) -> None:
    """Each of them succeeds, and makes what it made."""
    [life] = result.results

    assert [(step.uses, step.outcome) for step in life.steps] == [
        ("note", "succeeded"),
        ("tally", "succeeded"),
        ("release_note", "succeeded"),
    ]
    assert life.steps[1].message.endswith(" files")
    made = {each.name for each in life.artifacts}
    assert made >= {"note.txt", "tally.json", "package.zip.md"}
    assert (result.manifest.path.parent / "out.csv").read_text() == "life,succeeded\n"


@pytest.mark.parametrize("home", [spark_impex_runner, specs], ids=["root", "hookspecs"])
def test_old_name_of_step_output_warns(home: Any) -> None:
    """It is the same class, and the warning has the new name."""
    with pytest.warns(DeprecationWarning, match="Made is now called StepOutput"):
        made = home.Made

    assert made is StepOutput
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = home.Nothing


@pytest.mark.parametrize(("module", "name"), [("hookspecs", "hookimpl"), ("registry", "Registry")])
def test_modules_with_old_names_still_work(module: str, name: str) -> None:
    """What was imported of them is the same, and a warning says where it is now."""
    old = importlib.import_module(f"spark_impex_runner.{module}")

    with pytest.warns(DeprecationWarning, match=f"import {name} from spark_impex_runner.hooks"):
        found = getattr(old, name)

    assert found is getattr(spark_impex_runner, name)


@pytest.mark.parametrize(
    ("old", "new"), [("Memory", "KeyValueStore"), ("Planned", "PlannedTarget")]
)
def test_old_names_of_models_warn(old: str, new: str) -> None:
    """Each is the same class, and the warning has the new name."""
    with pytest.warns(DeprecationWarning, match=f"{old} is now called {new}"):
        found = getattr(models, old)

    assert found is getattr(models, new)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = models.Nothing


@pytest.mark.parametrize(
    ("value", "old", "new"),
    [
        (models.PlannedStep("unzip", "would unpack 3 files"), "told", "summary"),
        (models.Status("job-1", "closed"), "word", "status"),
    ],
)
def test_old_names_of_fields_warn(value: Any, old: str, new: str) -> None:
    """Each returns the same as the new name."""
    with pytest.warns(DeprecationWarning, match=f"{old} is now called {new}"):
        found = getattr(value, old)

    assert found == getattr(value, new)


def test_old_name_of_a_foreign_file_warns(tmp_path: Path) -> None:
    """``Ownership.stranger`` returns the same text as ``foreign_file``."""
    owned = tools.Ownership(tmp_path, models.KeyValueStore(), ProtectedPaths())
    (tmp_path / "file").touch()

    with pytest.warns(DeprecationWarning, match="stranger is now called foreign_file"):
        reason = owned.stranger(tmp_path / "file")

    assert reason == owned.foreign_file(tmp_path / "file") != ""


def test_old_name_of_a_partial_secret_warns() -> None:
    """``Masker.begun`` returns the same position as ``partial_secret``."""
    masker = tools.Masker()
    masker.add("a-secret")

    with pytest.warns(DeprecationWarning, match="begun is now called partial_secret") as caught:
        position = masker.begun("and a-se")

    assert position == masker.partial_secret("and a-se") == 4
    assert caught[0].filename == __file__  # the caller's line
