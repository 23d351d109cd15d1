"""Wrappers of ``impex_run_job`` surround the target, and their errors are part of its result."""

from __future__ import annotations

import json
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.errors import StepError
from spark_impex_runner.models import RECEIPT, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SEEING = """
import threading
from contextvars import ContextVar
import seen
from spark_impex_runner import hookimpl

SPAN, LOCAL = ContextVar("span", default="no span"), threading.local()

@hookimpl
def impex_register(registry):
    registry.step("peek", "Looks at what the wrapper has set.")

@hookimpl(wrapper=True)
def impex_run_job(job):
    # A span of OpenTelemetry: its token may be given back in the context that it is from only.
    token, LOCAL.span = SPAN.set(job.target.name), job.target.name
    try:
        return (yield)
    finally:
        seen.closed.append(LOCAL.span)
        del LOCAL.span
        SPAN.reset(token)

def look(job, where):
    seen.all.append((where, job.target.name, SPAN.get(), getattr(LOCAL, "span", "no local")))

@hookimpl
def impex_poll_delay(job):
    look(job, "poll")

@hookimpl
def impex_check_download(job):
    look(job, "download")

@hookimpl
def impex_run_step(job, step):
    if step.uses == "peek":
        look(job, "step")
        return []
"""
FAILING = """
from spark_impex_runner import hookimpl
from spark_impex_runner.errors import StepError

@hookimpl
def impex_register(registry):
    registry.step("full", "Finds no room.")

@hookimpl
def impex_run_step(step):
    if step.uses == "full":
        raise StepError("no room")

@hookimpl({kind}=True)
def impex_run_job(job):
    yield
    raise RuntimeError("the span cannot be closed")
"""
TARGETS = "".join(
    f"- {{name: {name}, folders: [life], steps: [{{uses: peek}}]}}\n" for name in "abc"
)


def test_wrapper_surrounds_the_target(
    run: Any, serve: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A context variable, a thread-local and a span hold in the target, and end with it."""
    seen: Any = ModuleType("seen")
    seen.all, seen.closed = [], []
    monkeypatch.setitem(sys.modules, "seen", seen)
    plugin = tmp_path / "seeing.py"
    plugin.write_text(SEEING)

    result = run(serve(job_limit=2), TARGETS, plugin_files=(plugin,))

    assert result.exit_code == 0
    assert {(where, name) for where, name, _, _ in seen.all} == {
        (where, name) for where in ("poll", "download", "step") for name in "abc"
    }
    assert all(span == local == name for _, name, span, local in seen.all)
    assert sorted(seen.closed) == ["a", "b", "c"]


@pytest.mark.filterwarnings("ignore::pluggy.PluggyTeardownRaisedWarning")
@pytest.mark.parametrize("kind", ["wrapper", "hookwrapper"])
def test_failed_wrapper_keeps_delivery(
    run: Any, serve: Callable[..., Any], only: Any, tmp_path: Path, kind: str
) -> None:
    """The result has job id, packages and receipt besides the wrapper's error."""
    plugin = tmp_path / "failing.py"
    plugin.write_text(FAILING.format(kind=kind))

    target = only(run(serve(), "- {name: a, folders: [life]}", plugin_files=(plugin,)))

    receipt = json.loads((target.target.output / RECEIPT).read_text())
    assert (target.outcome, target.exit_code) == (Outcome.FAILED, 7)
    assert target.job_id == receipt["job_id"]
    assert [each.name for each in target.artifacts] == ["package.zip"]
    assert target.error == (
        "plugin failing failed in impex_run_job: RuntimeError: the span cannot be closed; "
        "-p no:failing runs without it"
    )


def test_failed_wrapper_adds_its_error(
    run: Any, serve: Callable[..., Any], only: Any, tmp_path: Path
) -> None:
    """The target's own error comes first, and decides the exit code."""
    plugin = tmp_path / "failing.py"
    plugin.write_text(FAILING.format(kind="wrapper"))

    text = "- {name: a, folders: [life], steps: [{uses: full}]}"
    target = only(run(serve(), text, plugin_files=(plugin,)))

    own, _, added = target.error.partition("; plugin ")
    assert own == "step full: no room"
    assert added.startswith("failing failed in impex_run_job: RuntimeError")
    assert (target.outcome, target.exit_code) == (Outcome.FAILED, StepError.exit_code)
    assert target.job_id
    assert len(target.artifacts) == 1
