"""Commands on a state in a store where other runners work at the same time, or have spoilt it."""

from __future__ import annotations

import json
import signal
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import pytest
from fake_objects import START, FakeObjects, World, WorldClock

from spark_impex_runner.clock import Clock
from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.errors import UsageError
from spark_impex_runner.models import Outcome, RunOptions
from spark_impex_runner.sandbox.server import Sandbox, Settings
from spark_impex_runner.state import opening
from spark_impex_runner.state.store import State

if TYPE_CHECKING:
    from collections.abc import Iterator

URL = "s3://memory/impex"
STATE = ("--state", URL)
MANIFEST = """version: 1
connections: {{sit: {{base_url: '{}'}}}}
targets:
  - {{name: all, folders: [life, motor], on_interrupt: leave}}
"""


def stopping_clock() -> Clock:
    """Return a clock whose first wait ends the run."""
    clock = Clock()
    clock.wait = lambda _seconds: clock.stop(signal.SIGTERM) or clock.check()  # type: ignore[method-assign,func-returns-value]
    return clock


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Return the store of the state."""
    world = World()
    monkeypatch.setattr(opening, "_object_storage", lambda *_: world.storage())
    return world


@pytest.fixture(params=["whole", "split"])
def left(
    request: pytest.FixtureRequest, shell: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Leave the job of a target, or of its first part, and return its id."""
    del world
    limit = 6000 if request.param == "split" else 1 << 30
    limits = Settings(job_seconds=3600, size_limit=limit, over_limit="refuse")
    with Sandbox(shell.folder / "acme", limits) as sandbox:
        monkeypatch.setenv("CSPARK_BEARER_TOKEN", sandbox.token)
        (shell.folder / "m.yaml").write_text(MANIFEST.format(sandbox.base_url))
        path, options = shell.folder / "m.yaml", RunOptions(state=URL)
        yield run_manifest(path, options, clock=stopping_clock()).results[0].job_id


@pytest.fixture
def busy(world: World, left: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let another runner hold the target until another run waits for it."""
    del left
    runner = ExitStack()
    runner.enter_context(world.storage().lease("m/all", START))
    wait = WorldClock.wait

    def waited(clock: WorldClock, seconds: float) -> None:
        runner.close()
        wait(clock, seconds)

    monkeypatch.setattr(WorldClock, "wait", waited)


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize("by", ["target", "job"])
def test_cancel_closes_what_it_waited_for(shell: Any, world: World, left: str, by: str) -> None:
    """The attempt is read again once its target is free, and closed with its parts."""
    with closing(State(world.storage())) as state:
        attempt = state.unfinished("m/all")
    split = attempt and attempt.job_id != left

    done = shell("impex", "cancel", "m.yaml", *STATE, *(["--job", left] if by == "job" else []))

    assert done.code == 0, done.err
    assert f"job {left} cancelled" in done.out
    with closing(State(world.storage())) as state:
        # A part of a split request leaves the others.
        assert bool(state.open_attempts()) == (split and by == "job")


@pytest.fixture
def damaged(shell: Any, world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Damage the object of the first of two targets, of which the second has left a job."""
    with Sandbox(shell.folder / "acme", Settings(job_seconds=3600)) as sandbox:
        monkeypatch.setenv("CSPARK_BEARER_TOKEN", sandbox.token)
        text = MANIFEST.format(sandbox.base_url)
        path = shell.folder / "m.yaml"
        path.write_text(f"{text}  - {{name: b, folders: [life], on_interrupt: leave}}\n")
        run_manifest(path, RunOptions(state=URL, targets=("b",)), clock=stopping_clock())
        FakeObjects(world).put_always("targets/m/all.json", b"{")
        yield sandbox


DAMAGED = f"{URL}/targets/m/all.json is damaged ("


def test_damaged_object_ends_no_other_target(shell: Any, damaged: Sandbox) -> None:
    """A run works on the other targets, and the one whose object it is names it."""
    done = run_manifest(shell.folder / "m.yaml", RunOptions(state=URL), clock=stopping_clock())

    first, second = done.results
    assert first.outcome is Outcome.FAILED
    assert DAMAGED in first.error
    assert second.job_id
    assert damaged.jobs_created == 1


@pytest.mark.usefixtures("damaged")
def test_commands_show_the_rest(shell: Any) -> None:
    """Status, history, plan and cancel name the damaged object, and show what they can read."""
    status = shell("impex", "status", *STATE, "--json")
    history = shell("impex", "history", *STATE, "--format", "json")
    plan = shell("impex", "plan", "m.yaml", *STATE)
    cancel = shell("impex", "cancel", "m.yaml", *STATE)

    assert [each["target"] for each in json.loads(status.out)] == ["m/b"]
    assert [each["outcome"] for each in json.loads(history.out)["runs"]] == ["interrupted"]
    assert cancel.out.startswith("b: job ")
    for each in (status, history, cancel):
        assert DAMAGED in each.err
    assert (status.code, history.code, cancel.code) == (2, 2, 4)
    assert plan.out.split("\n\n")[1].startswith(f"all: fail\n  {DAMAGED}")
    assert plan.out.split("\n\n")[2].startswith("b: resume job ")
    assert plan.code == 2


@pytest.mark.usefixtures("damaged")
def test_damaged_object_hides_no_approval(shell: Any) -> None:
    """A run with approvals begins, although one of its targets cannot be read."""
    options = RunOptions(state=URL, approved=frozenset({"sit"}))

    with pytest.raises(UsageError, match="no step of the chosen targets can wait for sit"):
        run_manifest(shell.folder / "m.yaml", options)


@pytest.mark.usefixtures("damaged")
def test_damaged_state_is_not_migrated(shell: Any) -> None:
    """A copy without one of the targets would be taken for complete."""
    done = shell("impex", "state", "migrate", URL, str(shell.folder / "copy"))

    assert DAMAGED in done.err
    assert done.code == 2
