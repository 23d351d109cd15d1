"""What the page about editors says works as it is written."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from spark_impex_runner.cli import main

PAGE = Path(__file__).parent.parent.parent / "docs/how-to/editor.md"
WRONG = "version: 1\nconnections: {sit: {}}\ntargets: [{name: a, folder: [life]}]\n"


def blocks(language: str) -> list[str]:
    """Return the page's blocks in one language."""
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands(start: str) -> list[list[str]]:
    """Return the words of each command that the page shows and that begins so."""
    lines = "".join(blocks("console")).splitlines()
    return [shlex.split(line[2:]) for line in lines if line.startswith(f"$ {start} ")]


def checked(*arguments: str) -> int:
    """Return the exit code of check-jsonschema."""
    command = [sys.executable, "-m", "check_jsonschema", *arguments]
    return subprocess.run(command, check=False, capture_output=True).returncode


@pytest.fixture
def work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Path:
    """Return a folder with the page's schemas and manifest, and work in it."""
    monkeypatch.chdir(tmp_path)
    for words in commands("impex"):
        *arguments, redirection, file = words[1:]
        assert redirection == ">"
        with pytest.raises(SystemExit):
            main.main(arguments)
        Path(file).write_text(capsys.readouterr().out, encoding="utf-8")
    Path("release.yaml").write_text(blocks("yaml")[0], encoding="utf-8")
    return tmp_path


def test_the_modeline_leads_to_the_schema(work: Path, started: Any) -> None:
    """A mistake in the page's manifest is underlined."""
    text = (work / "release.yaml").read_text().replace("services", "servces")

    assert started(work).diagnostics_of("elsewhere.yaml", text) == [
        (3, "Property servces is not allowed.")
    ]


def test_the_settings_map_files_to_schemas(work: Path, started: Any) -> None:
    """Manifests by the one, overlays by the other, and nothing else."""
    editor = started(work, schemas=json.loads(blocks("json")[0])["yaml.schemas"])

    wrong = [(2, "Property folder is not allowed.")]
    assert editor.diagnostics_of("release.yaml", WRONG) == wrong
    assert editor.diagnostics_of("manifests/a.yaml", WRONG) == wrong
    assert editor.diagnostics_of("overlays/a.yaml", WRONG) == wrong
    assert editor.diagnostics_of("overlays/b.yaml", "vars: {x: 1}\n") == []
    assert editor.diagnostics_of("compose.yaml", WRONG) == []


def test_the_command_for_ci_finds_a_mistake(work: Path) -> None:
    """It passes the page's manifest, and fails where a key is misspelt."""
    [[_, *arguments]] = commands("check-jsonschema")

    assert checked(*arguments) == 0
    (work / "release.yaml").write_text(WRONG)
    assert checked(*arguments) == 1


def test_the_hook_checks_the_files_that_it_names(work: Path) -> None:
    """As pre-commit calls it: the arguments, then the files that the pattern finds."""
    [repository] = yaml.safe_load(blocks("yaml")[1])["repos"]
    [hook] = repository["hooks"]
    files = ["release.yaml", "manifests/a.yaml", "examples/manifests/a.yaml"]

    assert [file for file in files if re.search(hook["files"], file)] == files[:2]
    assert checked(*hook["args"], str(work / "release.yaml")) == 0
