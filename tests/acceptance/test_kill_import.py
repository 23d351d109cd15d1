"""A promotion killed at any instant imports nothing twice."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.models import RunOptions
from spark_impex_runner.sandbox.server import Sandbox, Settings
from spark_impex_runner.testing.fake_clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator

# One more than a run has: the last ones end as an ordinary run.
WRITES = 13


class Later(FakeClock):
    """The clock of the next run, which starts at once and whose waits take no time."""

    def __init__(self) -> None:
        super().__init__()
        self._began = datetime.now(timezone.utc)

    def now(self) -> datetime:
        """Return the moment of the start and the seconds waited since."""
        return self._began + timedelta(seconds=self.monotonic())


@pytest.fixture
def places(tmp_path: Path) -> Iterator[dict[str, Sandbox]]:
    """Serve a tenant with one small service, and one that is to get it."""
    (tmp_path / "sit/acme/life/annuity/1.0.0").mkdir(parents=True)
    (tmp_path / "uat/acme/other/thing/1.0.0").mkdir(parents=True)
    (tmp_path / "uat/acme/life").mkdir(exist_ok=True)
    quick = Settings(job_seconds=0.1)
    with (
        Sandbox(tmp_path / "sit/acme", quick) as sit,
        Sandbox(tmp_path / "uat/acme", quick) as uat,
    ):
        yield {"sit": sit, "uat": uat}


@pytest.fixture
def manifest(tmp_path: Path, places: dict[str, Sandbox], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a promotion. Two imports of one package would show: versions are added."""
    lines = []
    for name, sandbox in places.items():
        monkeypatch.setenv(f"TOKEN_{name}", sandbox.token)
        auth = f"auth: {{token: '${{env:TOKEN_{name}}}'}}"
        lines.append(f"  {name}: {{base_url: '{sandbox.base_url}', {auth}}}\n")
    path = tmp_path / "m.yaml"
    path.write_text(
        f"version: 1\nconnections:\n{''.join(lines)}"
        "targets:\n  - name: life\n    connection: sit\n    folders: [life]\n"
        "    retry_interval: 50ms\n    polling: {strategy: fixed}\n    steps:\n"
        "      - uses: import\n"
        "        with: {to: uat, if_present: add_version, interval: 50ms, lock: l.json}\n"
    )
    return path


def versions(uat: Sandbox) -> list[str]:
    """Return what the second tenant got."""
    return [each.uri for each in uat._tree.all_versions() if each.folder == "life"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("nth", range(1, WRITES + 1))
def test_killed_promotion_imports_once(
    places: dict[str, Sandbox], manifest: Path, killed: Any, complete: Any, nth: int, when: str
) -> None:
    """The second run has one job on each tenant, one version, one line in the lock file."""
    was_killed = killed("killed.py", nth, when, manifest)
    # After a complete run the next one would be a promotion of its own.
    result = run_manifest(manifest, clock=Later()) if was_killed and not complete() else None

    assert was_killed == (nth < WRITES)
    assert result is None or result.exit_code == 0, result.results[0].error
    assert versions(places["uat"]) == ["life/annuity[1.0.0]"]
    uploads = [r for r in places["uat"].requests if r.path.endswith("/import")]
    assert len(uploads) == 1
    exports = [r for r in places["sit"].requests if r.method == "POST"]
    assert len(exports) == 1
    assert (manifest.parent / "l.json").read_text().count('"connection"') == 1


@pytest.mark.parametrize("nth", range(4))
def test_killed_upload_imports_once(
    places: dict[str, Sandbox], manifest: Path, killed: Any, nth: int
) -> None:
    """Killed before the head, the file, the tail or after all: half a form is no import."""
    was_killed = killed("killed_upload.py", nth, manifest)

    result = run_manifest(manifest, clock=Later()) if was_killed else None

    assert was_killed == (nth < 3)
    assert result is None or result.exit_code == 0, result.results[0].error
    assert versions(places["uat"]) == ["life/annuity[1.0.0]"]


@pytest.fixture
def existing(tmp_path: Path) -> None:
    """Give the second tenant the service in another version, before it is served."""
    (tmp_path / "uat/acme/life/annuity/0.9.0").mkdir(parents=True)


@pytest.mark.usefixtures("existing")
@pytest.mark.parametrize("nth", [10, 13, 15, 16, 17])
def test_killed_backup_is_made_once(
    places: dict[str, Sandbox], manifest: Path, killed: Any, nth: int
) -> None:
    """Between backup, import and lock: one job of each kind, and a lock that names the backup."""
    text = manifest.read_text().replace("lock: l.json", "lock: l.json, before: backup")
    manifest.write_text(text)

    was_killed = killed("killed.py", nth, "before", manifest)
    result = run_manifest(manifest, clock=Later())

    assert was_killed
    assert result.exit_code == 0, result.results[0].error
    assert versions(places["uat"]) == ["life/annuity[0.9.0]", "life/annuity[0.10.0]"]
    posts = [r.path for r in places["uat"].requests if r.method == "POST"]
    assert len([each for each in posts if each.endswith("/export")]) == 1
    assert len([each for each in posts if each.endswith("/import")]) == 1
    [package] = json.loads((manifest.parent / "l.json").read_text())["packages"]
    [done] = package["imports"]
    assert (manifest.parent / done["backup"]["receipt"]).is_file()


@pytest.mark.parametrize("nth", [4, 5, 6])
def test_killed_restore_imports_once(
    places: dict[str, Sandbox], manifest: Path, killed: Any, start: Any, nth: int
) -> None:
    """The same command finishes it, by the plan that was confirmed, and then has nothing to do."""
    run_manifest(manifest, RunOptions(until="download"), clock=Later())
    source = manifest.parent / "exports/life"
    command = ("restore", source, "--to", "uat", "-m", manifest, "--yes")

    assert killed("killed.py", nth, "before", *command)
    for _ in range(2):
        process = start(Path(__file__).parent / "killed.py", 1000, "before", *command)
        output, errors = process.communicate()
        assert process.returncode == 0, errors

    assert "nothing to do" in output
    assert versions(places["uat"]) == ["life/annuity[1.0.0]"]
    posts = [r.path for r in places["uat"].requests if r.method == "POST"]
    assert len([each for each in posts if each.endswith("/import")]) == 1
