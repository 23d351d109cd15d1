"""What a signal means for a command with several manifests."""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import ExitStack
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner import blocking
from spark_impex_runner.cli import main as command
from spark_impex_runner.cli.run import exit_in_time
from spark_impex_runner.clock import Clock
from spark_impex_runner.engine import run
from spark_impex_runner.errors import Interrupted, StateError

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = """
version: 1
connections: {c: {base_url: "http://127.0.0.1:9/acme", auth: {token: "${env:TOKEN}"}}}
targets: [{name: a, services: ["motor/pricing[1.0.0]"]}]
"""


def test_no_manifest_begins_after_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first one is ended by the signal; the second is not even read again."""
    monkeypatch.setenv("TOKEN", "a-token-of-this-test")
    paths, begun = [tmp_path / "one.yaml", tmp_path / "two.yaml"], []
    for path in paths:
        path.write_text(MANIFEST)

    def stopped(path: Path, *_: Any, clock: Any, **__: Any) -> None:
        begun.append(path)
        clock.stop(15)
        raise Interrupted(15)

    monkeypatch.setattr(run, "run_manifest", stopped)

    with pytest.raises(SystemExit) as ended:
        command.main(["run", *map(str, paths)])

    assert begun == paths[:1]
    assert ended.value.code == 143
    assert "interrupted by SIGTERM" in capsys.readouterr().err


@pytest.mark.parametrize("stuck", [True, False])
def test_stuck_threads_do_not_block_exit(monkeypatch: pytest.MonkeyPatch, stuck: bool) -> None:
    """Where a plugin hung the process leaves with its exit code, after all output is written."""
    did: list[Any] = []
    monkeypatch.setattr(blocking, "has_abandoned", lambda: stuck)
    monkeypatch.setattr(os, "_exit", did.append)
    monkeypatch.setattr(logging, "shutdown", lambda: did.append("logs are"))
    undo = ExitStack()
    undo.callback(did.append, "output is written")

    command._exit_now_if_stuck(143, SimpleNamespace(undo=undo))  # type: ignore[arg-type]

    assert did == (["logs are", "output is written", 143] if stuck else [])


def test_a_blocked_process_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """What no signal ends, such as a write into a full pipe, ends soon after the signal."""
    left: list[int] = []
    exited, clock = threading.Event(), Clock()
    monkeypatch.setattr(os, "_exit", lambda code: (left.append(code), exited.set()))

    with exit_in_time(clock, seconds=0.01):
        clock.stop(15)
        assert exited.wait(10)

    assert left == [143]


def test_a_report_in_progress_keeps_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is left no later than the report's time is over."""
    left: list[float] = []
    exited, clock = threading.Event(), Clock()
    monkeypatch.setattr(os, "_exit", lambda _: (left.append(time.monotonic()), exited.set()))

    with exit_in_time(clock, seconds=0.0), clock.reserved(0.1):
        until = clock.reserved_until
        clock.stop(15)
        assert exited.wait(10)

    assert left[0] >= until


def test_an_ended_run_is_not_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that ends in time, with or without a signal, has its own exit code."""
    left: list[int] = []
    monkeypatch.setattr(os, "_exit", left.append)

    for stop in (True, False):
        clock = Clock()
        with exit_in_time(clock, seconds=60):
            if stop:
                clock.stop(15)
        for thread in threading.enumerate():
            if thread.name == "impex-leave":
                thread.join(10)

    assert left == []
    assert not any(each.name == "impex-leave" for each in threading.enumerate())


def test_error_after_signal_keeps_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails because the run is being ended does not count as an invalid manifest."""
    (tmp_path / "m.yaml").write_text(MANIFEST)

    def stopped(*_: Any, clock: Any, **__: Any) -> None:
        clock.stop(15)
        raise StateError("database is locked")

    monkeypatch.setattr(run, "run_manifest", stopped)

    with pytest.raises(SystemExit) as ended:
        command.main(["run", str(tmp_path / "m.yaml")])

    assert ended.value.code == 143


@pytest.mark.parametrize("code", [0, 143])
def test_a_hanging_end_is_left(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """A thread or an atexit function of a plugin keeps no process alive, nor changes its code."""
    left: list[int] = []
    exited = threading.Event()
    monkeypatch.setattr(command, "_GRACE_SECONDS", 0.01)

    command._exit_after_grace(code, lambda code: (left.append(code), exited.set()))

    assert exited.wait(10)
    assert left == [code]
