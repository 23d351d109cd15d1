"""The commands, called as the console scripts call them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from spark_impex_runner.cli import main

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Finished:
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


@dataclass
class Shell:
    """Calls commands in a folder that holds a served tree, ``acme``."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *words: str) -> Finished:
        """Run ``impex-run …`` or ``impex COMMAND …``."""
        entry = main.run if words[0] == "impex-run" else main.main
        with pytest.raises(SystemExit) as exit_:
            entry(list(words[1:]))
        captured = self.capsys.readouterr()
        return Finished(int(exit_.value.code or 0), captured.out, captured.err)

    def write(self, targets: str, name: str = "m.yaml") -> None:
        """Write a manifest on the sandbox."""
        head = "version: 1\nconnections: {here: {sandbox: acme}}\ntargets:\n"
        (self.folder / name).write_text(head + targets)


@pytest.fixture
def shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Shell:
    """Return a shell in a folder of this test's own."""
    for version in ("motor/pricing/1.4.2", "life/annuity/1.0.0"):
        (tmp_path / "acme" / version).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return Shell(tmp_path, capsys)
