"""With its state in an object store a run killed at any write is completed by the same command."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.clock import Clock
from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.models import RunOptions
from spark_impex_runner.report import receipt
from spark_impex_runner.sandbox.server import Sandbox, Settings
from spark_impex_runner.state import opening
from spark_impex_runner.state.remote import ObjectStorage
from spark_impex_runner.state.remote.timing import Timing

if TYPE_CHECKING:
    from pathlib import Path

# One more than a run has: the last one ends as an ordinary run.
WRITES = 12
# The writes before which files have got their names: those of the delivery and of both steps.
MADE = (6, 8, 10)
# With the job's id, with the package, and with the first step done.
LOST = (4, 6, 8)
# So that no test waits for a minute until the lease of a killed process is over.
SOON = Timing(1.0, 0.2, 0.2)


@pytest.fixture
def tenant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Serve one small service with quick jobs, and write a manifest with every stage for it."""
    (tmp_path / "acme/life/annuity/1.0.0").mkdir(parents=True)
    with Sandbox(tmp_path / "acme", Settings(job_seconds=0.1)) as sandbox:
        monkeypatch.setenv("CSPARK_BEARER_TOKEN", sandbox.token)
        (tmp_path / "m.yaml").write_text(
            f"version: 1\nconnections: {{sit: {{base_url: '{sandbox.base_url}'}}}}\n"
            "targets:\n  - name: life\n    folders: [life]\n    retry_interval: 50ms\n"
            "    polling: {strategy: fixed}\n    steps: [{uses: checksum}, {uses: unzip}]\n"
        )
        yield sandbox


@pytest.mark.parametrize(
    ("nth", "when", "disk"),
    [
        *((nth, "after", "lasted") for nth in range(1, WRITES + 1)),
        *((nth, "before", "lasted") for nth in MADE),
        *((nth, "after", "was lost") for nth in LOST),
    ],
)
def test_kill_at_any_write_is_resumed(
    tenant: Sandbox,
    tmp_path: Path,
    killed: Any,
    s3_state: Any,
    monkeypatch: pytest.MonkeyPatch,
    nth: int,
    when: str,
    disk: str,
) -> None:
    """The next run has one job and a whole delivery, with the files of the first one or without."""
    was_killed = killed("killed_put.py", nth, when, tmp_path / "m.yaml", s3_state.url)
    monkeypatch.setattr(
        opening, "_object_storage", lambda url, clock=None: ObjectStorage(url, clock, SOON)
    )
    assert was_killed == (nth < WRITES)
    output = tmp_path / "exports/life"
    if disk == "was lost":
        shutil.rmtree(tmp_path / "exports", ignore_errors=True)

    options = RunOptions(state=s3_state.url)
    [result] = run_manifest(tmp_path / "m.yaml", options, clock=Clock()).results

    # The end of the target and that of the run are the last two writes.
    was_complete = nth - (when == "before") >= WRITES - 2
    assert result.good, result.error
    created = [r.method for r in tenant.requests].count("POST")
    assert created == (2 if was_complete else 1)
    assert receipt.verify(output) == []
    assert sorted(path.name for path in output.iterdir()) == [
        "SHA256SUMS",
        "files",
        "impex-receipt.json",
        "package.zip",
    ]
    assert not (tmp_path / ".impex").exists()
