"""Commands on a state in a store where other runners work at the same time, or have spoilt it."""

from __future__ import annotations

import signal
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import pytest
from fake_objects import START, World, WorldClock

from spark_impex_runner.clock import Clock
from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.models import RunOptions
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
        clock = Clock()
        clock.wait = lambda _seconds: clock.stop(signal.SIGTERM) or clock.check()  # type: ignore[method-assign,func-returns-value]
        options = RunOptions(state=URL)
        yield run_manifest(shell.folder / "m.yaml", options, clock=clock).results[0].job_id


@pytest.fixture
def busy(world: World, left: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let another runner hold the target until somebody waits for it."""
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
