"""What a state stores is read back, in a folder and in an object store."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

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
from spark_impex_runner.state.holds import Hold
from spark_impex_runner.state.models import Intent
from spark_impex_runner.state.opening import open_state
from spark_impex_runner.state.runs import PastRun

if TYPE_CHECKING:
    from spark_impex_runner.state.place import StatePlace
    from spark_impex_runner.state.store import State

NOW = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)


@pytest.fixture
def state(state: State) -> State:
    """Return a state with one run."""
    state.begin_run(PastRun("run-1", "m.yaml", NOW))
    return state


def intent(target: str = "m/a") -> Intent:
    """Return an intent."""
    return Intent("run-1", target, "https://t/acme", "f1", f"run-1-{target}")


def test_closed_state_raises(place: StatePlace) -> None:
    """Its file or its memory is closed."""
    state = open_state(place)

    state.close()

    with pytest.raises(StateError):
        state.unfinished("m/a")


def test_intent_survives_without_close(state: State, place: StatePlace) -> None:
    """Another process reads what was written, although the state was not closed."""
    state.intend(intent(), NOW)

    other = open_state(place)
    found = other.unfinished("m/a")
    other.close()

    assert found
    assert (found.correlation_id, found.job_id, found.intended) == ("run-1-m/a", "", NOW)


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


def test_failed_write_is_rolled_back(state: State) -> None:
    """A transaction is applied completely or not at all."""
    attempt = state.intend(intent(), NOW)
    bad = Artifact(Path("/x"), "x", size=None)  # type: ignore[arg-type]

    with pytest.raises(StateError):
        state.note_delivered(attempt, [bad], [[], []])

    found = state.unfinished("m/a")
    assert found
    assert not found.delivered
