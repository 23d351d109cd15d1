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
from spark_impex_runner.models import (
    Artifact,
    Outcome,
    RemoteFile,
    Request,
    ServiceVersion,
    StepResult,
)
from spark_impex_runner.state.database import FILE
from spark_impex_runner.state.holds import Hold
from spark_impex_runner.state.lease import lease
from spark_impex_runner.state.local import LocalStorage
from spark_impex_runner.state.migrations import MIGRATIONS
from spark_impex_runner.state.models import Intent
from spark_impex_runner.state.opening import open_state
from spark_impex_runner.state.runs import PastRun
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


def test_closed_state_raises(tmp_path: Path) -> None:
    """The file is closed."""
    state = open_state(tmp_path / ".impex")

    state.close()

    with pytest.raises(StateError):
        state.unfinished("m/a")


def test_intent_survives_without_close(state: State, tmp_path: Path) -> None:
    """Another process reads what was written, although the file was not closed."""
    state.intend(intent(), NOW)

    other = open_state(tmp_path / ".impex")
    found = other.unfinished("m/a")
    other.close()

    assert found
    assert (found.correlation_id, found.job_id, found.intended) == ("run-1-m/a", "", NOW)


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


def test_attempt_is_read_back(state: State) -> None:
    """Of a part, with its packages, its end and what it ended with."""
    whole = state.intend(intent(), NOW)
    part = replace(intent("m/a#1"), part_of=whole.id)
    attempt = state.note_job(state.intend(part, NOW), "job-1", NOW)
    service = ServiceVersion("f", "s", "id", "1.0", "vid")
    state.note_delivered(attempt, [], [[service], [service]])
    hold = Hold(0, attempt.id, "run-1", NOW, "prod", {"packages": {}}, "impex-run m.yaml")
    state.holds.put(attempt, hold)
    held = state.unfinished("m/a#1")
    later = NOW + timedelta(minutes=1)
    state.complete(attempt, "w1", later)

    lost = state.note_job(state.intend(intent("m/b"), NOW), "job-2", NOW)
    state.finish(lost, "failed", "no room", later)

    found, failed = state.last_delivered("m/a#1"), state.owner("job-2")

    assert held
    assert (held.held, held.finished, held.delivered) == ("prod", None, True)
    assert failed
    assert (failed.outcome, failed.error, failed.finished) == ("failed", "no room", later)
    assert found
    assert (found.part_of, found.work_digest, found.finished) == (whole.id, "w1", later)
    assert (found.services, found.service_versions) == ((service,), (service,))
    assert (found.run_id, found.tenant, found.fingerprint) == ("run-1", "https://t/acme", "f1")


def test_attempt_is_stored_stage_by_stage(state: State) -> None:
    """Job id, delivery and steps are stored; a finished attempt is no longer open."""
    attempt = state.note_job(state.intend(intent(), NOW), "job-1", NOW)
    package = Artifact(Path("/x/p.zip"), "p.zip", 5, "ab", RemoteFile("", "AB"), hash_agreed=True)
    service = ServiceVersion("f", "s", "id", "1.0", "vid")
    result = StepResult("checksum", "succeeded", 0.5, artifacts=("SHA256SUMS",))

    state.note_delivered(attempt, [package], [[], [service]])
    state.note_step(attempt, (0, "digest"), result, [])

    found = state.unfinished("m/a")
    assert found
    assert (found.job_id, found.delivered, found.service_versions) == ("job-1", True, (service,))
    assert state.artifacts(attempt) == (package,)
    assert state.steps(attempt) == {(0, "digest"): result}
    state.finish(attempt, Outcome.SUCCEEDED, "", NOW)
    assert state.unfinished("m/a") is None
    owner = state.owner("job-1")
    assert owner
    assert owner.outcome == "succeeded"


def test_every_run_of_an_attempt_has_its_outcome(state: State) -> None:
    """One that left it open, and the next that ended it; only the first one's end is known."""
    for run in ("run-3", "run-2"):
        state.begin_run(PastRun(run, "m.yaml", NOW), ["m/a"])
    attempt = state.intend(replace(intent(), run_id="run-3"), NOW)
    state.note_outcome(attempt, "run-3", Outcome.TIMED_OUT, "too slow", NOW)
    state.end_run("run-3", 5, NOW)
    state.note_run(attempt, "run-2", NOW)
    state.finish(attempt, Outcome.FAILED, "no room", NOW)

    [first], [second] = map(state.runs.targets, ("run-3", "run-2"))

    assert (first.outcome, first.error) == ("timed_out", "too slow")
    assert (second.outcome, second.error) == ("failed", "no room")
    assert {each.id: each.exit_code for each in state.runs.last(2)} == {"run-3": 5, "run-2": None}


