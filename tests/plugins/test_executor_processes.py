"""Targets of different tenants in processes of their own: real ones, real signals."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.errors import UsageError
from spark_impex_runner.models import Outcome, RunOptions
from spark_impex_runner.report import receipt
from spark_impex_runner.sandbox.server import Sandbox, Settings

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

COMMAND = ["-c", "from spark_impex_runner.cli.main import run; run()"]
PLUGIN = """
import logging, os, sys
from pathlib import Path
from spark_impex_runner import hookimpl

HERE = Path(__file__).parent

@hookimpl
def impex_job_changed(job, change):
    secret = (HERE / f"token-{job.target.connection}").read_text()
    with (HERE / "pids").open("a") as file:
        print(change.event, job.target.name, os.getpid(), os.getppid(), file=file)
    logging.getLogger("mine").warning("logged %s", secret)
    print("printed", secret)
    print("told", secret, file=sys.stderr)
"""


class World:
    """Two tenants, where a job takes an hour until ``finish`` is called, and a target on each."""

    def __init__(self, folder: Path, start: Callable[..., subprocess.Popen[str]]) -> None:
        self.folder = folder
        self._start = start
        self.speed = 0.0
        self.tenants: dict[str, Sandbox] = {}
        self.notify: list[dict[str, Any]] = []

    def now(self) -> float:
        """Return the tenants' time."""
        return self.speed * time.monotonic()

    def finish(self) -> None:
        """Have all jobs end, and each new one at once."""
        self.speed = 1e6

    def write(self) -> Path:
        """Write the manifest and its secrets."""
        (self.folder / "plugin.py").write_text(PLUGIN)
        connections, targets = {}, []
        for name, tenant in self.tenants.items():
            (self.folder / f"token-{name}").write_text(tenant.token)
            auth = {"token": f"${{file:token-{name}}}"}
            connections[name] = {"base_url": tenant.base_url, "auth": auth}
            polling = {"polling": {"strategy": "fixed"}, "retry_interval": "100ms"}
            steps = [{"uses": "checksum"}, {"uses": "unzip"}]
            target = {"name": f"t-{name}", "connection": name, "folders": ["life"], "steps": steps}
            targets.append({**target, **polling})
        document = {
            "version": 1,
            "connections": connections,
            "targets": targets,
            "notify": self.notify,
            "report": {"json": "report.json"},
        }
        path = self.folder / "m.yaml"
        path.write_text(yaml.safe_dump(document))
        return path

    def start(self, *text: str) -> subprocess.Popen[str]:
        """Run the manifest by two processes, in a process group of its own."""
        command = [*COMMAND, self.write(), "--executor", "processes:2", *text]
        return self._start(*command, start_new_session=True)

    def events(self) -> list[list[str]]:
        """Return the events so far, with target, process and its parent."""
        path = self.folder / "pids"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def wait_for_jobs(self) -> None:
        """Wait until both tenants have a job that is known by its id."""
        until(lambda: all(asked(tenant, "/status") for tenant in self.tenants.values()))

    def holders(self) -> list[int]:
        """Return the processes that worked on targets."""
        files = (self.folder / ".impex/leases").glob("*.holder")
        return [json.loads(file.read_text())["pid"] for file in files]


def asked(tenant: Sandbox, text: str) -> int:
    """Return how many requests ended in these words: a job's status, not that of all."""
    paths = [each.path for each in list(tenant.requests) if each.method == "GET"]
    return sum(path.endswith(text) and not path.endswith(f"export{text}") for path in paths)


def until(done: Callable[[], Any], pause: float = 0.05) -> None:
    """Wait until something is so; what starts processes takes a moment."""
    waiting = threading.Event()
    while not done():
        waiting.wait(pause)


