"""As a release engineer I can kill the runner at any instant and run the same command again."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.report import receipt
from spark_impex_runner.sandbox.server import Sandbox, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

KILLED = Path(__file__).parent / "killed.py"
# More than a run has; the last ones end as an ordinary run.
WRITES = 11


@pytest.fixture
def tenant(tmp_path: Path) -> Iterator[Sandbox]:
    """Serve one small service; its jobs last a moment."""
    (tmp_path / "acme/life/annuity/1.0.0").mkdir(parents=True)
    with Sandbox(tmp_path / "acme", Settings(job_seconds=0.1)) as sandbox:
        yield sandbox


@pytest.fixture
def manifest(tmp_path: Path, tenant: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a manifest with every stage: job, download, two steps, report."""
    monkeypatch.setenv("CSPARK_BEARER_TOKEN", tenant.token)
    path = tmp_path / "m.yaml"
    path.write_text(
        f"version: 1\nconnections: {{sit: {{base_url: '{tenant.base_url}'}}}}\n"
        "targets:\n  - name: life\n    folders: [life]\n    retry_interval: 50ms\n"
        "    polling: {strategy: fixed}\n    steps: [{uses: checksum}, {uses: unzip}]\n"
        "report: {json: report.json}\n"
    )
    return path


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("nth", range(1, WRITES + 1))
def test_a_run_killed_at_any_change_of_its_state_is_finished_by_the_next(
    tenant: Sandbox, manifest: Path, nth: int, when: str
) -> None:
    """One job, a delivery that its receipt proves, a sound state with nothing left open."""
    command = [sys.executable, str(KILLED), str(nth), when, str(manifest)]
    killed = subprocess.run(command, env=os.environ, check=False, capture_output=True)
    finished = killed.returncode == 0
    assert finished or killed.returncode == -signal.SIGKILL

    result = run_manifest(manifest) if not finished else None

    created = [r.method for r in tenant.requests].count("POST")
    output = manifest.parent / "exports/life"
    with closing(sqlite3.connect(manifest.parent / ".impex/state.db")) as link:
        assert link.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        still_open = link.execute("SELECT count(*) FROM attempts WHERE finished IS NULL").fetchone()
        attempts = link.execute("SELECT count(*) FROM attempts").fetchone()[0]
    assert result is None or result.exit_code == 0
    assert created == attempts == (2 if _was_complete(nth, when) and not finished else 1)
    assert still_open == (0,)
    assert receipt.verify(output) == []
    assert sorted(path.name for path in output.iterdir()) == [
        "SHA256SUMS",
        "files",
        "impex-receipt.json",
        "package.zip",
    ]


def _was_complete(nth: int, when: str) -> bool:
    """Tell whether the killed run had finished its target: the next run is then a new one."""
    return nth > 9 or (nth == 9 and when == "after")
