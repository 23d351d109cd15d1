"""Runs are recorded with their targets, and approvals with the run that was given them."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from spark_impex_runner.models import Approval, Outcome
from spark_impex_runner.state.holds import Hold
from spark_impex_runner.state.models import Intent
from spark_impex_runner.state.opening import open_state
from spark_impex_runner.state.runs import PastRun, PastTarget

if TYPE_CHECKING:
    from spark_impex_runner.state.place import StatePlace

NOW = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)
WORK = {"packages": {"p.zip": {"sha256": "ab12"}}, "step": "import_to", "options": {}}


def intent(run: str, target: str) -> Intent:
    """Return an intent."""
    return Intent(run, target, "https://t/acme", "f1", "c")


def test_ended_run_has_outcomes_of_all_targets(place: StatePlace) -> None:
    """Also of those without an attempt; a second worker of the run changes nothing."""
    ended = [
        PastTarget("m/b", "failed", "no room", ("j1", "j2"), NOW, NOW + timedelta(seconds=3)),
        PastTarget("m/a", "skipped", "it needs b"),
    ]
    with closing(open_state(place)) as state:
        run = PastRun("r", "m.yaml", NOW, started_by="alice")
        state.begin_run(run, ["m/b", "m/a"])
        state.end_run("r", 4, NOW, ended)
        state.begin_run(PastRun("r", "other", NOW))

        [found] = state.runs.last(9)
        assert (found.manifest, found.started_by, found.exit_code) == ("m.yaml", "alice", 4)
        assert (found.counts, found.finished) == ({"failed": 1, "skipped": 1}, NOW)
        assert list(state.runs.targets("r")) == ended


def test_run_without_end_has_outcomes_of_attempts(place: StatePlace) -> None:
    """A killed run: what it finished, what it began, what it never reached."""
    with closing(open_state(place)) as state:
        state.begin_run(PastRun("r", "m.yaml", NOW), [f"m/{name}" for name in "abc"])
        done = state.note_job(state.intend(intent("r", "m/a"), NOW), "job-1", NOW)
        state.finish(done, Outcome.FAILED, "no room", NOW)
        state.intend(intent("r", "m/b"), NOW)

        [run] = state.runs.matching("r")
        assert list(state.runs.targets("r")) == [
            PastTarget("m/a", "failed", "no room", ("job-1",), NOW, NOW),
            PastTarget("m/b", "unfinished", "", (), NOW),
            PastTarget("m/c", "not_started"),
        ]
        assert run.counts == {"failed": 1, "unfinished": 1, "not_started": 1}


def test_run_of_another_machine_is_not_listed(place: StatePlace) -> None:
    """Its work unit here knows neither all of its targets nor its end."""
    with closing(open_state(place)) as state:
        state.begin_run(PastRun("r", "m.yaml", NOW))
        state.intend(intent("r", "m/a"), NOW)
        assert state.runs.last(9) == ()

        state.begin_run(PastRun("r", "m.yaml", NOW), ["m/a"])
        assert [run.counts for run in state.runs.last(9)] == [{"unfinished": 1}]


def test_every_approval_is_kept(place: StatePlace) -> None:
    """A run whose import failed was approved all the same; so was the one that repeats it."""
    with closing(open_state(place)) as state:
        for name in ("r1", "r2", "r3"):
            state.begin_run(PastRun(name, "m.yaml", NOW, started_by=f"{name}'s user"), ["m/a"])
        attempt = state.intend(intent("r1", "m/a"), NOW)
        state.holds.put(attempt, Hold(0, attempt.id, "r1", NOW, "prod", WORK, "approve it"))
        state.note_outcome(attempt, "r1", Outcome.HELD, "", NOW)
        for name in ("r2", "r3"):
            state.note_run(attempt, name, NOW)
            given = Approval(("prod@ab12",), f"{name}'s approver", "", NOW.isoformat(), name)
            state.holds.approve(attempt, given)
        state.holds.use(attempt)
        state.complete(attempt, "w", NOW)

        approvals = {name: state.runs.approvals(name) for name in ("r1", "r2", "r3")}
        [held] = state.runs.holds("r1")

    assert [(each.run_id, each.by, each.held_by) for each in approvals["r1"]] == [
        ("r2", "r2's approver", "r1"),
        ("r3", "r3's approver", "r1"),
    ]
    assert approvals["r2"] == approvals["r1"][:1]
    assert approvals["r3"] == approvals["r1"][1:]
    assert (held.status, held.digests, held.command) == ("approved", ("ab12",), "approve it")


def test_hold_of_an_earlier_run_is_shown(place: StatePlace) -> None:
    """Where nothing has changed, the second run leaves what the first one held."""
    with closing(open_state(place)) as state:
        for name in ("r1", "r2", "r3"):
            state.begin_run(PastRun(name, "m.yaml", NOW), ["m/a"])
        attempt = state.intend(intent("r1", "m/a"), NOW)
        state.holds.put(attempt, Hold(0, attempt.id, "r1", NOW, "prod", WORK, "c1"))
        state.note_outcome(attempt, "r1", Outcome.HELD, "", NOW)
        state.note_run(attempt, "r2", NOW)
        state.note_outcome(attempt, "r2", Outcome.HELD, "", NOW)
        later = NOW + timedelta(minutes=1)
        state.note_run(attempt, "r3", later)
        state.holds.put(attempt, Hold(0, attempt.id, "r3", later, "prod", WORK, "c3"))

        held = {name: state.runs.holds(name) for name in ("r1", "r2", "r3")}

    assert {
        name: [(each.command, each.status) for each in every] for name, every in held.items()
    } == {
        "r1": [("c1", "replaced")],
        "r2": [("c1", "replaced")],
        "r3": [("c3", "waiting")],
    }
