"""The state file is durable, private and migrated, and its errors say what to do."""

from __future__ import annotations

import math
import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.errors import StateError
from spark_impex_runner.models import Outcome
from spark_impex_runner.state import database
from spark_impex_runner.state.database import FILE, Database
from spark_impex_runner.state.holds import Hold
from spark_impex_runner.state.lease import is_running, lease, run_lease
from spark_impex_runner.state.local import LocalStorage
from spark_impex_runner.state.migrations import MIGRATIONS
from spark_impex_runner.state.models import Intent
from spark_impex_runner.state.opening import open_state
from spark_impex_runner.state.runs import PastRun, PastTarget
from spark_impex_runner.state.store import State

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    """Return a state with one run."""
    opened = open_state(tmp_path / ".impex")
    opened.begin_run(PastRun("run-1", "m.yaml", NOW))
    yield opened
    opened.close()


def intent(target: str = "m/a") -> Intent:
    """Return an intent."""
    return Intent("run-1", target, "https://t/acme", "f1", f"run-1-{target}")


def store_duration(state: State, fingerprint: str, seconds: float, **more: bool) -> None:
    """Store a job of a request for two items, done after some seconds."""
    wanted = replace(intent(), fingerprint=fingerprint, size="2 migrate latest")
    attempt = state.note_job(state.intend(wanted, NOW), f"job-{fingerprint}-{seconds}", NOW)
    state.note_done(attempt, NOW + timedelta(seconds=seconds), **more)
    state.finish(attempt, Outcome.SUCCEEDED, "", NOW)


def test_writes_are_on_disk(tmp_path: Path, load_script: Any) -> None:
    """SQLite waits for the disk, but in the module that the tests have changed."""
    assert database.__file__
    fresh = load_script(Path(database.__file__))

    with closing(fresh.Database(tmp_path)) as opened:
        [[number]] = opened.read("PRAGMA synchronous")

    assert number == 2  # FULL


def test_copy_without_journal_has_jobs(state: State, tmp_path: Path) -> None:
    """The state file alone, copied while open, has intents, job ids and values of steps."""
    attempt = state.note_job(state.intend(intent(), NOW), "job-1", NOW)
    state.intend(intent("m/b"), NOW)
    state.store_value(("m/a", "import", "x"), "sent")
    (tmp_path / "copy").mkdir()
    shutil.copy(tmp_path / ".impex/state.db", tmp_path / "copy")

    with closing(open_state(tmp_path / "copy")) as copy:
        found = copy.unfinished("m/a")

        assert found
        assert (found.id, found.job_id) == (attempt.id, "job-1")
        assert copy.unfinished("m/b")
        assert copy.value(("m/a", "import", "x")) == "sent"


def test_copy_without_tables_is_refused(tmp_path: Path) -> None:
    """An empty file must not count as a state without running jobs."""
    with closing(sqlite3.connect(tmp_path / "whole.db")) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE runs (id TEXT)")
        shutil.copy(tmp_path / "whole.db", tmp_path / "state.db")

    with pytest.raises(StateError, match=r"copied without state\.db-wal"):
        open_state(tmp_path)


def test_first_version_is_migrated(tmp_path: Path) -> None:
    """All attempts stay; a duration is known if one run saw its job start and end."""
    runs = {"whole": 100, "stopped": 5, "killed": None}
    with closing(sqlite3.connect(tmp_path / "state.db")) as database, database:
        database.executescript(f"{MIGRATIONS[0]}; PRAGMA user_version = 1")
        for name, seconds in runs.items():
            end = None if seconds is None else (NOW + timedelta(seconds=seconds)).isoformat()
            database.execute(
                "INSERT INTO runs VALUES (?, 'm', ?, ?, 0)", (name, NOW.isoformat(), end)
            )
            at, done = NOW.isoformat(), (NOW + timedelta(seconds=60)).isoformat()
            database.execute(
                "INSERT INTO attempts (run_id, target, tenant, fingerprint, correlation_id,"
                " intended, created, done) VALUES (?, ?, 'https://t', 'f1', '', ?, ?, ?)",
                (name, name, at, at, done),
            )

    state = open_state(tmp_path)

    assert [each.target for each in state.open_attempts()] == ["whole", "stopped", "killed"]
    assert state.durations("m/a", "https://t", "f1") == (60,)
    state.begin_run(PastRun("run-1", "m.yaml", NOW))
    store_duration(state, "f2", 7)
    assert state.similar("m/a", "https://t/acme", "2 migrate latest") == (7,)
    state.close()
    reopened = open_state(tmp_path)
    assert reopened.durations("m/a", "https://t", "f1") == (60,)
    reopened.close()


