"""One tenant's pipeline: the slot moves on while packages come home and steps run."""

from __future__ import annotations

import socket
import sys
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.clock import Clock
from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.models import Outcome, RunOptions
from spark_impex_runner.spark.exports import Exports

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PLUGIN = """
import doorkeeper
from spark_impex_runner import hookimpl

@hookimpl
def impex_register(registry):
    registry.step("slow", "waits for the test")

@hookimpl
def impex_check_download(job, artifact):
    doorkeeper.check(job.target.name, artifact.name)

@hookimpl
def impex_download_path(job, artifact):
    return doorkeeper.name(artifact.name)

@hookimpl
def impex_run_step(job, step):
    if step.uses == "slow":
        doorkeeper.step(job.target.name)
        return []

@hookimpl
def impex_job_changed(job, change):
    doorkeeper.changed(job.target.name, change.event)
"""
QUICK = "polling: {strategy: fixed}, retry_interval: 50ms"
A, B, C = (f"- {{name: {name}, folders: [life], {QUICK}}}\n" for name in "abc")


class Doorkeeper(SimpleNamespace):
    """What the plugin calls; a test replaces what it wants to hold up. ``happened`` is in order."""

    def __init__(self) -> None:
        super().__init__(check=self.pass_by, step=self.pass_by, name=lambda name: name)
        self.happened: list[tuple[str, str]] = []
        self._news = threading.Condition()

    def pass_by(self, *_: str) -> None:
        """Let every request pass."""

    def changed(self, target: str, event: str) -> None:
        """Note an event."""
        with self._news:
            self.happened.append((target, event))
            self._news.notify_all()

    def wait_for(self, target: str, event: str, seconds: float = 10) -> bool:
        """Wait until an event has happened; False where it does not."""
        with self._news:
            return self._news.wait_for(lambda: (target, event) in self.happened, seconds)

    def wait_for_many(self, event: str, times: int, seconds: float = 10) -> bool:
        """Wait until an event has happened to so many targets; False where it does not."""
        with self._news:
            return self._news.wait_for(
                lambda: [each for _, each in self.happened].count(event) >= times, seconds
            )


@pytest.fixture
def clock() -> Clock:
    """Return the real clock: these tests hold real workers up."""
    return Clock()


@pytest.fixture
def doorkeeper(
    monkeypatch: pytest.MonkeyPatch, run: Any, tmp_path: Path
) -> Callable[..., Doorkeeper]:
    """Return a function that gives the plugin's other half, and has it loaded by ``run.go``."""
    plugin = tmp_path / "doorkeeper_plugin.py"
    plugin.write_text(PLUGIN)
    keeper = Doorkeeper()
    monkeypatch.setitem(sys.modules, "doorkeeper", keeper)

    def go(sandbox: Any, text: str) -> Any:
        return run(sandbox, text, plugin_files=(plugin,))

    keeper.go = go
    return keeper


def test_next_job_starts_during_download(serve: Callable[..., Any], doorkeeper: Any) -> None:
    """The second job is created before the first one's download has ended."""
    doorkeeper.check = lambda name, _: name != "a" or doorkeeper.wait_for("b", "job.created")

    result = doorkeeper.go(serve(), A + B)

    assert result.exit_code == 0
    happened = doorkeeper.happened
    assert happened.index(("b", "job.created")) < happened.index(("a", "package.delivered"))


def test_slow_step_blocks_nothing(serve: Callable[..., Any], doorkeeper: Any, run: Any) -> None:
    """All other targets are delivered while a step still runs."""
    doorkeeper.step = lambda _: doorkeeper.wait_for("c", "target.succeeded")
    run.connection_keys = "downloads: 1"
    slow = f"- {{name: a, folders: [life], {QUICK}, steps: [{{uses: slow}}]}}\n"

    result = doorkeeper.go(serve(), slow + B + C)

    assert result.exit_code == 0
    happened = doorkeeper.happened
    assert happened.index(("c", "target.succeeded")) < happened.index(("a", "step.succeeded"))


def test_finished_jobs_are_limited(serve: Callable[..., Any], doorkeeper: Any, run: Any) -> None:
    """With one download at a time, the third job waits for the first package."""
    early: list[bool] = []

    def hold(*_: str) -> None:
        if not early:  # Any of the targets may be the first.
            early.append(doorkeeper.wait_for_many("job.done", 2))
            early.append(doorkeeper.wait_for_many("job.created", 3, 0.2))

    doorkeeper.check = hold
    run.connection_keys = "downloads: 1"

    assert doorkeeper.go(serve(), A + B + C).exit_code == 0
    assert early == [True, False]


@pytest.mark.parametrize(("downloads", "patience"), [(1, 0.2), (2, 10)])
def test_files_of_a_job_share_downloads(
    serve: Callable[..., Any],
    doorkeeper: Any,
    run: Any,
    monkeypatch: pytest.MonkeyPatch,
    downloads: int,
    patience: float,
) -> None:
    """As many files of one job as ``downloads`` allows are downloaded at a time."""
    status, names = Exports.status, iter(["one.zip", "two.zip"])
    monkeypatch.setattr(Exports, "status", lambda *a, **k: _doubled(status(*a, **k)))
    meeting, met = threading.Barrier(2), []

    def check(*_: str) -> None:
        try:
            meeting.wait(patience)
        except threading.BrokenBarrierError:
            met.append(False)
        else:
            met.append(True)

    doorkeeper.name, doorkeeper.check = lambda _: next(names), check
    run.connection_keys = f"downloads: {downloads}"

    result = doorkeeper.go(serve(), A)

    assert result.exit_code == 0
    assert [each.name for each in result.results[0].artifacts] == ["one.zip", "two.zip"]
    assert met == [downloads == 2] * 2


def _doubled(status: Any) -> Any:
    return replace(status, files=status.files * 2)


def test_job_limit_of_the_tenant(serve: Callable[..., Any], doorkeeper: Any) -> None:
    """The tenant is asked for its limit: two of three jobs run at a time."""
    sandbox = serve(job_limit=2, job_seconds=0.2)

    assert doorkeeper.go(sandbox, A + B + C).exit_code == 0

    events = [event for _, event in doorkeeper.happened if event in {"job.created", "job.done"}]
    assert events[:2] == ["job.created", "job.created"]
    assert events.index("job.done") == 2


def test_silent_tenants_block_nothing(serve: Callable[..., Any], run: Any) -> None:
    """Forty silent tenants do not delay the target of a healthy one."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        base = f"http://127.0.0.1:{silent.getsockname()[1]}"
        rest = "timeout: 2s, auth: {token: '${env:TOKEN}'}"
        dead = [f"  dead{n}: {{base_url: '{base}/t{n}', {rest}}}" for n in range(40)]
        path = run.write(serve(), A.replace("life]", "life], connection: sit"))
        lost = "".join(
            f"  - {{name: x{n}, folders: [life], connection: dead{n}, polling: {{deadline: 1s}}}}\n"
            for n in range(40)
        )
        text = path.read_text().replace("targets:\n", "\n".join([*dead, "targets:", lost]))
        path.write_text(text)

        result = run_manifest(path, RunOptions(jobs=1), clock=run.clock)

    healthy = next(each for each in result.results if each.target.name == "a")
    assert healthy.outcome is Outcome.SUCCEEDED
    assert all(healthy.finished < each.finished for each in result.results if each is not healthy)
