"""Run a manifest against a sandbox on a fake clock."""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.models import RunOptions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.models import RunResult, TargetResult
    from spark_impex_runner.sandbox.server import Sandbox


LISTENER = """
import json
from pathlib import Path
from spark_impex_runner import hookimpl

@hookimpl
def impex_job_changed(change):
    with Path(__file__).with_suffix(".log").open("a") as log:
        log.write(json.dumps([change.event, dict(change.detail)]) + "\\n")
"""


@dataclass(frozen=True)
class Events:
    """What the file ``plugin`` hears of the jobs of all runs that it takes part in."""

    plugin: Path

    def all(self) -> list[tuple[str, dict[str, Any]]]:
        """Return name and detail of each event."""
        lines = self.plugin.with_suffix(".log").read_text().splitlines()
        return [(name, detail) for name, detail in map(json.loads, lines)]

    def names(self) -> list[str]:
        """Return the name of each event."""
        return [name for name, _ in self.all()]


@dataclass
class Runner:
    """Runs manifests in a folder of their own; ``text`` is YAML below ``targets:``.

    ``connection_keys`` are further keys of the connection, in YAML's flow style; ``below`` is YAML
    that follows the targets.
    """

    folder: Path
    clock: Clock
    monkeypatch: pytest.MonkeyPatch
    connection_keys: str = ""
    below: str = ""

    def __call__(self, sandbox: Sandbox, text: str, **options: Any) -> RunResult:
        """Run targets on the default connection ``sit``, which is the sandbox."""
        return run_manifest(self.write(sandbox, text), RunOptions(**options), clock=self.clock)

    def write(self, sandbox: Sandbox, text: str) -> Path:
        """Write the manifest that ``__call__`` runs."""
        self.monkeypatch.setenv("TOKEN", sandbox.token)
        place = f"base_url: '{sandbox.base_url}', auth: {{token: '${{env:TOKEN}}'}}"
        connection = f"{{{place}, {self.connection_keys}}}"
        head = f"version: 1\nconnections:\n  sit: {connection}\ntargets:\n"
        path = self.folder / "manifest.yaml"
        body = textwrap.indent(textwrap.dedent(text), "  ")
        path.write_text(f"{head}{body}\n{textwrap.dedent(self.below)}")
        return path


@pytest.fixture
def run(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Return the runner of this test's folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    return Runner(folder, clock, monkeypatch)


@pytest.fixture
def events(run: Runner) -> Events:
    """Return a plugin that listens."""
    plugin = run.folder / "listener.py"
    plugin.write_text(LISTENER)
    return Events(plugin)


@pytest.fixture
def only() -> Callable[[RunResult], TargetResult]:
    """Return a function that gives the one target of a run."""

    def one(result: RunResult) -> TargetResult:
        assert len(result.results) == 1
        return result.results[0]

    return one
