"""What a run shows on GitHub: annotations of targets, and the summary of its step."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

TARGETS = "  - {name: good, folders: [life]}\n  - {name: bad, services: [motor/absent]}\n"


@pytest.fixture
def summary(shell: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file for the step summary of a job on GitHub."""
    file: Path = shell.folder / "summary.md"
    file.write_text("earlier\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(shell.folder))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(file))
    shell.write(TARGETS)
    return file


def test_run_on_github(shell: Any, summary: Path) -> None:
    """The failed target is annotated at its line; the step's summary has the command to run."""
    done = shell("impex-run", "m.yaml")

    (command,) = [line for line in done.err.splitlines() if line.startswith("::error")]
    assert command.startswith("::error file=m.yaml,line=5,title=bad failed::POST api/v4/export")
    text = summary.read_text()
    assert text.startswith("earlier\n## m: partial\n")
    assert "| bad | failed | POST api/v4/export" in text
    assert "```sh\nimpex-run m.yaml -t bad\n```" in text
    assert done.err.splitlines()[-1] == "impex-run m.yaml -t bad"


def test_step_summary_masks_commands(shell: Any, summary: Path, secret: str) -> None:
    """The file is no stream that masks."""
    shell("impex-run", "m.yaml", "--var", f"key={secret}")

    text = summary.read_text()
    assert "impex-run m.yaml -t bad --var key=***" in text
    assert secret not in text


def test_json_log_stays_json_on_github(shell: Any, summary: Path) -> None:
    """Annotations go to the other stream, which GitHub reads, too."""
    done = shell("impex-run", "m.yaml", "--log-format", "json")

    lines = [line for line in done.err.splitlines() if not line.startswith("::add-mask::")]
    assert all(json.loads(line)["event"] for line in lines)
    assert "\n::error file=m.yaml,line=5," in done.out
    assert summary.read_text().count("## m: partial") == 1


def test_invalid_manifest_is_annotated(shell: Any, summary: Path) -> None:
    """The run says what is wrong, and GitHub shows it at the line."""
    shell.write("  - {name: a, foldrs: [life]}\n")

    done = shell("impex-run", "m.yaml")

    commands = [line for line in done.err.splitlines() if line.startswith("::error file=m.yaml,")]
    assert done.code == 2
    assert commands[0].startswith("::error file=m.yaml,line=4,col=")
    assert "foldrs" in commands[0]
    assert summary.read_text() == "earlier\n"


def test_unwritable_step_summary_is_an_error_line(
    shell: Any, summary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named, and changes nothing about the run."""
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary.parent))

    done = shell("impex-run", "m.yaml")

    assert done.code == 3
    assert f"error: cannot write the step summary {summary.parent}: Is a directory" in done.err


def test_elsewhere_nothing_is_annotated(
    shell: Any, summary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without GitHub's variable neither lines nor a file appear."""
    monkeypatch.delenv("GITHUB_ACTIONS")

    done = shell("impex-run", "m.yaml")

    assert "::error" not in done.err + done.out
    assert summary.read_text() == "earlier\n"
