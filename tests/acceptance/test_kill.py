"""A run killed at any instant is completed by the same command."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.report import receipt
from spark_impex_runner.sandbox.server import Sandbox, Settings
from spark_impex_runner.state.lease import is_running
from spark_impex_runner.state.opening import open_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from spark_impex_runner.state.runs import PastRun

# One more than a run has: the last ones end as an ordinary run.
WRITES = 15
# Those of a target whose request is split into two parts, from the division to its end.
DIVIDED = range(4, 26)
# Where a kill right after a write is not a kill before the next one: a request lies in between.
INTENDED = (5, 10)


@pytest.fixture
def tenant(tmp_path: Path) -> Iterator[Sandbox]:
    """Serve one small service with quick jobs."""
    (tmp_path / "acme/life/annuity/1.0.0").mkdir(parents=True)
    with Sandbox(tmp_path / "acme", Settings(job_seconds=0.1)) as sandbox:
        yield sandbox


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Sandbox]:
    """Serve two services, only one of which fits into a package."""
    for service in ("annuity", "pension"):
        version = tmp_path / "acme/life" / service / "1.0.0"
        version.mkdir(parents=True)
        (version / "model.data").write_bytes(hashlib.shake_256(service.encode()).digest(10_000))
    with Sandbox(tmp_path / "acme", Settings(job_seconds=0.1, size_limit=20_000)) as sandbox:
        yield sandbox


@pytest.fixture
def manifest(tmp_path: Path, tenant: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a manifest with every stage: job, download, two steps, report."""
    return write(tmp_path, tenant, monkeypatch)


def write(folder: Path, tenant: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the manifest of these tests."""
    monkeypatch.setenv("CSPARK_BEARER_TOKEN", tenant.token)
    path = folder / "m.yaml"
    path.write_text(
        f"version: 1\nconnections: {{sit: {{base_url: '{tenant.base_url}'}}}}\n"
        "targets:\n  - name: life\n    folders: [life]\n    retry_interval: 50ms\n"
        "    polling: {strategy: fixed}\n    steps: [{uses: checksum}, {uses: unzip}]\n"
        "report: {json: report.json}\n"
    )
    return path


def past_runs(folder: Path) -> tuple[PastRun, ...]:
    """Return the runs of a state, the newest first."""
    with closing(open_state(folder)) as state:
        return state.runs.last(9)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("nth", range(1, WRITES + 1))
def test_kill_at_any_write_is_resumed(
    tenant: Sandbox, manifest: Path, killed: Any, complete: Any, nth: int, when: str
) -> None:
    """The next run has one job, a verified delivery, and no open attempt."""
    was_killed = killed("killed.py", nth, when, manifest)
    was_complete = complete()
    state_place = manifest.parent / ".impex"
    had_ended = [run.exit_code for run in past_runs(state_place)]

    result = run_manifest(manifest) if was_killed else None

    assert was_killed == (nth < WRITES)
    ended = not was_killed or (nth, when) == (WRITES - 1, "after")
    assert had_ended == ([] if (nth, when) == (1, "before") else [0 if ended else None])
    runs = past_runs(state_place)
    assert [run.exit_code for run in runs] == ([0] if was_killed else []) + had_ended
    assert runs[0].counts == {"succeeded": 1}
    assert not any(is_running(state_place, run.id) for run in runs)

    created = [r.method for r in tenant.requests].count("POST")
    output = manifest.parent / "exports/life"
    with closing(sqlite3.connect(state_place / "state.db")) as link:
        assert link.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        still_open = link.execute("SELECT count(*) FROM attempts WHERE finished IS NULL").fetchone()
        attempts = link.execute("SELECT count(*) FROM attempts").fetchone()[0]
    assert result is None or result.exit_code == 0
    assert created == attempts == (2 if was_complete and was_killed else 1)
    assert still_open == (0,)
    assert receipt.verify(output) == []
    assert sorted(path.name for path in output.iterdir()) == [
        "SHA256SUMS",
        "files",
        "impex-receipt.json",
        "package.zip",
    ]


@pytest.mark.parametrize(
    ("nth", "when"), [*((nth, "before") for nth in DIVIDED), *((nth, "after") for nth in INTENDED)]
)
def test_killed_split_run_resumes_its_parts(
    small: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    killed: Callable[..., bool],
    nth: int,
    when: str,
) -> None:
    """No part has a second job or is missing, and the receipt verifies all."""
    manifest = write(tmp_path, small, monkeypatch)
    assert killed("killed.py", nth, when, manifest)

    result = run_manifest(manifest)

    output = tmp_path / "exports/life"
    assert result.exit_code == 0
    # The whole, which was too large, and its two parts.
    assert small.jobs_created == 3
    assert receipt.verify(output) == []
    assert len(result.results[0].job_ids) == 2
    assert sorted(path.name for path in output.glob("*.zip")) == ["package-1.zip", "package-2.zip"]
    with closing(sqlite3.connect(tmp_path / ".impex/state.db")) as link:
        left = link.execute("SELECT count(*) FROM attempts WHERE finished IS NULL").fetchone()
        parts = link.execute("SELECT name FROM parts ORDER BY name").fetchall()
    assert (left, parts) == ((0,), [("1",), ("2",)])
