"""Targets of different tenants on a Dask cluster: a real scheduler, real workers, real kills."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from object_stores import ACCESS, SECRET, S3Server, StateStore, s3_client
from spark_impex_runner.plugins.executor_dask import make

from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.errors import PluginError, UsageError
from spark_impex_runner.models import RunOptions
from spark_impex_runner.report import receipt
from spark_impex_runner.sandbox.server import Recorded, Sandbox, Settings
from tests.conftest import forking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.conftest import Started

COMMAND = ["-c", "from spark_impex_runner.cli.main import run; run()"]
# What the fork of a process has that imported it, as if the runner were not installed.
WITHOUT = """
import sys
for name in [name for name in sys.modules if name.split(".")[0] == "spark_impex_runner"]:
    sys.modules[name] = None
"""
RUN_SCHEDULER = "from distributed.cli.dask_scheduler import main; main()"
RUN_WORKER = "from distributed.cli.dask_worker import main; main()"
# A scheduler that does not have the runner: it only passes things on.
SCHEDULER = ["-c", WITHOUT + RUN_SCHEDULER, "--host", "127.0.0.1", "--port=0"]
WORKER = ["-c", RUN_WORKER, "--no-nanny", "--nthreads", "1"]
BARE_WORKER = ["-c", WITHOUT + RUN_WORKER, *WORKER[2:]]
pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="a path is another for each process"
)
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


def status_path(request: Recorded) -> str:
    """Return the path of a request for a job's status, or an empty text for any other."""
    path = request.path
    is_one = path.endswith("/status") and not path.endswith("export/status")
    return path if is_one and request.method == "GET" else ""


def asked(tenant: Sandbox) -> int:
    """Return how many statuses of jobs were asked for."""
    return sum(bool(status_path(each)) for each in list(tenant.requests))


def require_cancelled(world: World, said: str) -> None:
    """Require that each job was cancelled, or is named as one that may still run.

    A run that was interrupted has seconds to cancel, whatever the machine does meanwhile.
    """
    for tenant in world.tenants.values():
        requests = list(tenant.requests)
        sent = [each.method for each in requests].count("PATCH")
        [job_id] = {path.split("/")[-2] for path in map(status_path, requests) if path}
        left = rf"job {job_id} (could not be cancelled and )?may still run"
        assert sent == 1 or re.search(left, said), said


@dataclass
class Cluster:
    """A scheduler and its workers, each a process with a working folder and a home of its own."""

    folder: Path
    begin: Callable[..., Started]
    workers: list[Started] = field(default_factory=list)
    scheduler: Started | None = None

    def start(self, *workers: str, command: Sequence[str] = WORKER) -> Cluster:
        """Start the scheduler, and then a worker of each name."""
        file = self.folder / "scheduler.json"
        more = ["--no-dashboard", "--scheduler-file", str(file)]
        self.scheduler = self._start("scheduler", *SCHEDULER, *more)
        until(file.exists)
        self.workers = [self._start(name, *command, *more, "--name", name) for name in workers]
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

    def _start(self, name: str, *words: str) -> Started:
        home = self.folder / name
        (home / "tmp").mkdir(parents=True)
        environment = {**os.environ, "HOME": str(home), "TMPDIR": str(home / "tmp")}
        with (self.folder / f"{name}.log").open("w") as log:
            return self.begin(*words, cwd=str(home), env=environment, stdout=log, stderr=log)


@pytest.fixture(scope="module")
def forks() -> Iterator[Callable[..., Started]]:
    """Start forks of a process that has imported Dask, which takes seconds of the processor."""
    with forking("distributed.cli.dask_scheduler", "distributed.cli.dask_worker") as begin:
        yield begin


@pytest.fixture
def cluster(tmp_path: Path, start: Callable[..., Started]) -> Cluster:
    """Start a cluster with two workers that have no folder in common."""
    return make_cluster(tmp_path / "cluster", start).start("w1", "w2")


def make_cluster(folder: Path, start: Callable[..., Started]) -> Cluster:
    """Return a cluster with a folder of its own."""
    folder.mkdir()
    return Cluster(folder, start)


@dataclass
class World:
    """Two tenants, where a job takes so many seconds, and the manifests for them."""

    folder: Path
    tenants: dict[str, Sandbox]
    start: Callable[..., Started]

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

    def run(self, cluster: Cluster, *words: str) -> Started:
        """Run the manifest, named relative to the working folder, on a cluster."""
        executor = ["--executor", f"dask:{cluster.address}"]
        more = {"cwd": self.folder, "env": dict(os.environ)}
        return self.start(*COMMAND, "m.yaml", *executor, *words, **more)

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
        target(
            "b",
            "two",
            {"uses": "upload", "with": {"to": "file:///proc/self/cwd/up"}},
            output=ELSEWHERE,
        ),
    )

    process = world.run(cluster)
    out, said = process.communicate()

    assert process.returncode == 4, said
    for name in ("a", "b"):
        result = world.report()[name]
        assert result["outcome"] == "failed"
        assert "which this machine cannot see; add a step that delivers" in result["error"]
        assert result["host"] == socket.gethostname()
        assert f"output: /proc/self/cwd/exports on {socket.gethostname()}" in out
    assert ": succeeded" not in said


def test_delivered_packages_need_not_be_seen(
    cluster: Cluster, world: World, s3_server: S3Server
) -> None:
    """A target whose step has delivered its packages succeeds; the report names the host."""
    s3_client(s3_server.endpoint).create_bucket(Bucket="dask")
    (world.folder / "key").write_text(SECRET)
    options = {"to": "s3://dask/${target.name}", "endpoint": s3_server.endpoint}
    options |= {"access_key_id": ACCESS, "secret_access_key": "${file:key}"}
    world.write(target("a", "one", {"uses": "upload", "with": options}, output=ELSEWHERE))

    process = world.run(cluster)
    out, said = process.communicate()

    assert process.returncode == 0, said
    assert list((s3_server.folder / "dask/a").glob("*.zip"))
    result = world.report()["a"]
    assert f"output: {result['output']} on {result['host']}" in out
    assert said.count("a: succeeded") == 1


