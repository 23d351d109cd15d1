"""Targets of different tenants on a Dask cluster: a real scheduler, real workers, real kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from spark_impex_runner.errors import PluginError, UsageError
from spark_impex_runner.models import RunOptions
from spark_impex_runner.plugins.executor_dask import make
from spark_impex_runner.report import receipt
from spark_impex_runner.sandbox.server import Sandbox, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COMMAND = ["-c", "from spark_impex_runner.cli.main import run; run()"]
SCHEDULER = ["-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
WORKER = ["-m", "distributed.cli.dask_worker", "--no-nanny", "--nthreads", "1"]
# Each process of its own has another: no folder of the output is common to two.
ELSEWHERE = "/proc/self/cwd/exports/${target.name}"
PLUGIN = """
import logging
from pathlib import Path
from spark_impex_runner import hookimpl

@hookimpl
def impex_job_changed(job, change):
    secret = Path(__file__).with_name(f"token-{job.target.connection}").read_text()
    logging.getLogger("mine").warning("%s on %s with %s", change.event, Path.cwd().name, secret)
"""


def until(done: Callable[[], Any]) -> None:
    """Wait until a condition holds."""
    waiting = threading.Event()
    while not done():
        waiting.wait(0.05)


@dataclass
class Cluster:
    """A scheduler and its workers, each a process with a working folder and a home of its own."""

    folder: Path
    processes: ExitStack
    workers: list[subprocess.Popen[str]] = field(default_factory=list)
    scheduler: subprocess.Popen[str] | None = None

    def start(self, *workers: str) -> Cluster:
        """Start the scheduler, and then a worker of each name."""
        file = self.folder / "scheduler.json"
        more = ["--no-dashboard", "--scheduler-file", str(file)]
        self.scheduler = self._start("scheduler", *SCHEDULER, *more)
        until(file.exists)
        self.workers = [self._start(name, *WORKER, *more, "--name", name) for name in workers]
        log = self.folder / "scheduler.log"
        until(lambda: log.read_text().count("Register worker") >= len(workers))
        return self

    @property
    def address(self) -> str:
        """The address of the scheduler."""
        return str(json.loads((self.folder / "scheduler.json").read_text())["address"])

    def log(self, name: str) -> str:
        """Return what a process has printed."""
        return (self.folder / f"{name}.log").read_text()

    def _start(self, name: str, *words: str) -> subprocess.Popen[str]:
        home = self.folder / name
        (home / "tmp").mkdir(parents=True)
        environment = {**os.environ, "HOME": str(home), "TMPDIR": str(home / "tmp")}
        with (self.folder / f"{name}.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, *words], cwd=home, env=environment, stdout=log, stderr=log
            )
        self.processes.callback(process.wait)
        self.processes.callback(process.kill)
        return process


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Start a cluster with two workers that have no folder in common."""
    with ExitStack() as processes:
        folder = tmp_path / "cluster"
        folder.mkdir()
        yield Cluster(folder, processes).start("w1", "w2")


@dataclass
class World:
    """Two tenants, where a job takes so many seconds, and the manifests for them."""

    folder: Path
    tenants: dict[str, Sandbox]
    start: Callable[..., subprocess.Popen[str]]

    def write(self, *targets: dict[str, Any], **more: Any) -> Path:
        """Write the manifest, its secrets and the plugin."""
        (self.folder / "plugin.py").write_text(PLUGIN)
        connections = {}
        for name, tenant in self.tenants.items():
            (self.folder / f"token-{name}").write_text(tenant.token)
            auth = {"token": f"${{file:token-{name}}}"}
            connections[name] = {"base_url": tenant.base_url, "auth": auth}
        document = {"version": 1, "connections": connections, "targets": list(targets)}
        path = self.folder / "m.yaml"
        path.write_text(yaml.safe_dump({**document, "report": {"json": "report.json"}, **more}))
        return path

    def run(self, cluster: Cluster, *words: str) -> subprocess.Popen[str]:
        """Run the manifest, named relative to the working folder, on a cluster."""
        executor = ["--executor", f"dask:{cluster.address}"]
        return self.start(*COMMAND, "m.yaml", *executor, *words, cwd=self.folder)

    def report(self) -> dict[str, dict[str, Any]]:
        """Return the targets of the report by name."""
        report = json.loads((self.folder / "report.json").read_text())
        return {each["target"]: each for each in report["targets"]}

    def jobs(self) -> list[int]:
        """Return how many jobs each tenant has created."""
        return [tenant.jobs_created for tenant in self.tenants.values()]


def target(name: str, connection: str, *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a target."""
    polling = {"polling": {"strategy": "fixed"}, "retry_interval": "100ms"}
    does = {"steps": list(steps)} if steps else {}
    return {"name": name, "connection": connection, "folders": ["life"], **polling, **does, **more}


@pytest.fixture
def world(tmp_path: Path, start: Any, request: pytest.FixtureRequest) -> Iterator[World]:
    """Serve two tenants; a job takes the seconds of the parameter, half of one by default."""
    (tmp_path / "acme/life/annuity/1.0.0").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    settings = Settings(job_seconds=getattr(request, "param", 0.5))
    with (
        Sandbox(tmp_path / "acme", settings) as one,
        Sandbox(tmp_path / "acme", settings) as two,
    ):
        yield World(tmp_path / "work", {"one": one, "two": two}, start)


def test_workers_deliver_to_a_shared_output(cluster: Cluster, world: World) -> None:
    """Two workers deliver; each event is one line of the run's JSON log and of no worker's."""
    world.write(target("a", "one", {"uses": "unzip"}), target("b", "two"))

    process = world.run(cluster, "-p", "plugin.py", "--log-format", "json")
    out, said = process.communicate()

    assert process.returncode == 0, said
    assert "2 of 2 targets succeeded" in out
    for name in ("a", "b"):
        assert receipt.verify(world.folder / f"exports/{name}") == []
    lines = [json.loads(line) for line in said.splitlines()]
    run_id = lines[0]["run_id"]
    for name in ("a", "b"):
        events = [line for line in lines if line["target"] == name]
        names = [line["event"] for line in events]
        assert names.index("job.created") < names.index("package.delivered")
        assert names.count("target.succeeded") == names.count("job.created") == 1
        assert all(line["run_id"] == run_id for line in events)
        [created] = [line for line in events if line["event"] == "job.created"]
        assert created["job_id"]
        assert created["correlation_id"].startswith(run_id)
        assert events[-1]["detail"]["phases"]
    own = {line["message"] for line in lines if " with ***" in line["message"]}
    assert {text.split()[2] for text in own} == {"w1", "w2"}
    for name in ("w1", "w2"):
        assert "succeeded" not in cluster.log(name)
    for tenant in world.tenants.values():
        assert tenant.token not in said + out + cluster.log("w1") + cluster.log("w2")


def test_packages_on_another_machine_are_no_success(cluster: Cluster, world: World) -> None:
    """A target fails unless a step has delivered its packages; neither path is shown as output."""
    world.write(
        target("a", "one", output=ELSEWHERE),
        target("b", "two", {"uses": "upload", "with": {"to": "file:///proc/self/cwd/up"}}, output=ELSEWHERE),
    )

    process = world.run(cluster)
    out, said = process.communicate()

    assert process.returncode == 4, said
    for name in ("a", "b"):
        result = world.report()[name]
        assert result["outcome"] == "failed"
        assert "which this machine cannot see; add a step that delivers" in result["error"]
        assert result["host"]
    assert "succeeded\n" not in said
    assert "output: " not in out
