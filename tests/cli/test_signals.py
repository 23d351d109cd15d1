"""What a signal means for a command with several manifests."""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner import blocking
from spark_impex_runner.cli import main as command
from spark_impex_runner.engine import run
from spark_impex_runner.errors import Interrupted

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
def test_stuck_threads_are_not_waited_for(monkeypatch: pytest.MonkeyPatch, stuck: bool) -> None:
    """Where a plugin hung the process leaves with its exit code, after all output is written."""
    did: list[Any] = []
    monkeypatch.setattr(blocking, "left_behind", lambda: stuck)
    monkeypatch.setattr(os, "_exit", did.append)
    monkeypatch.setattr(logging, "shutdown", lambda: did.append("logs are"))
    undo = ExitStack()
    undo.callback(did.append, "output is written")

    command._leave_at_once_if_stuck(143, SimpleNamespace(undo=undo))  # type: ignore[arg-type]

    assert did == (["logs are", "output is written", 143] if stuck else [])
