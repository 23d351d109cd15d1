"""A state that was copied to another storage says the same there, and works on."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.errors import StateError
from spark_impex_runner.models import (
    Approval,
    Artifact,
    Outcome,
    Request,
    ServiceVersion,
    StepResult,
)
from spark_impex_runner.state.holds import Hold
from spark_impex_runner.state.models import Intent
from spark_impex_runner.state.opening import open_state
from spark_impex_runner.state.runs import PastRun, PastTarget
from spark_impex_runner.state.storage import Scope
from spark_impex_runner.state.transfer import Copied, migrate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spark_impex_runner.state.place import StatePlace
    from spark_impex_runner.state.store import State

NOW = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)
WORK = {"packages": {"p.zip": {"sha256": "ab12"}}, "step": "import_to", "options": {}}
KEYS = ("m/a", "m/a.b", "m/split", "m/split#1", "m/split#2")


@pytest.fixture(params=["folder to folder", "folder to store", "store to folder", "store to store"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> list[StatePlace]:
    """Return where a state is and where it is copied to."""
    kinds = request.param.split(" to ")
    url = request.getfixturevalue("s3_state").url if "store" in kinds else ""
    names = zip(("old", "new"), kinds, strict=True)
    return [f"{url}/{name}" if kind == "store" else tmp_path / name for name, kind in names]


@pytest.fixture
def states(places: list[StatePlace]) -> Iterator[tuple[State, State]]:
    """Return a state with all that one can hold, and an empty one."""
    with closing(open_state(places[0])) as old, closing(open_state(places[1])) as new:
        fill(old)
        yield old, new


def intent(run: str, target: str, **more: Any) -> Intent:
    """Return an intent."""
    return Intent(run, target, "https://t/acme", "f1", f"{run}-{target}", "1 migrate", **more)


def fill(state: State) -> None:
    """Store a delivered, a held and a split target, and one that has failed."""
    targets = ["m/a", "m/a.b", "m/split"]
    for number, run in enumerate(("r1", "r2")):
        begun = NOW + timedelta(hours=number)
        state.begin_run(PastRun(run, "m.yaml", begun, started_by="alice"), targets)
    first = state.note_job(state.intend(intent("r1", "m/a"), NOW), "job-1", NOW)
    state.note_done(first, NOW + timedelta(seconds=7))
    package = Artifact(Path("/out/p.zip"), "p.zip", 3, "ab12", made_by="download")
    service = ServiceVersion("f", "s", "id", "1.0", "vid")
    state.note_delivered(first, [package], [[service], [service]])
    state.note_step(first, (0, "d"), StepResult("upload", "succeeded", 1.5, "sent"), [])
    state.placed("m/a").put("/out/p.zip", "record")
    state.complete(first, "w1", NOW + timedelta(seconds=9))
    failed = state.intend(intent("r1", "m/a.b"), NOW)
    state.finish(failed, Outcome.FAILED, "no room", NOW)
    whole = state.intend(intent("r1", "m/split"), NOW)
    request = Request(folders=("f",))
    state.split(whole, "", {"1": request, "2": request}, NOW)
    for part in ("1", "2"):
        state.intend(intent("r1", f"m/split#{part}", part_of=whole.id), NOW)
    state.end_run("r1", 3, NOW, [PastTarget("m/a", "succeeded", job_ids=("job-1",))])
    held = state.note_job(state.intend(intent("r2", "m/a"), NOW), "job-2", NOW)
    state.store_value(("m/a", "import_to", "x"), "sent")
    state.holds.put(held, Hold(0, held.id, "r2", NOW, "prod", WORK, "approve it"))
    given = Approval(("prod@ab12",), "bob", "--approved-by", NOW.isoformat(), "r2")
    state.holds.approve(held, given)
    state.evidence.add(held, "{}")
    state.note_outcome(held, "r2", Outcome.HELD, "waits", NOW)


def content(state: State) -> dict[str, Any]:
    """Return all that a state says, without the ids of its rows."""
    attempts = [each for key in KEYS for each in [state.unfinished(key), state.last_delivered(key)]]
    runs = state.runs.last(9)
    return {
        "attempts": [each and replace(each, id=0, part_of=None) for each in attempts],
        "parts": [
            [part.name for part in state.parts(each)] + [o.target for o in state.open_parts(each)]
            for each in attempts
            if each
        ],
        "artifacts": [state.artifacts(each) for each in attempts if each],
        "steps": [state.steps(each) for each in attempts if each],
        "holds": [
            hold and replace(hold, id=0, attempt=0)
            for hold in (state.holds.of(each) for each in attempts if each)
        ],
        "values": [state.value(("m/a", "import_to", "x")), state.placed("m/a").get("/out/p.zip")],
        "durations": state.durations("m/a", "https://t/acme", "f1"),
        "runs": runs,
        "of runs": [
            (state.runs.targets(run.id), state.runs.holds(run.id), state.runs.approvals(run.id))
            for run in runs
        ],
    }


def test_copy_says_the_same(states: tuple[State, State]) -> None:
    """Open attempts, parts, holds, approvals, values, durations and history; twice is as once."""
    old, new = states

    assert migrate(old.storage, new.storage, NOW) == Copied(3, 2)

    assert content(new) == content(old)
    assert [each and each.target for each in map(new.unfinished, KEYS)] == [
        "m/a",
        None,
        "m/split",
        "m/split#1",
        "m/split#2",
    ]
    assert migrate(old.storage, new.storage, NOW) == Copied(0, 0)
    assert content(new) == content(old)


def test_copy_continues_after_a_kill(states: tuple[State, State]) -> None:
    """What is missing is added, and the ids of rows that are there already are not used again."""
    old, new = states
    lease = new.storage.lease

    def killed(target: str, now: datetime) -> Any:
        if target == "m/split":
            raise KeyboardInterrupt
        return lease(target, now)

    new.storage.lease = killed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        migrate(old.storage, new.storage, NOW)
    new.storage.lease = lease  # type: ignore[method-assign]

    assert migrate(old.storage, new.storage, NOW) == Copied(1, 0)
    assert content(new) == content(old)


def test_other_state_is_not_replaced(states: tuple[State, State]) -> None:
    """A target that was worked on at the new place, or another one of that name, stays."""
    old, new = states
    migrate(old.storage, new.storage, NOW)
    attempt = new.unfinished("m/a")
    assert attempt
    new.complete(attempt, "w", NOW)
    before = content(new)

    with pytest.raises(StateError, match="has another state of target m/a than"):
        migrate(old.storage, new.storage, NOW)

    assert content(new) == before


def test_state_in_use_is_not_copied(states: tuple[State, State], places: list[StatePlace]) -> None:
    """Neither while a run works there, nor while a target is locked."""
    old, new = states

    with (
        closing(open_state(places[0])) as other,
        other.storage.run_lease("r2"),
        pytest.raises(StateError, match="run r2 uses it; wait"),
    ):
        migrate(old.storage, new.storage, NOW)
    with old.storage.lease("m/a", NOW), pytest.raises(StateError, match="m/a is locked by"):
        migrate(old.storage, new.storage, NOW)

    assert not any(map(new.unfinished, KEYS))


def test_expired_run_keeps_its_attempts(states: tuple[State, State]) -> None:
    """A rule of the store may delete old runs, never what a target's next run needs."""
    old, new = states
    old.storage.read(None, "PRAGMA foreign_keys = OFF")
    for sql in ("DELETE FROM run_targets WHERE run_id = 'r1'", "DELETE FROM runs WHERE id = 'r1'"):
        old.storage.write(Scope.of_run("r1"), (sql, ()))

    assert migrate(old.storage, new.storage, NOW) == Copied(3, 2)

    assert new.last_delivered("m/a")
    assert [run.started for run in new.runs.matching("r1")] == [NOW]
