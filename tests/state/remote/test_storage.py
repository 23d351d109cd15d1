"""The state in an object store keeps what the local one keeps, on every kind of store."""

from __future__ import annotations

import json
import os
from contextlib import closing
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.errors import StateError
from spark_impex_runner.models import Artifact, Outcome, Request, StepResult
from spark_impex_runner.state.models import Intent
from spark_impex_runner.state.remote import ObjectStorage
from spark_impex_runner.state.runs import PastRun, PastTarget
from spark_impex_runner.state.store import State

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from object_stores import StateStore

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
INTENT = Intent("r1", "nightly/motor", "acme", "fp", "corr", "1 migrate latest")


def opened(url: str) -> State:
    """Return the state of a place, as another process opens it."""
    return State(ObjectStorage(url))


@pytest.fixture(params=["s3", "azure", "google"])
def store(request: pytest.FixtureRequest) -> StateStore:
    """Return a place in each kind of store."""
    found: StateStore = request.getfixturevalue(f"{request.param}_state")
    return found


def deliver(state: State, tmp_path: Path, *, number: int = 1) -> None:
    """Let a run deliver the target, with a step, from intent to outcome."""
    run_id, now = f"r{number}", NOW + timedelta(days=number)
    with state.storage.run_lease(run_id):
        state.begin_run(PastRun(run_id, "m.yaml", now), [INTENT.target])
        with state.storage.lease(INTENT.target, now):
            intent = Intent(run_id, INTENT.target, "acme", "fp", f"c{number}", "1 migrate latest")
            attempt = state.note_job(state.intend(intent, now), f"job-{number}", now)
            state.note_done(attempt, now + timedelta(seconds=number))
            package = Artifact(tmp_path / "p.zip", "p.zip", 3, "ab" * 32, made_by="download")
            state.note_delivered(attempt, [package], [[], []])
            step = StepResult("upload", "succeeded", 1.0, "sent")
            state.note_step(attempt, (0, "digest"), step, [])
            state.placed(INTENT.target).put("p.zip", "{}")
            state.complete(attempt, f"work-{number}", now)
        state.end_run(run_id, 0, now, [PastTarget(INTENT.target, "succeeded")])


def test_another_process_reads_all_rows(store: StateStore, tmp_path: Path) -> None:
    """What one process has written, another one reads, with steps, packages, values and runs."""
    with closing(opened(store.url)) as state:
        deliver(state, tmp_path)
        state.store_value((INTENT.target, "split", "size"), "7")

    with closing(opened(store.url)) as state:
        attempt = state.last_delivered(INTENT.target)
        assert attempt
        assert (attempt.job_id, attempt.outcome) == ("job-1", "succeeded")
        assert attempt.work_digest == "work-1"
        assert state.unfinished(INTENT.target) is None
        assert [each.name for each in state.artifacts(attempt)] == ["p.zip"]
        assert [each.message for each in state.steps(attempt).values()] == ["sent"]
        assert state.value((INTENT.target, "split", "size")) == "7"
        assert state.placed(INTENT.target).get("p.zip") == "{}"
        assert state.durations(INTENT.target, "acme", "fp") == (1.0,)
        assert [each.counts for each in state.runs.last(5)] == [{"succeeded": 1}]
        assert state.owner("job-1")


def test_open_attempt_survives_a_killed_process(store: StateStore) -> None:
    """Intent, job id, parts and a hold are there for a process that starts without anything."""
    first = opened(store.url)
    with first.storage.lease(INTENT.target, NOW):
        attempt = first.note_job(first.intend(INTENT, NOW), "job-1", NOW)
        first.split(attempt, "", {"1": Request(folders=("a",)), "2": Request(folders=("b",))}, NOW)
        part = Intent("r1", f"{INTENT.target}#1", "acme", "fp1", "c1", part_of=attempt.id)
        first.note_job(first.intend(part, NOW), "job-2", NOW)

        with closing(opened(store.url)) as state:
            # Another numbering: rows of another target are there before.
            state.storage.prefetch(["other/target"])
            found = state.unfinished(INTENT.target)
            assert found
            assert [each.name for each in state.parts(found)] == ["1", "2"]
            (open_part,) = state.open_parts(found)
            assert (open_part.job_id, open_part.part_of) == ("job-2", found.id)
            assert [each.job_id for each in state.open_attempts()] == ["job-1", "job-2"]


def test_old_attempts_become_thin(s3_state: StateStore, tmp_path: Path) -> None:
    """An object does not grow with the years: some outcomes and times stay of old attempts."""
    with closing(opened(s3_state.url)) as state:
        for number in range(1, 31):
            deliver(state, tmp_path, number=number)
        objects = state.storage._objects  # type: ignore[attr-defined]
        tables = json.loads(objects.get("targets/nightly/motor.json").data)["tables"]

    assert len(tables["attempts"]) == 22
    assert len(tables["artifacts"]) == 2
    with closing(opened(s3_state.url)) as state:
        assert state.durations(INTENT.target, "acme", "fp")[0] == 30
        assert len(state.durations(INTENT.target, "acme", "fp")) == 20
        assert len(state.runs.last(50)) == 30


def test_a_careless_store_is_refused(careless_s3_state: StateStore) -> None:
    """One that overwrites whatever the condition says would let two runners work at once."""
    with (
        closing(opened(careless_s3_state.url)) as state,
        pytest.raises(StateError, match="does not support conditional writes") as caught,
    ):
        state.begin_run(PastRun("r1", "m.yaml", NOW), [])

    assert "\n" not in str(caught.value)


