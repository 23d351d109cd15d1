"""A step that must run only once, with a state on a store whose writes fail or are its last."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from fake_objects import FakeObjects, World

from spark_impex_runner.errors import StateError
from spark_impex_runner.models import Outcome
from spark_impex_runner.state import opening

if TYPE_CHECKING:
    from collections.abc import Callable

# ``done.log`` has a line for each time that the step was done.
PLUGIN = """
from pathlib import Path
from spark_impex_runner import errors, hookimpl

@hookimpl
def impex_register(registry):
    registry.step("post", "Posts it.", idempotent=False)

@hookimpl
def impex_run_step(job, step, artifact):
    if step.uses != "post":
        return None
    if HOLDS and "sit" not in job.run.approved:
        raise errors.HeldError("it waits", "sit")
    with Path(__file__).with_name("done.log").open("a") as log:
        log.write("done\\n")
    return []
"""
TARGET = "- {name: a, folders: [life], steps: [{uses: post}]}"
OBJECT = "targets/manifest/a.json"
APPROVED = {"approved": frozenset(["sit"])}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Return the store of the runs' state."""
    world = World()
    monkeypatch.setattr(opening, "_object_storage", lambda *_: world.storage())
    return world


@pytest.fixture
def post(run: Any, serve: Callable[..., Any], only: Any) -> Callable[..., Any]:
    """Return a function that runs a target with the step, which is held or not."""
    sandbox, plugin = serve(), run.folder / "post.py"

    def post(*, holds: bool = False, **options: Any) -> Any:
        plugin.write_text(PLUGIN.replace("HOLDS", str(holds)))
        return only(run(sandbox, TARGET, state="s3://m/impex", plugin_files=(plugin,), **options))

    return post


def times(run: Any) -> int:
    """Return how often the step was done."""
    log = run.folder / "done.log"
    return len(log.read_text().splitlines()) if log.exists() else 0


def fail_once(monkeypatch: pytest.MonkeyPatch, condition: Callable[[dict[str, Any]], bool]) -> None:
    """Let the first write of the target fail whose tables meet a condition."""
    put, failed = FakeObjects.put, list[str]()

    def failing(self: FakeObjects, key: str, data: bytes, *rest: Any, **named: Any) -> Any:
        if key == OBJECT and not failed and condition(json.loads(data)["tables"]):
            failed.append(key)
            raise StateError("s3://memory/impex: error sending request")
        return put(self, key, data, *rest, **named)

    monkeypatch.setattr(FakeObjects, "put", failing)


def begun(tables: dict[str, Any]) -> bool:
    """Return whether a step counts as begun."""
    return "begun" in [each["outcome"] for each in tables["steps"]]


@pytest.mark.usefixtures("world")
def test_error_after_the_work_does_not_repeat_it(
    run: Any, post: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The use of the approval cannot be stored: what was done is not done a second time."""
    assert post(holds=True).outcome is Outcome.HELD
    fail_once(monkeypatch, lambda _: times(run) > 0)

    first = post(holds=True, **APPROVED)
    second = post(holds=True, **APPROVED)

    assert (first.outcome, second.outcome) == (Outcome.FAILED, Outcome.FAILED)
    assert "error sending request" in first.error
    assert "it is not run twice" in second.error
    assert times(run) == 1


@pytest.mark.usefixtures("world")
def test_step_whose_begin_failed_runs_later(
    run: Any, post: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write before the step fails, so that it does not run: the next run may run it."""
    fail_once(monkeypatch, begun)

    first = post()
    ran = times(run)
    second = post()

    assert (first.outcome, ran) == (Outcome.FAILED, 0)
    assert (second.outcome, times(run)) == (Outcome.SUCCEEDED, 1)


@pytest.mark.usefixtures("world")
def test_held_step_is_not_stored_as_begun(
    run: Any, post: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No kill leaves a hold with its step as begun; once it is approved, the step begins again."""
    stored, put = list[tuple[dict[str, Any], int]](), FakeObjects.put

    def recorded(self: FakeObjects, key: str, data: bytes, *rest: Any, **named: Any) -> Any:
        if key == OBJECT:
            stored.append((json.loads(data)["tables"], times(run)))
        return put(self, key, data, *rest, **named)

    monkeypatch.setattr(FakeObjects, "put", recorded)

    assert post(holds=True).outcome is Outcome.HELD
    held = [begun(tables) for tables, _ in stored if tables["holds"]]
    stored.clear()
    assert post(holds=True, **APPROVED).outcome is Outcome.SUCCEEDED

    assert held
    assert not any(held)
    assert begun([tables for tables, done in stored if not done][-1])
