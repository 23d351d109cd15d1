"""What a step remembers: durable text by key, its own, and without secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.models import KeyValueStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PLUGIN = """
from spark_impex_runner import hookimpl
from spark_impex_runner.hooks.specs import StepOutput

@hookimpl
def impex_register(registry):
    registry.step("count", "counts its runs", always=True)
    registry.step("other", "counts its own")
    registry.step("spill", "keeps what it is given", {"type": "object", "properties": {"what": {}}})

@hookimpl
def impex_run_step(job, step):
    if step.uses == "spill":
        job.memory.put(step.options["what"], step.options["what"])
        return StepOutput(message=job.memory.get(step.options["what"]))
    job.memory.put("runs", job.memory.get("runs") + "I")
    return StepOutput(message=job.memory.get("runs"))
"""


@pytest.fixture
def sandbox(serve: Callable[..., Any]) -> Any:
    """Return the tenant that the targets are on."""
    return serve()


@pytest.fixture
def messages(run: Any, sandbox: Any, tmp_path: Path) -> Callable[[str], list[tuple[str, ...]]]:
    """Return a function that runs targets and returns the messages of each one's steps."""
    plugin = tmp_path / "remembers.py"
    plugin.write_text(PLUGIN)

    def start(text: str) -> list[tuple[str, ...]]:
        results = run(sandbox, text, plugin_files=(plugin,)).results
        return [tuple(step.message for step in result.steps) for result in results]

    return start


def test_values_survive_runs(messages: Callable[..., Any]) -> None:
    """A step finds the values that it stored in an earlier run."""
    target = "- {name: a, folders: [life], steps: [{uses: count}]}"

    assert [messages(target), messages(target)] == [[("I",)], [("II",)]]


def test_stores_are_separate(messages: Callable[..., Any]) -> None:
    """Each step of each target has its own store; two steps of one name share it."""
    steps = "steps: [{uses: count}, {uses: other}, {uses: count}]"

    found = messages(f"- {{name: a, folders: [life], {steps}}}\n- {{name: b, folders: [life]}}\n")

    assert found == [("I", "I", "II"), ()]
    assert messages(f"- {{name: b, folders: [life], {steps}}}") == [("I", "I", "II")]


def test_stored_secrets_are_masked(messages: Callable[..., Any], run: Any, sandbox: Any) -> None:
    """Neither a key nor a value holds a secret, and masked keys are still found."""
    spill = "steps: [{uses: spill, with: {what: 'so: ${env:TOKEN}'}}]"

    [[found]] = messages(f"- {{name: a, folders: [life], {spill}}}")

    store = b"".join(path.read_bytes() for path in (run.folder / ".impex").glob("state.db*"))
    assert found.startswith("so: ")
    assert b"so: " in store
    assert sandbox.token.encode() not in store


def test_store_without_a_run() -> None:
    """A job that a test makes has a store in memory."""
    store = KeyValueStore()
    store.put("a", "1")
    store.put("a", "2")

    assert (store.get("a"), store.get("b")) == ("2", "")