def test_two_processes_of_one_run_share_its_object(s3_state: StateStore) -> None:
    """Each adds its rows to what the other one has written meanwhile."""
    with closing(opened(s3_state.url)) as one, closing(opened(s3_state.url)) as two:
        one.begin_run(PastRun("r1", "m.yaml", NOW), ["a/b"])
        two.begin_run(PastRun("r1", "m.yaml", NOW), ["a/b", "a/c"])
        one.end_run("r1", 0, NOW, [PastTarget("a/b", "succeeded"), PastTarget("a/c", "failed")])

    with closing(opened(s3_state.url)) as state:
        assert [each.outcome for each in state.runs.targets("r1")] == ["succeeded", "failed"]


def test_lost_replies_are_recognised(s3_state: StateStore) -> None:
    """A write whose reply was lost is repeated, refused, and found to be our own."""
    with closing(opened(s3_state.url)) as state, state.storage.lease(INTENT.target, NOW):
        for number in range(3):
            s3_state.lose_replies(1)
            state.store_value((INTENT.target, "split", f"k{number}"), "v")

    with closing(opened(s3_state.url)) as state:
        assert state.value((INTENT.target, "split", "k2")) == "v"


def test_requests_per_target_and_run(s3_state: StateStore, tmp_path: Path) -> None:
    """A target with one step costs at most ten requests, and its lease and run some once."""
    with closing(opened(s3_state.url)) as state:
        deliver(state, tmp_path)

    of_target = [each for each in s3_state.requests() if "/targets/" in each]
    assert len(of_target) <= 10, of_target
    assert len(s3_state.requests()) - len(of_target) <= 10, s3_state.requests()


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"{", "is damaged"), (b'{"format": 9, "schema": 99}', "was written by a newer runner")],
)
def test_unreadable_objects_are_named(s3_state: StateStore, content: bytes, reason: str) -> None:
    """The message names the object, and nothing is written over it."""
    with closing(opened(s3_state.url)) as state:
        objects = state.storage._objects  # type: ignore[attr-defined]
        objects.put_always("targets/nightly/motor.json", content)
        with (
            pytest.raises(StateError, match=reason) as caught,
            state.storage.lease(INTENT.target, NOW),
        ):
            pass
        assert objects.get("targets/nightly/motor.json").data == content

    assert f"{s3_state.url}/targets/nightly/motor.json" in str(caught.value)


def test_stops_reach_other_processes(s3_state: StateStore) -> None:
    """Also the withdrawal of a stop, and a run that has none."""
    with closing(opened(s3_state.url)) as one, closing(opened(s3_state.url)) as two:
        one.storage.write_stop("r1", 15)
        assert two.storage.read_stop("r1") == 15
        assert two.storage.read_stop("r2") is None
        one.storage.remove_stop("r1")
    with closing(opened(s3_state.url)) as three:
        assert three.storage.read_stop("r1") is None


def test_run_is_running_until_it_ends(s3_state: StateStore) -> None:
    """As other processes see it."""
    with closing(opened(s3_state.url)) as one, closing(opened(s3_state.url)) as two:
        assert not two.storage.is_running("r1")
        with one.storage.run_lease("r1"):
            assert two.storage.is_running("r1")
        assert not two.storage.is_running("r1")


def test_a_held_target_stays_open(s3_state: StateStore) -> None:
    """How a run left an open attempt is there for the next one, with the lock released."""
    with closing(opened(s3_state.url)) as one:
        with one.storage.lease(INTENT.target, NOW):
            attempt = one.intend(INTENT, NOW)
            one.note_outcome(attempt, "r1", Outcome.HELD, "waits", NOW)
        with closing(opened(s3_state.url)) as two, two.storage.lease(INTENT.target, NOW):
            assert two.unfinished(INTENT.target)


@pytest.mark.usefixtures("s3_state")
def test_missing_bucket_is_named() -> None:
    """It is not taken for an empty state."""
    with (
        closing(opened("s3://no-such-bucket/impex")) as state,
        pytest.raises(StateError, match="no bucket no-such-bucket; create it") as caught,
    ):
        state.unfinished("a/b")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("s3://acme/impex", "AWS_ACCESS_KEY_ID"),
        ("az://acme/impex", "AZURE_STORAGE_ACCOUNT_NAME"),
    ],
)
def test_missing_credentials_are_named(
    url: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line, with the place and what to set, before anything is sent."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "AZURE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    with pytest.raises(StateError, match=hint) as caught:
        ObjectStorage(url)

    assert str(caught.value).startswith(f"{url}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("scheme", "library", "extra"),
    [("s3", "botocore.session", "s3"), ("s3", "obstore", "s3"), ("gs", "obstore", "gcs")],
)
def test_missing_library_is_named(
    scheme: str, library: str, extra: str, start: Callable[..., Any]
) -> None:
    """With the command that installs it."""
    code = (
        f"import sys; [sys.modules.pop(each) for each in list(sys.modules) if 'remote' in each"
        f" or 'object_store' in each]; sys.modules[{library!r}] = None\n"
        "from spark_impex_runner.state.opening import open_state\n"
        f"try: open_state('{scheme}://acme/impex')\nexcept Exception as error: print(error)"
    )

    out, err = start("-c", code).communicate()

    assert f"needs {library.partition('.')[0]}, which is not installed" in out, err
    assert f"pip install 'spark-impex-runner[{extra}]'" in out