def lives(pid: int) -> bool:
    """Tell whether a process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def world(tmp_path: Path, start: Any) -> Iterator[World]:
    """Return two tenants that are served."""
    made = World(tmp_path, start)
    (tmp_path / "acme/life/annuity/1.0.0").mkdir(parents=True)
    settings = Settings(job_seconds=3600, url_seconds=1e12)
    with (
        Sandbox(tmp_path / "acme", settings, clock=made.now) as one,
        Sandbox(tmp_path / "acme", settings, clock=made.now) as two,
    ):
        made.tenants = {"one": one, "two": two}
        yield made


def test_two_processes_deliver_two_tenants(world: World) -> None:
    """With one report; what they say reaches stderr, no secret does, and no signal ends them.

    Ctrl-C and service managers signal every process of a group: it is the run that ends its own.
    """
    process = world.start("-p", str(world.folder / "plugin.py"), "--log-format", "json")
    world.wait_for_jobs()
    for signum, worker in product((signal.SIGTERM, signal.SIGINT), world.holders()):
        os.kill(worker, signum)
    world.finish()
    out, output = process.communicate()

    assert process.returncode == 0, output
    report = json.loads((world.folder / "report.json").read_text())
    assert [each["outcome"] for each in report["targets"]] == ["succeeded"] * 2
    for name in ("one", "two"):
        assert receipt.verify(world.folder / f"exports/t-{name}") == []
    events = world.events()
    workers = {(target, pid, parent) for _, target, pid, parent in events}
    assert len(workers) == len({pid for _, pid, _ in workers}) == 2
    assert {parent for *_, parent in workers} == {str(process.pid)}
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    message = {
        (line["target"], line["event"]) for line in lines if line["run_id"] == report["run_id"]
    }
    assert {(f"t-{name}", "target.succeeded") for name in ("one", "two")} <= message
    ends = [line["target"] for line in lines if line["event"] == "target.succeeded"]
    assert sorted(ends) == ["t-one", "t-two"]
    assert "Traceback" not in output
    assert "logged ***" in output
    assert "told ***" in output
    assert "printed ***" in output
    for tenant in world.tenants.values():
        assert tenant.token not in output + out


def test_signal_ends_all_processes(world: World) -> None:
    """It cancels both jobs, and leaves no process."""
    process = world.start()
    world.wait_for_jobs()
    workers = world.holders()
    os.kill(process.pid, signal.SIGTERM)
    _, output = process.communicate()

    assert process.returncode == 143, output
    assert "to resume:\n" in output
    assert "Traceback" not in output
    for tenant in world.tenants.values():
        assert [each.method for each in tenant.requests].count("PATCH") == 1
    report = json.loads((world.folder / "report.json").read_text())
    assert [each["outcome"] for each in report["targets"]] == ["cancelled"] * 2
    assert report["exit_code"] == 143
    assert not list((world.folder / ".impex").glob("*.stop"))
    until(lambda: not any(map(lives, workers)))


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells when a process has children")
def test_starting_processes_ignore_ctrl_c(world: World) -> None:
    """They are born deaf to it: no traceback, and the run ends as ever."""
    process = world.start()
    threads = Path(f"/proc/{process.pid}/task")

    def children() -> list[str]:
        lists = (each.read_text() for each in threads.glob("*/children"))
        return [child for text in lists for child in text.split()]

    until(lambda: len(children()) >= 2, pause=0.001)
    os.killpg(process.pid, signal.SIGINT)
    out, output = process.communicate()

    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert "is gone" not in out
    report = json.loads((world.folder / "report.json").read_text())
    assert [each["outcome"] for each in report["targets"]] == ["cancelled"] * 2


def test_dead_process_fails_its_own_targets(world: World) -> None:
    """The other process delivers, and the same command resumes the job of the dead one."""
    process = world.start()
    world.wait_for_jobs()
    workers = world.holders()
    os.kill(workers[0], signal.SIGKILL)
    until(lambda: not lives(workers[0]))
    world.finish()
    out, _ = process.communicate()

    assert process.returncode == 3
    died = f"its worker died (BrokenExecutor: process {workers[0]} was killed by signal 9)"
    assert out.count(died) == 1
    assert "run the same command again to resume" in out
    report = json.loads((world.folder / "report.json").read_text())
    assert sorted(each["outcome"] for each in report["targets"]) == ["failed", "succeeded"]

    [failed] = [each["target"] for each in report["targets"] if each["outcome"] == "failed"]
    process = world.start("-t", failed)
    process.communicate()

    assert process.returncode == 0
    assert [tenant.jobs_created for tenant in world.tenants.values()] == [1, 1]


def test_killed_run_is_resumed(world: World) -> None:
    """Its processes end with it, and a program finishes what they began, with one process.

    ``RunOptions.executor`` is the option; of its one process the second target waits until it is
    free. What they recorded for a notifier is in the results.
    """
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    # Never sent: no target is held.
    world.notify = [{"uses": "otel", "on": ["held"], "with": {"endpoint": "http://localhost"}}]
    process = world.start()
    world.wait_for_jobs()
    workers = world.holders()
    process.kill()
    process.communicate()

    until(lambda: not any(map(lives, workers)))
    world.finish()
    result = run_manifest(world.folder / "m.yaml", RunOptions(executor="processes:1"))

    assert [each.outcome for each in result.results] == [Outcome.SUCCEEDED] * 2
    assert len(set(world.holders())) == 1
    for each in result.results:
        assert f"/{each.job_id}/status" in str(each.http_calls)
    assert [tenant.jobs_created for tenant in world.tenants.values()] == [1, 1]


@pytest.mark.parametrize("address", ["0", "x", "-1", "1.5", "5000", "²"])
def test_invalid_process_count_is_refused(world: World, address: str) -> None:
    """Nothing is sent."""
    with pytest.raises(UsageError, match="expected a number from 1 to 1024"):
        run_manifest(world.write(), RunOptions(executor=f"processes:{address}"))

    assert not any(tenant.requests for tenant in world.tenants.values())