def test_migrated_state_keeps_history(tmp_path: Path) -> None:
    """Attempts older than the history are listed with their first run, and stay held."""
    with closing(sqlite3.connect(tmp_path / "state.db")) as database, database:
        database.executescript(f"{'; '.join(MIGRATIONS[:5])}; PRAGMA user_version = 5")
        database.execute("INSERT INTO runs VALUES ('r', 'm', ?, NULL, NULL)", (NOW.isoformat(),))
        for target, end, outcome in (("m/a", NOW.isoformat(), "succeeded"), ("m/b", None, "")):
            database.execute(
                "INSERT INTO attempts (run_id, target, tenant, fingerprint, correlation_id,"
                " intended, finished, outcome, held)"
                " VALUES ('r', ?, 't', 'f', '', ?, ?, ?, 'prod')",
                (target, NOW.isoformat(), end, outcome),
            )

    with closing(open_state(tmp_path)) as state:
        [run] = state.runs.last(9)
        rows = [(each.target, each.outcome) for each in state.runs.targets("r")]
        [held] = state.open_attempts()

        assert (run.id, run.counts) == ("r", {"succeeded": 1, "unfinished": 1})
        assert rows == [("m/a", "succeeded"), ("m/b", "unfinished")]
        assert (held.held, state.holds.of(held)) == ("prod", None)


def test_state_is_private(state: State) -> None:
    """Only the owner can read the file and its journal, and git ignores them."""
    state.intend(intent(), NOW)

    modes = {
        path.name: path.stat().st_mode & 0o777
        for path in Path(state.storage.place).glob("state.db*")
    }
    assert set(modes) >= {"state.db", "state.db-wal"}
    assert set(modes.values()) == {0o600}
    assert (Path(state.storage.place) / ".gitignore").read_text() == "*\n"


def test_damaged_file_is_kept_and_named(tmp_path: Path) -> None:
    """It is not overwritten, and the error says what to do."""
    (tmp_path / "state.db").write_bytes(b"this is no database, and long enough" * 100)

    with pytest.raises(StateError, match=r"state\.db is damaged .* move it aside"):
        open_state(tmp_path)

    assert (tmp_path / "state.db").read_bytes().startswith(b"this is no database")


def test_newer_state_is_refused(tmp_path: Path) -> None:
    """It is not migrated down."""
    with closing(sqlite3.connect(tmp_path / "state.db")) as database, database:
        database.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    database.close()

    with pytest.raises(StateError, match="written by a newer runner"):
        open_state(tmp_path)


def test_unusable_folder_is_named(tmp_path: Path) -> None:
    """A file of the folder's name gives one line with the option that helps."""
    (tmp_path / "file").touch()

    with pytest.raises(StateError, match="--state DIR"):
        open_state(tmp_path / "file" / ".impex")


