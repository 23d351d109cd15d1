"""Whatever runs store, a state in a folder and one in an object store say the same about it."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fake_objects import World
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

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
from spark_impex_runner.state.store import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from spark_impex_runner.state.models import Attempt

NOW = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)
TARGETS = ("m/a", "m/b")
WORK = {"packages": {"p.zip": {"sha256": "ab12"}}, "step": "import_to", "options": {}}
target = st.sampled_from(TARGETS)
outcome = st.sampled_from([Outcome.FAILED, Outcome.TIMED_OUT, Outcome.HELD])
short = st.sampled_from(["x", "y"])


class BothStorages(RuleBasedStateMachine):
    """Does the same to both; each operation on a target is under its lock."""

    def __init__(self) -> None:
        super().__init__()
        self.stack, self.world = ExitStack(), World()
        self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.states: list[State] = []
        self.runs, self.now = 0, NOW
        self.reopen()
        self.begin_run()

    def reopen(self) -> None:
        """Open both as another process does, a while later."""
        for each in self.states:
            each.close()
        self.world.now += 10
        self.states = [open_state(self.folder), State(self.world.storage())]

    def teardown(self) -> None:
        """Close both."""
        for each in self.states:
            each.close()
        self.stack.close()

    def each(self, key: str, act: Callable[[State, Attempt | None], object]) -> None:
        """Act on the open attempt of a target in both states."""
        self.now += timedelta(seconds=1)
        for state in self.states:
            with state.storage.lease(key, NOW):
                act(state, state.unfinished(key))
        # Mostly another process reads it, and sometimes the one that wrote it.
        if self.now.second % 3:
            self.reopen()

    def attempt(self, key: str, act: Callable[[State, Attempt], object]) -> None:
        """Act on the open attempt, on a new one if there is none."""
        self.each(key, lambda state, attempt: act(state, attempt or self.intended(state, key, "x")))

    def intended(self, state: State, key: str, size: str) -> Attempt:
        """Store an intent."""
        intent = Intent(self.run, key, "https://t", size, f"{self.run}-{key}", size)
        return state.intend(intent, self.now)

    @property
    def run(self) -> str:
        """The id of the current run."""
        return f"r{self.runs}"

    @rule()
    @precondition(lambda self: self.runs < 4)
    def begin_run(self) -> None:
        """Begin the next run."""
        self.runs, self.now = self.runs + 1, self.now + timedelta(hours=1)
        for state in self.states:
            state.begin_run(PastRun(self.run, "m.yaml", self.now, started_by="alice"), TARGETS)

    @rule(code=st.sampled_from([0, 3, 4]))
    def end_run(self, code: int) -> None:
        """Store how the current run ended."""
        for state in self.states:
            state.end_run(
                self.run, code, self.now, [PastTarget("m/a", "failed", "no room", ("j",))]
            )

    @rule(key=target, size=short)
    def start(self, key: str, size: str) -> None:
        """Store an intent, or resume what is open."""

        def act(state: State, attempt: Attempt | None) -> None:
            if attempt:
                state.note_run(attempt, self.run, self.now)
            else:
                self.intended(state, key, size)

        self.each(key, act)

    @rule(key=target, watched=st.booleans())
    def create(self, key: str, watched: bool) -> None:
        """Store a job and its end."""
        self.attempt(key, lambda state, each: state.note_job(each, f"job-{key}", self.now))
        done = self.now + timedelta(seconds=7)
        self.attempt(key, lambda state, each: state.note_done(each, done, watched=watched))

    @rule(key=target, name=short)
    def deliver(self, key: str, name: str) -> None:
        """Store a package, where it was put, and a finished step."""
        package = Artifact(Path("/out", name), name, 3, "ab12", made_by="download")
        service = ServiceVersion("f", "s", "id", "1.0", "vid")

        def act(state: State, attempt: Attempt) -> None:
            state.placed(key).put(f"/out/{name}", self.run)
            state.note_delivered(attempt, [package], [[service], [service]])
            state.begin_step(attempt, name, "import_to")
            state.note_step(attempt, (0, name), StepResult(name, "succeeded", 1.5), [])
            state.placed(key).put_later("/out/last", name)
            state.store_value((key, "import_to", name), self.run)

        self.attempt(key, act)

    @rule(key=target)
    def hold(self, key: str) -> None:
        """Hold the attempt, and approve what was held before."""

        def act(state: State, attempt: Attempt) -> None:
            if state.holds.of(attempt):
                given = Approval(("prod@ab12",), "ann", "", self.now.isoformat(), self.run)
                state.holds.approve(attempt, given)
            hold = Hold(0, attempt.id, self.run, self.now, "prod", WORK, "approve it")
            state.holds.put(attempt, hold)
            state.note_outcome(attempt, self.run, Outcome.HELD, "waits", self.now)

        self.attempt(key, act)

    @rule(key=target)
    def split(self, key: str) -> None:
        """Split the request, and begin the first part."""

        def act(state: State, attempt: Attempt) -> None:
            part = Intent(self.run, f"{key}#1", "https://t", "p", "c", part_of=attempt.id)
            state.split(attempt, "", dict.fromkeys("12", Request(folders=("f",))), self.now)
            if not state.unfinished(f"{key}#1"):
                state.intend(part, self.now)

        self.attempt(key, lambda s, each: None if s.parts(each) else act(s, each))

    @rule(key=target, how=outcome)
    def end(self, key: str, how: Outcome) -> None:
        """End the attempt with an error."""
        self.attempt(key, lambda state, each: state.finish(each, how, "no room", self.now))

    @rule(key=target)
    def complete(self, key: str) -> None:
        """End the attempt well."""
        self.attempt(key, lambda state, each: state.complete(each, "work", self.now))

    @invariant()
    def same(self) -> None:
        """Both say the same."""
        first, second = map(content, self.states)
        assert first == second


def content(state: State) -> dict[str, Any]:
    """Return all that a state says, without the ids of its rows."""
    keys = [*TARGETS, *(f"{key}#1" for key in TARGETS)]
    found = {(key, "open"): state.unfinished(key) for key in keys}
    found |= {(key, "last"): state.last_delivered(key) for key in TARGETS}
    attempts = {key: each for key, each in found.items() if each}
    runs = state.runs.last(9)
    return {
        "attempts": {
            key: (
                replace(each, id=0, part_of=each.part_of and 0),
                [part.name for part in state.parts(each)],
                [replace(part, id=0, part_of=0) for part in state.open_parts(each)],
                state.artifacts(each),
                state.steps(each),
                (hold := state.holds.of(each)) and replace(hold, id=0, attempt=0),
            )
            for key, each in attempts.items()
        },
        "open": [each.target for each in state.open_attempts()],
        "values": [
            [state.value((key, "import_to", name)), state.placed(key).get(f"/out/{name}")]
            for key in TARGETS
            for name in ("x", "y", "last")
        ],
        "durations": [
            [state.durations(key, "https://t", size), state.similar(key, "https://t", size)]
            for key in TARGETS
            for size in ("x", "y")
        ],
        "runs": runs,
        "of runs": [
            (state.runs.targets(each.id), state.runs.holds(each.id), state.runs.approvals(each.id))
            for each in runs
        ],
    }


TestBothStorages = BothStorages.TestCase
TestBothStorages.settings = settings(max_examples=10, stateful_step_count=20)
