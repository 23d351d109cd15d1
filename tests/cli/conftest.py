"""The commands, called as the console scripts call them."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.cli import main
from spark_impex_runner.clock import Clock
from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.masking import Masker
from spark_impex_runner.sandbox.server import Sandbox, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


GATE = """
from spark_impex_runner import hookimpl
from spark_impex_runner.errors import HeldError

@hookimpl
def impex_register(registry):
    registry.step("gate", "holds a target")

@hookimpl
def impex_run_step(job, step, artifact):
    if step.uses == "gate":
        if "here" not in job.run.approved:
            raise HeldError("it waits", "here")
        return []
"""


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

    def __call__(self, *args: str) -> Finished:
        """Run ``impex-run …`` or ``impex COMMAND …``."""
        entry = main.run if args[0] == "impex-run" else main.main
        with pytest.raises(SystemExit) as exit_:
            entry(list(args[1:]))
        captured = self.capsys.readouterr()
        return Finished(int(exit_.value.code or 0), captured.out, captured.err)

    def add_gate(self) -> None:
        """Write the plugin ``gate.py``, whose step holds a target until ``here`` is approved."""
        (self.folder / "gate.py").write_text(GATE)

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
        (tmp_path / "acme" / version).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return Shell(tmp_path, capsys)


@pytest.fixture
def tenant(shell: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Serve the shell's tree with jobs that last, and a manifest for it in the shell's folder."""
    with Sandbox(shell.folder / "acme", Settings(job_seconds=3600)) as sandbox:
        monkeypatch.setenv("CSPARK_BEARER_TOKEN", sandbox.token)
        (shell.folder / "m.yaml").write_text(
            f"version: 1\nconnections: {{sit: {{base_url: '{sandbox.base_url}'}}}}\n"
            "targets:\n"
            "  - {name: life, folders: [life], on_interrupt: leave, polling: {strategy: fixed}}\n"
        )
        yield sandbox


@pytest.fixture
def left(shell: Any, tenant: Sandbox) -> str:
    """Leave a job behind, as a killed run would, and return its id."""
    clock = Clock()
    clock.wait = lambda _seconds: clock.stop(signal.SIGTERM) or clock.check()  # type: ignore[method-assign,func-returns-value]
    result = run_manifest(shell.folder / "m.yaml", clock=clock)
    assert tenant.requests
    return result.results[0].job_id


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a text that each command knows as a secret."""
    text, begin = "s3cret-value", Masker.__init__

    def know(self: Masker) -> None:
        begin(self)
        self.add(text)

    monkeypatch.setattr(Masker, "__init__", know)
    return text