@pytest.mark.parametrize("world", [3], indirect=True)
def test_dead_worker_is_replaced(cluster: Cluster, world: World) -> None:
    """The other worker resumes the job and repeats no target, also with ``--fresh``."""
    world.write(target("a1", "one"), target("a2", "one", needs=["a1"]), target("b", "two"))

    process = world.run(cluster, "--fresh")
    until(lambda: world.jobs()[0] == 2)
    until(lambda: asked(world.tenants["one"]) >= 2)
    [holder] = (world.folder / ".impex/leases").glob("*a2.holder")
    pid = json.loads(holder.read_text())["pid"]
    [worker] = [each for each in cluster.workers if each.pid == pid]
    worker.kill()
    out, said = process.communicate()

    assert process.returncode == 0, said
    assert "3 of 3 targets succeeded" in out
    assert world.jobs() == [2, 1]
    assert said.count("a1: succeeded") == said.count("a2: succeeded") == 1
    assert "resumes what another worker began" in out
    assert world.report()["a1"]["artifacts"]


@pytest.mark.parametrize("world", [3600], indirect=True)
def test_interrupt_reaches_workers(cluster: Cluster, world: World) -> None:
    """Both jobs are cancelled, and the run says so."""
    world.write(target("a", "one"), target("b", "two"))

    process = world.run(cluster)
    until(lambda: all(asked(each) for each in world.tenants.values()))
    os.kill(process.pid, signal.SIGINT)
    out, said = process.communicate()

    assert process.returncode == 130, said
    assert out.count("cancelled") >= 2
    require_cancelled(world, out + said)


@pytest.mark.parametrize("world", [3600], indirect=True)
def test_lost_scheduler_ends_the_run(cluster: Cluster, world: World) -> None:
    """The targets fail in one line each, with what to do."""
    world.write(target("a", "one"), target("b", "two"))

    process = world.run(cluster)
    until(lambda: all(asked(each) for each in world.tenants.values()))
    assert cluster.scheduler
    cluster.scheduler.kill()
    out, said = process.communicate()

    assert process.returncode == 4, said
    assert "2 targets: its worker died" in out
    assert "Traceback" not in said + out


@pytest.fixture
def far_cluster(s3_state: StateStore, tmp_path: Path, start: Callable[..., Started]) -> Cluster:
    """Start a cluster whose workers can open the state of ``s3_state``."""
    assert s3_state
    return make_cluster(tmp_path / "far", start).start("w1", "w2")


@pytest.mark.parametrize("world", [3600], indirect=True)
def test_interrupt_reaches_far_workers_in_time(
    s3_state: StateStore, far_cluster: Cluster, world: World
) -> None:
    """They share a state in a store alone, and both jobs are cancelled before the run ends."""
    world.write(target("a", "one", output=ELSEWHERE), target("b", "two", output=ELSEWHERE))

    process = world.run(far_cluster, "--state", s3_state.url)
    until(lambda: all(asked(each) for each in world.tenants.values()))
    os.kill(process.pid, signal.SIGTERM)
    out, said = process.communicate()

    assert process.returncode == 143, said
    assert "did not end" not in out
    require_cancelled(world, out + said)


def test_worker_without_the_runner_says_so(
    world: World, tmp_path: Path, start: Callable[..., Started]
) -> None:
    """In one line, with what to do."""
    world.write(target("a", "one"))

    cluster = make_cluster(tmp_path / "bare", start).start("w1", command=BARE_WORKER)
    process = world.run(cluster)
    out, _ = process.communicate()

    assert process.returncode == 4
    assert "its worker cannot import the runner or a plugin (" in out
    assert "install what the run has there, in the same versions" in out


def test_worker_without_the_state_is_refused(cluster: Cluster, world: World) -> None:
    """A folder that is another one there is no state of the run: no job is created."""
    world.write(target("a", "one"))

    process = world.run(cluster, "--state", "/proc/self/cwd/state")
    out, _ = process.communicate()

    assert process.returncode == 4
    assert "the state in /proc/self/cwd/state here is not the run's" in out
    assert world.jobs() == [0, 0]


def test_worker_without_the_manifest_says_so(
    cluster: Cluster, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line with the host and the path."""
    path = world.write(target("a", "one"))
    options = RunOptions(executor=f"dask:{cluster.address}")
    there = Path("/proc/self/cwd") / path.name
    monkeypatch.chdir(world.folder)
    result = run_manifest(there, options)

    [failed] = result.results
    assert failed.error == (
        f"worker on {socket.gethostname()}: {there}: no such file here; "
        "workers read it at the run's path"
    )


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("", "--executor dask: give the scheduler's address, such as dask:tcp://10.0.0.7:8786"),
        ("tcp://127.0.0.1:9", "--executor dask:tcp://127.0.0.1:9: no Dask scheduler can be re"),
        ("nonsense", "--executor dask:nonsense: no Dask scheduler can be reached there"),
    ],
)
def test_unusable_address_is_refused(
    address: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line, before anything is sent."""
    monkeypatch.setattr("spark_impex_runner.plugins.executor_dask.cluster._TIMEOUT", 1)

    with pytest.raises(UsageError) as raised:
        make(address)

    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


def test_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "spark_impex_runner.plugins.executor_dask.cluster")

    with pytest.raises(PluginError, match=r"pip install 'spark-impex-runner\[dask\]'"):
        make("tcp://127.0.0.1:9")
