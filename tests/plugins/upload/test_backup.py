"""The example of a nightly backup, run night after night against a real S3 server."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.models import Outcome, RunOptions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DAY = 24 * 60 * 60
KEYS = ("access_key_id", "secret_access_key")
NIGHTS = [f"2026-01-{day:02}" for day in range(2, 17)]


@pytest.fixture
def night(
    examples: Path, s3: Any, clock: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Any]:
    """Run the example as it is, a night later each time, and return the target's result."""
    folder = tmp_path / "examples"
    shutil.copytree(examples, folder, ignore=shutil.ignore_patterns("exports", "out", ".impex"))
    monkeypatch.setenv("BACKUP_KEY", s3.options["access_key_id"])
    monkeypatch.setenv("BACKUP_SECRET", s3.options["secret_access_key"])
    bucket = s3.options["to"].split("/")[2]
    variables = {"bucket": bucket, "endpoint": s3.options["endpoint"]}

    def run() -> Any:
        options = RunOptions(variables=variables)
        result = run_manifest(folder / "backup-s3.yaml", options, clock=clock).results[0]
        clock.wait(DAY)
        return result

    return run


def backups(s3: Any) -> Path:
    """Return the folder of the backups, on the server's own disk."""
    folder: Path = s3.folder.parent / "spark/prod"
    return folder


def test_last_backups_stay_restorable(night: Callable[[], Any], s3: Any, examples: Path) -> None:
    """The whole tenant; nothing goes before the fifteenth night; the newest proves itself."""
    results = [night() for _ in NIGHTS]

    assert [each.error for each in results] == [""] * 15
    assert sorted(each.name for each in backups(s3).iterdir()) == NIGHTS[1:]
    message = [each.steps[-1].message for each in results]
    assert "removed" in message[13]
    assert ", 0 old deliveries removed" in message[13]
    sent = re.search(
        r"/2026-01-16: 5 files \((\d+) bytes\) sent, 1 old delivery removed$", message[14]
    )
    assert sent
    receipt = backups(s3) / NIGHTS[-1] / "impex-receipt.json"
    size = sum(each.size for each in results[14].artifacts) + receipt.stat().st_size
    assert int(sent[1]) == size
    listing = json.loads((backups(s3) / NIGHTS[-1] / "impex-upload.json").read_text())
    assert listing["complete"] is True
    services = [path for path in examples.glob("tenant/*/*") if path.is_dir()]
    assert len(results[14].services) == len(services)
    restored = backups(s3) / NIGHTS[-1]
    subprocess.run(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=restored, check=True)


def test_failed_backup_removes_nothing(
    night: Callable[[], Any], s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last good backups stay, however many nights it lasts."""
    for _ in NIGHTS[:14]:
        night()
    monkeypatch.setenv("BACKUP_SECRET", "rotated")

    failed = [night() for _ in range(3)]

    assert {each.outcome for each in failed} == {Outcome.FAILED}
    assert "403 Forbidden" in failed[0].error
    assert sorted(each.name for each in backups(s3).iterdir()) == NIGHTS[:14]
