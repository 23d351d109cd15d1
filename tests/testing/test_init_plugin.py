"""``impex init --plugin`` writes a distribution that works as it stands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from spark_impex_runner.cli import main, scaffold

FILES = [
    "README.md",
    "pyproject.toml",
    "src/impex_ledger/__init__.py",
    "tests/conftest.py",
    "tests/test_ledger.py",
]


def init(*words: str) -> int:
    """Call ``impex init``; return its exit code."""
    with pytest.raises(SystemExit) as exit_:
        main.main(["init", *words])
    return int(exit_.value.code or 0)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in the test's folder."""
    monkeypatch.chdir(tmp_path)


def written(folder: Path) -> list[str]:
    """Return the files below a folder."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_new_plugin_passes_its_tests(environment: Any, mypy: list[str], tmp_path: Path) -> None:
    """What it tells to do next works; ruff and mypy find no fault."""
    message = environment("impex init --plugin impex-ledger", tmp_path)
    folder = tmp_path / "impex-ledger"
    _, enter, install, test = message.splitlines()

    assert written(folder) == FILES
    assert enter == "  cd impex-ledger"
    environment(f"{install} --no-build-isolation", folder)
    assert " passed" in environment(test, folder)
    assert "step ledger" in environment("impex plugins", folder)
    for command in (
        ["ruff", "check", "--isolated"],
        [
            "ruff",
            "check",
            "--isolated",
            "--select=ALL",
            "--ignore=D203,D213,COM812,CPY,INP001,S101",
        ],
        ["ruff", "format", "--isolated", "--check"],
        [*mypy, "--strict", "src", "tests"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
    environment("pip uninstall --quiet --yes impex-ledger", folder)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Ledger", "'Ledger' is not a valid name for a plugin"),
        ("a b", "'a b' is not a valid name for a plugin"),
        ("a--b", "is not a valid name"),
        ("-a", "is not a valid name"),
        ("../a", "is not a valid name"),
        ("", "the value is empty"),
        ("impex-9", "is not a valid name"),
        ("impex-", "is not a valid name"),
        ("class", "is not a valid name"),
        ("json", "a module named json exists already"),
        ("spark-impex-runner", "a module named spark_impex_runner exists already"),
        ("impex-checksum", "spark-impex-runner offers a step checksum"),
    ],
)
def test_unusable_name_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, message: str
) -> None:
    """It has to suit pip, Python and the manifest; nothing is written for any other."""
    assert init(f"--plugin={name}") == 2

    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert written(tmp_path) == []


def test_what_is_there_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder, a file or a link of the name is not touched."""
    (tmp_path / "impex-a").mkdir()
    (tmp_path / "impex-b").write_text("mine")
    (tmp_path / "impex-c").symlink_to("nowhere")

    assert [init("--plugin", f"impex-{name}") for name in "abc"] == [2, 2, 2]

    assert capsys.readouterr().err.count("exists already; name another plugin") == 3
    assert written(tmp_path) == ["impex-b"]
    assert (tmp_path / "impex-b").read_text() == "mine"


def test_plugin_option_writes_no_manifest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file beside the plugin's name is a mistake, and named."""
    assert init("release.yaml", "--plugin", "impex-ledger") == 2

    assert "leave out FILE" in capsys.readouterr().err
    assert written(tmp_path) == []


def test_failed_scaffold_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the disk refuses a file, there is no folder, and one line says why."""
    real = Path.write_text

    def full(self: Path, *words: Any, **more: Any) -> int:
        if self.name.startswith("test_"):
            raise OSError(28, "No space left on device")
        return real(self, *words, **more)

    monkeypatch.setattr(scaffold.Path, "write_text", full)

    assert init("--plugin", "impex-ledger") == 2

    assert capsys.readouterr().err == (
        "error: cannot write impex-ledger: No space left on device\n"
    )
    assert list(tmp_path.iterdir()) == []