def test_parts_are_split_again(state: State) -> None:
    """In the order of the request; the part that was too large has ended as divided."""
    state.begin_run(PastRun("run-2", "m.yaml", NOW), ["m/a#2"])
    whole = state.intend(intent(), NOW)
    state.split(whole, "", dict.fromkeys(("1", "2"), Request(("life",))), NOW)
    state.intend(replace(intent("m/a#2"), run_id="run-2", part_of=whole.id), NOW)

    state.split(whole, "2", dict.fromkeys(("2.10", "2.9"), Request(("life",))), NOW)

    assert [each.name for each in state.parts(whole)] == ["1", "2.9", "2.10"]
    assert state.open_parts(whole) == ()
    assert state.unfinished("m/a") == whole
    assert [each.outcome for each in state.runs.targets("run-2")] == ["divided"]


def test_target_has_one_open_attempt(state: State) -> None:
    """The database refuses a second open intent."""
    state.intend(intent(), NOW)

    with pytest.raises(StateError):
        state.intend(intent(), NOW)


def test_durations_per_tenant_and_request(state: State) -> None:
    """They last from the create call's reply to the final status, the newest first."""
    for seconds in (7, 9):
        attempt = state.note_job(state.intend(intent(), NOW), f"job-{seconds}", NOW)
        state.note_done(attempt, NOW + timedelta(seconds=seconds))
        state.finish(attempt, Outcome.SUCCEEDED, "", NOW)

    assert state.durations("m/a", "https://t/acme", "f1") == (9, 7)
    assert state.durations("m/a", "https://t/acme", "f2") == ()


def store_duration(state: State, fingerprint: str, seconds: float, **more: bool) -> None:
    """Store a job of a request for two items, done after some seconds."""
    wanted = replace(intent(), fingerprint=fingerprint, size="2 migrate latest")
    attempt = state.note_job(state.intend(wanted, NOW), f"job-{fingerprint}-{seconds}", NOW)
    state.note_done(attempt, NOW + timedelta(seconds=seconds), **more)
    state.finish(attempt, Outcome.SUCCEEDED, "", NOW)


def test_durations_per_size_class(state: State) -> None:
    """All requests of a class on one tenant, the newest first; each has its own, too."""
    store_duration(state, "f1", 7)
    store_duration(state, "f2", 9)

    assert state.similar("m/a", "https://t/acme", "2 migrate latest") == (9, 7)
    assert state.durations("m/a", "https://t/acme", "f1") == (7,)
    assert state.similar("m/a", "https://t/acme", "3 migrate latest") == ()
    assert state.similar("m/a", "https://t/other", "2 migrate latest") == ()


def test_unwatched_job_has_no_duration(state: State) -> None:
    """It may have ended long before; a negative one comes from a changed clock."""
    store_duration(state, "f1", 7)
    store_duration(state, "f1", 7000, watched=False)
    store_duration(state, "f1", -60)

    assert state.durations("m/a", "https://t/acme", "f1") == (7,)


def test_only_last_twenty_durations(state: State) -> None:
    """A strategy gets no more, however often a request was made."""
    for seconds in range(30):
        store_duration(state, "f1", seconds)

    assert state.durations("m/a", "https://t/acme", "f1") == tuple(range(29, 9, -1))


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


def test_last_delivery_is_found(state: State) -> None:
    """Also one that failed later; only a complete one has a work digest."""
    assert state.last_delivered("m/a") is None
    attempts = []
    for end in ("complete", "failed", "nothing"):
        attempt = state.note_job(state.intend(intent(), NOW), f"job-{end}", NOW)
        attempts.append(attempt)
        if end != "nothing":
            state.note_delivered(attempt, [], [[], []])
        if end == "complete":
            state.complete(attempt, "w1", NOW)
            found = state.last_delivered("m/a")
            assert found
            assert (found.work_digest, found.outcome, found.finished) == ("w1", "succeeded", NOW)
        else:
            state.finish(attempt, "failed", "x", NOW)

    last = state.last_delivered("m/a")

    assert last
    assert (last.id, last.work_digest) == (attempts[1].id, "")


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


def test_failed_write_is_rolled_back(state: State) -> None:
    """A transaction is applied completely or not at all."""
    attempt = state.intend(intent(), NOW)
    bad = Artifact(Path("/x"), "x", size=None)  # type: ignore[arg-type]

    with pytest.raises(StateError):
        state.note_delivered(attempt, [bad], [[], []])

    found = state.unfinished("m/a")
    assert found
    assert not found.delivered


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