def test_locked_write_ends_after_stop(tmp_path: Path) -> None:
    """A process that locks the state file delays neither the end of a run nor a read."""
    stopped = [math.inf]
    with (
        closing(State(LocalStorage(tmp_path, lambda: stopped[0]))) as state,
        closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        stopped[0] = -math.inf

        with pytest.raises(StateError, match="another process holds it"):
            state.begin_run(PastRun("r", "m.yaml", NOW))
        with closing(open_state(tmp_path)) as reader:
            assert reader.unfinished("a") is None

        other.execute("ROLLBACK")
        state.begin_run(PastRun("r", "m.yaml", NOW))
    other.close()


def test_second_runner_gets_holders_name(tmp_path: Path) -> None:
    """The error names process, host and time."""
    with (
        lease(tmp_path, "m/a", NOW),
        pytest.raises(StateError, match=rf"m/a is locked by process {os.getpid()} on"),
        lease(tmp_path, "m/a", NOW),
    ):
        pass


def test_lease_ends_with_block(tmp_path: Path) -> None:
    """The next runner can lock the target."""
    with lease(tmp_path, "m/a", NOW):
        pass

    with lease(tmp_path, "m/a", NOW), lease(tmp_path, "m/b", NOW):
        pass


def test_lease_of_killed_runner_is_free(tmp_path: Path, start: Any) -> None:
    """The kernel releases the lock with the process: no user has to remove a stale one."""
    code = (
        "import sys, pathlib, datetime\n"
        "from spark_impex_runner.state.lease import lease\n"
        "now = datetime.datetime.now(datetime.timezone.utc)\n"
        f"with lease(pathlib.Path({str(tmp_path)!r}), 'm/a', now):\n"
        "    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    holder = start("-c", code, stdin=subprocess.PIPE)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(StateError, match=f"process {holder.pid}"), lease(tmp_path, "m/a", NOW):
        pass
    holder.kill()
    holder.wait()

    with lease(tmp_path, "m/a", NOW):
        pass


def test_migrated_attempt_is_not_held(tmp_path: Path) -> None:
    """An attempt older than approvals is resumed, and its steps have no values."""
    with closing(sqlite3.connect(tmp_path / "state.db")) as database, database:
        database.executescript(f"{MIGRATIONS[0]}; {MIGRATIONS[1]}; PRAGMA user_version = 2")
        database.execute("INSERT INTO runs VALUES ('r', 'm', ?, NULL, NULL)", (NOW.isoformat(),))
        database.execute(
            "INSERT INTO attempts (run_id, target, tenant, fingerprint, correlation_id, intended)"
            " VALUES ('r', 'm/a', 'https://t', 'f1', '', ?)",
            (NOW.isoformat(),),
        )

    with closing(open_state(tmp_path)) as state:
        [attempt] = state.open_attempts()
        assert (attempt.held, state.value(("m/a", "import", "x"))) == ("", "")
        state.holds.put(attempt, Hold(0, attempt.id, "r", NOW, "prod", {"packages": {}}, ""))
        state.store_value(("m/a", "import", "x"), "1")
        state.store_value(("m/a", "import", "x"), "2")

    with closing(open_state(tmp_path)) as state:
        assert [each.held for each in state.open_attempts()] == ["prod"]
        assert state.value(("m/a", "import", "x")) == "2"


def test_end_of_run_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many targets it has: a kill leaves all of their outcomes or none."""
    writes = []
    write = Database.write

    def counted(database: Database, *statements: Any) -> int:
        writes.append(len(statements))
        return write(database, *statements)

    monkeypatch.setattr(Database, "write", counted)
    names = [f"m/{number}" for number in range(50)]

    with closing(open_state(tmp_path)) as state:
        state.begin_run(PastRun("r", "m.yaml", NOW), names)
        state.end_run("r", 0, NOW, [PastTarget(name, "unchanged") for name in names])

    assert writes == [51, 51]


def test_older_state_has_runs_and_approvals(tmp_path: Path) -> None:
    """Targets come from the attempts, the parts of a split request left out."""
    with closing(sqlite3.connect(tmp_path / "state.db")) as database, database:
        database.executescript(f"{'; '.join(MIGRATIONS[:7])}; PRAGMA user_version = 7")
        at = NOW.isoformat()
        database.execute("INSERT INTO runs VALUES ('r1', 'm.yaml', ?, ?, 9)", (at, at))
        database.execute("INSERT INTO runs VALUES ('r2', 'm.yaml', ?, ?, 0)", (at, at))
        for key, target, whole in ((1, "m/a", None), (2, "m/a#1", 1)):
            database.execute(
                "INSERT INTO attempts (id, run_id, target, tenant, fingerprint, correlation_id,"
                " intended, job_id, part_of) VALUES (?, 'r1', ?, 't', 'f', '', ?, 'job', ?)",
                (key, target, at, whole),
            )
        for run, outcome in (("r1", "held"), ("r2", "succeeded")):
            database.execute(
                "INSERT INTO outcomes (run_id, attempt, began, ended, outcome)"
                " VALUES (:run, 1, :at, :at, :outcome), (:run, 2, :at, :at, :outcome)",
                {"run": run, "at": at, "outcome": outcome},
            )
        database.execute(
            "INSERT INTO holds VALUES (1, 1, 'r1', ?, 'prod', '{\"packages\": {}}', 'c', 'r2',"
            " ?, 'prod@ab', 'used')",
            (at, at),
        )

    with closing(open_state(tmp_path)) as state:
        found = {run.id: state.runs.targets(run.id) for run in state.runs.last(9)}
        [approval] = state.runs.approvals("r2")

    assert found == {
        "r1": (PastTarget("m/a", "held", "", ("job",), NOW, NOW),),
        "r2": (PastTarget("m/a", "succeeded", "", ("job",), NOW, NOW),),
    }
    assert (approval.approval, approval.held_by, approval.by) == ("prod@ab", "r1", "")


def test_run_lease_leaves_no_file(tmp_path: Path) -> None:
    """The lock file is removed with the end of the run, and asking creates none."""
    with run_lease(tmp_path, "r"):
        assert is_running(tmp_path, "r")

    assert not is_running(tmp_path, "r")
    assert list((tmp_path / "leases").iterdir()) == []


def test_unlockable_folder_does_not_stop_run(tmp_path: Path) -> None:
    """The lock serves only the history."""
    (tmp_path / "leases").write_text("a file in its place")

    with run_lease(tmp_path, "r"):
        assert not is_running(tmp_path, "r")
