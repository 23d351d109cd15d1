"""A run killed while its job runs is completed elsewhere, by the same command without any state."""

from __future__ import annotations

import shutil
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.models import RunOptions
from spark_impex_runner.report import receipt
from spark_impex_runner.sandbox.server import Sandbox, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from spark_impex_runner.sandbox.server import Recorded

RUN = "from spark_impex_runner.cli.main import run; run()"
# The listing, the create call, and eight status checks.
INSTANTS = range(1, 11)


class Requests(deque["Recorded"]):
    """Calls a function after so many requests."""

    def __init__(self, after: int, call: Callable[[], None]) -> None:
        super().__init__()
        self._after = after
        self._call = call

    def append(self, request: Recorded) -> None:
        """Add a request."""
        super().append(request)
        if len(self) == self._after:
            self._call()


@pytest.fixture
def tenant(tmp_path: Path) -> Iterator[tuple[Sandbox, deque[Recorded]]]:
    """Serve a service whose job runs until the second run has sent three requests."""
    (tmp_path / "acme/life/annuity/1.0.0").mkdir(parents=True)
    second: deque[Recorded] = deque()
    settings = Settings(job_seconds=3)
    with Sandbox(tmp_path / "acme", settings, clock=lambda: float(len(second))) as sandbox:
        yield sandbox, second


@pytest.mark.parametrize("nth", INSTANTS)
def test_kill_without_state(
    tenant: tuple[Sandbox, deque[Recorded]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    start: Any,
    nth: int,
) -> None:
    """After a kill at any request, an empty folder elsewhere has one job and a whole package."""
    sandbox, second = tenant
    monkeypatch.setenv("CSPARK_BEARER_TOKEN", sandbox.token)
    killed, process = threading.Event(), []
    sandbox.requests = Requests(nth, lambda: (process[0].kill(), killed.set())[1])
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
        (folder / "m.yaml").write_text(
            f"version: 1\nconnections: {{sit: {{base_url: '{sandbox.base_url}'}}}}\n"
            "targets:\n  - {name: life, folders: [life], retry_interval: 50ms,\n"
            "     polling: {strategy: fixed}, steps: [{uses: checksum}]}\n"
        )
    process.append(start("-c", RUN, folders[0] / "m.yaml", "-q"))
    assert process[0].wait() == -9
    assert killed.wait(10)  # set right after the kill
    shutil.rmtree(folders[0])
    sandbox.requests = second

    result = run_manifest(folders[1] / "m.yaml", RunOptions())

    assert (result.exit_code, sandbox.jobs_created) == (0, 1)
    assert receipt.verify(folders[1] / "exports/life") == []
