"""A run whose targets are worked on elsewhere ends as one that does all by itself."""

from __future__ import annotations

import json
import pickle
import re
import signal
import sqlite3
from concurrent.futures import Executor, Future
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
import yaml

from spark_impex_runner.clock import Clock
from spark_impex_runner.engine import distributed
from spark_impex_runner.engine.distributed import (
    StopRequest,
    UnitExecutor,
    WorkUnit,
    partition_by_tenant,
    portable_options,
)
from spark_impex_runner.engine.origin import Origin
from spark_impex_runner.engine.progress import RunProgress
from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.engine.worker import run_unit, stop_units
from spark_impex_runner.errors import ImpexError, PluginError, UsageError
from spark_impex_runner.masking import Masker
from spark_impex_runner.models import Outcome, RunOptions
from spark_impex_runner.planning.prepare import prepare
from spark_impex_runner.report import receipt
from spark_impex_runner.sandbox.server import Sandbox, Settings
from spark_impex_runner.state.local import LocalStorage
from spark_impex_runner.state.opening import open_state
from spark_impex_runner.state.runs import PastRun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spark_impex_runner.models import RunResult

PAGE = Path(__file__).parent.parent.parent / "docs/how-to/executors.md"
SECRET = "a-secret-of-a-step"
# Everything that goes to a worker or comes back is pickled, and kept for the test.
PLUGIN = """
import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from spark_impex_runner import errors, hookimpl

HERE = Path(__file__).parent

class Threads(ThreadPoolExecutor):
    def submit(self, function, *arguments):
        asked = pickle.dumps((function, arguments))
        number = len(list(HERE.glob("asked-*")))
        (HERE / f"asked-{number}").write_bytes(asked)
        def work():
            function, arguments = pickle.loads(asked)
            answer = pickle.dumps(function(*arguments))
            (HERE / f"answer-{number}").write_bytes(answer)
            return pickle.loads(answer)
        return super().submit(work)

class Faulty(ThreadPoolExecutor):
    def __init__(self, what):
        super().__init__(1)
        self.what = what
    def submit(self, function, unit):
        if "b" not in unit.options.targets:
            return super().submit(function, unit)
        if self.what == "refuse":
            raise RuntimeError("no room")
        return super().submit((lambda: 1 / 0) if self.what == "die" else (lambda: 7))

def faulty(address):
    if address == "unusable":
        raise errors.UsageError("--executor faulty: no such cluster")
    if address == "broken":
        raise OSError("no route to host")
    return Faulty(address)

@hookimpl
def impex_register(registry):
    registry.executor("threads", "Threads.", lambda address: Threads(int(address or 4)))
    registry.executor("faulty", "Fails.", faulty)
    options = {"type": "object", "properties": {"key": {"type": "string", "x-secret": True}}}
    registry.step("keyed", "Needs a key.", options)
    registry.step("bad", "Fails.")

@hookimpl
def impex_run_step(job, step):
    if step.uses == "bad":
        raise errors.StepError("no")
    return [] if step.uses == "keyed" else None

def note(*texts):
    with (HERE / "log").open("a") as log:
        print(*texts, file=log)

@hookimpl
def impex_run_started(run):
    note("started", run.id)

@hookimpl
def impex_job_changed(job, change):
    note(change.event, job.target.name, job.run.id, job.run.date, job.request.correlation_id)

@hookimpl
def impex_run_finished(run, report):
    note("finished", report.exit_code, len(report.results))
"""


class World:
    """Two tenants, and targets on connections of their names."""

    def __init__(self, folder: Path, clock: Any) -> None:
        self.folder = folder
        self.clock = clock
        self.tenants: dict[str, Sandbox] = {}
        (folder / "plugin.py").write_text(PLUGIN)

    def write(self, *targets: dict[str, Any]) -> Path:
        """Write the manifest."""
        connections = {}
        for name, tenant in self.tenants.items():
            (self.folder / f"token-{name}").write_text(tenant.token)
            auth = {"token": f"${{file:token-{name}}}"}
            connections[name] = {"base_url": tenant.base_url, "auth": auth}
        document = {
            "version": 1,
            "connections": {**connections, "again": connections["one"]},
            "targets": list(targets),
            "report": {"json": "report.json"},
        }
        path = self.folder / "m.yaml"
        path.write_text(yaml.safe_dump(document))
        return path

    def run(self, *targets: dict[str, Any], executor: str = "threads", **options: Any) -> RunResult:
        """Run targets by an executor."""
        return run_manifest(
            self.write(*targets), self.options(executor, **options), clock=self.clock
        )

    def options(self, executor: str, **options: Any) -> RunOptions:
        """Return options with the plugin and an executor."""
        return RunOptions(plugin_files=(self.folder / "plugin.py",), executor=executor, **options)

    def log(self) -> list[str]:
        """Return what the plugin has heard."""
        return (self.folder / "log").read_text().splitlines()


def unit(path: Path, options: RunOptions, run_id: str) -> WorkUnit:
    """Return the unit of a run that a worker in another process gets, with the target ``a``."""
    portable = portable_options(path, options, run_id)
    return WorkUnit(Origin.of(path, portable, []), path, portable).of_targets(["a"])


def target(name: str, connection: str = "one", *steps: str, **more: Any) -> dict[str, Any]:
    """Return a target."""
    uses = {"steps": [{"uses": step} for step in steps]} if steps else {}
    return {"name": name, "connection": connection, "folders": ["life"], **uses, **more}


A, B, C = target("a"), target("b", "two"), target("c")


@pytest.fixture
def world(tmp_path: Path, clock: Any) -> Iterator[World]:
    """Return two tenants that are served; their jobs take five seconds."""
    made = World(tmp_path, clock)
    (tmp_path / "acme/life/annuity/1.0.0").mkdir(parents=True)
    settings = Settings(job_seconds=5)
    with (
        Sandbox(tmp_path / "acme", settings, clock=clock.monotonic) as one,
        Sandbox(tmp_path / "acme", settings, clock=clock.monotonic) as two,
    ):
        made.tenants = {"one": one, "two": two}
        yield made


def test_plugin_of_the_page_runs_targets(world: World) -> None:
    """The example of an executor works, and refuses an address that is no number."""
    [code] = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    plugin = world.folder / "page.py"
    plugin.write_text(code)
    path = world.write(A, B)
    options = RunOptions(plugin_files=(plugin,), executor="threads:2")

    result = run_manifest(path, options, clock=world.clock)

    assert [each.outcome for each in result.results] == [Outcome.SUCCEEDED] * 2
    with pytest.raises(UsageError, match="such as threads:4"):
        run_manifest(path, replace(options, executor="threads"), clock=world.clock)


def test_units_are_one_run(world: World) -> None:
    """All units share one id, one date and one report; the run's hooks are called once."""
    result = world.run(A, B, C)

    assert [each.target.name for each in result.results] == ["a", "b", "c"]
    assert [each.outcome for each in result.results] == [Outcome.SUCCEEDED] * 3
    assert result.exit_code == 0
    for each in result.results:
        assert receipt.verify(each.target.output) == []
    assert f'"run_id": "{result.run_id}"' in (world.folder / "report.json").read_text()
    log = world.log()
    assert [line for line in log if line.startswith(("started", "finished"))] == [
        f"started {result.run_id}",
        "finished 0 3",
    ]
    changes = [line.split() for line in log[1:-1]]
    assert {(run, date) for _, _, run, date, _ in changes} == {(result.run_id, "2026-01-02")}
    labels = {each.rpartition("-")[0] for *_, each in changes}  # without the digests
    assert labels == {f"{result.run_id}-{name}" for name in "abc"}
    with closing(sqlite3.connect(world.folder / ".impex/state.db")) as link:
        runs = link.execute("SELECT id, exit_code FROM runs").fetchall()
        attempts = link.execute("SELECT DISTINCT run_id, outcome FROM attempts").fetchall()
    assert runs == [(result.run_id, 0)]
    assert attempts == [(result.run_id, "succeeded")]
    assert not list((world.folder / ".impex").glob("*.stop"))


def test_ends_of_units_are_seen(world: World) -> None:
    """Who watches the run sees each unit's targets end, and only that."""
    progress = RunProgress()
    options = world.options("threads")

    run_manifest(world.write(A, B, C), options, clock=world.clock, progress=progress)

    snapshot = progress.snapshot()
    assert snapshot
    assert (snapshot.distributed, snapshot.ended) == (True, {Outcome.SUCCEEDED: 3})


def test_results_equal_local_ones(world: World) -> None:
    """Steps, artifacts and services of a unit's result are those of a run without an executor."""
    targets = (target("a", "one", "checksum", "keyed"), target("b", "two", "bad"))

    here = world.run(*targets, executor="local")
    there = world.run(*targets)

    for local, remote in zip(here.results, there.results, strict=True):
        assert (local.outcome, local.error, local.exit_code) == (
            remote.outcome,
            remote.error,
            remote.exit_code,
        )
        assert local.target == remote.target
        assert local.service_versions == remote.service_versions
        assert [(s.uses, s.outcome) for s in local.steps] == [
            (s.uses, s.outcome) for s in remote.steps
        ]
        # A package holds the time of its export, and so may differ by a byte.
        assert [(a.name, a.made_by, a.hash_agreed) for a in local.artifacts] == [
            (a.name, a.made_by, a.hash_agreed) for a in remote.artifacts
        ]
    assert (here.exit_code, there.exit_code) == (3, 3)


def test_units_hold_no_secret(world: World) -> None:
    """Neither units nor results hold credentials, secret options or links to packages."""
    (world.folder / "key").write_text(SECRET)
    keyed = [{"uses": "keyed", "with": {"key": "${file:key}"}}]

    result = world.run({**A, "steps": keyed}, {**B, "steps": keyed})

    assert result.exit_code == 0
    travelled = [path.read_bytes() for path in world.folder.glob("a[sn]*-*")]
    assert len(travelled) == 4
    links = [
        request.path.encode()
        for tenant in world.tenants.values()
        for request in tenant.requests
        if request.origin == "download"
    ]
    secrets = [tenant.token.encode() for tenant in world.tenants.values()]
    assert len(links) >= 2
    for each in travelled:
        assert not any(secret in each for secret in [SECRET.encode(), *secrets, *links])


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ((A, B, C), [("a", "c"), ("b",)]),
        ((A, target("b", "two", needs=["a"]), C), [("a", "b", "c")]),
        ((A, target("b", "again")), [("a", "b")]),
        ((target("d", "two", needs=["a"]), A, target("e", "two")), [("d", "a", "e")]),
    ],
)
def test_partition_by_tenant(
    world: World, targets: tuple[dict[str, Any], ...], expected: list[tuple[str, ...]]
) -> None:
    """Targets of one tenant, under any connection, and those that need one another are one unit."""
    with prepare(world.write(*targets), RunOptions(), world.clock, Masker()) as prepared:
        connect = prepared.connections.client
        found = partition_by_tenant(prepared.plan, lambda name: str(connect(name).url))

    assert found == expected


def test_needs_hold_across_tenants(world: World) -> None:
    """A target whose need failed on another tenant is skipped."""
    result = world.run(
        target("a", "one", "bad"), target("b", "two", needs=["a"]), executor="threads"
    )

    assert [each.outcome for each in result.results] == [Outcome.FAILED, Outcome.SKIPPED]


def test_only_chosen_targets_are_sent(world: World) -> None:
    """A unit holds the chosen targets and their needs."""
    result = world.run(A, B, target("d", "two", needs=["a"]), targets=("d",))

    assert [each.target.name for each in result.results] == ["a", "d"]
    assert len(list(world.folder.glob("asked-*"))) == 1


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("refuse", r"its worker died \(RuntimeError: no room\); run the same command again"),
        ("die", r"its worker died \(ZeroDivisionError: division by zero\); "),
        (
            "answer",
            r"its executor returned int instead of a UnitResult; run the same command",
        ),
    ],
)
def test_lost_unit_fails_its_targets(world: World, kind: str, message: str) -> None:
    """A lost unit does not change the results of other units."""
    result = world.run(A, B, executor=f"faulty:{kind}")

    assert [each.outcome for each in result.results] == [Outcome.SUCCEEDED, Outcome.FAILED]
    assert result.exit_code == 3
    assert re.match(message, result.results[1].error)


@pytest.mark.parametrize(
    ("executor", "kind", "message"),
    [
        (
            "thread",
            UsageError,
            r"there is no executor 'thread' \(did you mean 'threads'\?\); known: ",
        ),
        (
            "nothing:7",
            UsageError,
            "there is no executor 'nothing'; known: dask, faulty, local, processes, ",
        ),
        ("faulty:unusable", UsageError, "no such cluster"),
        (
            "faulty:broken",
            PluginError,
            "plugin plugin cannot start the executor faulty at 'broken': OSError: no ro",
        ),
    ],
)
def test_unusable_executor_is_found_first(
    world: World, executor: str, kind: type[ImpexError], message: str
) -> None:
    """An unknown executor or an unusable address is an error before anything is sent."""
    # To plan a pattern takes a question to the tenant.
    named = "known" in message
    pattern = {"name": "p", "connection": "one", "services": ["life/*"]}

    with pytest.raises(kind, match=message):
        world.run(A, B, *([pattern] if named else []), executor=executor)

    assert not any(tenant.requests for tenant in world.tenants.values())


def test_missing_credentials_are_found_first(world: World) -> None:
    """Missing credentials are an error before any unit is sent."""
    path = world.write(A, B)
    document = yaml.safe_load(path.read_text())
    del document["connections"]["two"]["auth"]
    path.write_text(yaml.safe_dump(document))

    with pytest.raises(UsageError):
        run_manifest(path, world.options("threads"), clock=world.clock)

    assert not list(world.folder.glob("asked-*"))


def test_fail_fast_across_units(world: World) -> None:
    """With ``--fail-fast`` other units start nothing new after a failure."""
    late = {**B, "steps": [{"uses": "checksum"}]}

    result = world.run(target("a", "one", "bad"), late, executor="threads:1", fail_fast=True)

    assert [each.outcome for each in result.results] == [Outcome.FAILED, Outcome.SKIPPED]
    assert result.results[1].error == "another target failed (--fail-fast)"
    assert world.tenants["two"].jobs_created == 0


def test_signal_stops_all_units(world: World) -> None:
    """After a signal jobs are cancelled, and targets that had not started say so."""
    world.clock.at_wait = lambda elapsed: elapsed > 2 and world.clock.stop(signal.SIGTERM)

    result = world.run(A, B, C)

    assert result.exit_code == 143
    assert {each.outcome for each in result.results} == {Outcome.CANCELLED}
    assert not list((world.folder / ".impex").glob("*.stop"))


@pytest.mark.parametrize(
    ("events", "error"),
    [
        ([], "the run was interrupted before it started"),
        (["job.created"], "its worker did not end after the signal; job j-1 may still run"),
        (["job.created", "job.done", "job.status"], "its worker did not end after the signal"),
    ],
)
def test_job_of_silent_worker_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch, events: list[str], error: str
) -> None:
    """The result of a target whose worker does not end has the job that its events named."""
    received: list[Callable[[str], None]] = []

    def submit(*_: Any) -> Future[Any]:
        for event in events:
            record = {"name": "x", "levelno": 10, "msg": "", "event": event}
            received[0](json.dumps({"log": {**record, "target": "a", "job_id": "j-1"}}))
        world.clock.stop(signal.SIGTERM)
        return Future()

    monkeypatch.setattr(distributed, "END", 0)
    monkeypatch.setattr(distributed.UnitExecutor, "_submit", submit)
    connect = lambda _, receive: received.append(receive)  # noqa: E731
    monkeypatch.setattr(distributed.UnitExecutor, "connect_events", connect)

    [result] = world.run(A).results

    job_id = "j-1" if events else ""
    assert (result.outcome, result.error, result.job_id) == (Outcome.CANCELLED, error, job_id)


def test_stop_stays_for_units_that_go_on(world: World) -> None:
    """A worker that does not end in time may read the stop after the run has ended.

    An executor that can call its workers calls them before the state is asked, once.
    """
    storage = LocalStorage(world.folder / "state")
    stop, clock, ended = StopRequest(storage, "x"), Clock(), []
    unit_of_a = unit(world.write(A), world.options("threads"), "x")
    clock.stop(signal.SIGTERM)
    clock.stopped_at -= 60
    never, read_stop = _Never(), storage.read_stop

    def read_after_call(run_id: str) -> int | None:
        assert never.called  # a store may not reply for long
        return read_stop(run_id)

    with closing(storage), mock.patch.object(storage, "read_stop", read_after_call):
        executor = UnitExecutor(never, run_unit, stop, stop_units)
        executor.run([unit_of_a], clock, lambda _, done: ended.append(done.exit_code))

        assert ended == [143]
        assert never.called == [(stop_units, "x", signal.SIGTERM)]
        assert stop.requested() == signal.SIGTERM


class _Never(Executor):
    def __init__(self) -> None:
        self.called: list[tuple[Any, ...]] = []

    def call_workers(self, *call: Any) -> None:
        self.called.append(call)

    def submit(self, *_: Any, **__: Any) -> Future[Any]:
        return Future()


def test_ctrl_c_waits_for_units(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a signal handler, KeyboardInterrupt is raised after the units have ended."""
    real, broken = distributed.wait, []

    def wait(*arguments: Any, **options: Any) -> Any:
        if not broken:
            broken.append(1)
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(distributed, "wait", wait)
    with pytest.raises(KeyboardInterrupt):
        world.run(A, B)

    with closing(sqlite3.connect(world.folder / ".impex/state.db")) as link:
        unfinished = link.execute(
            "SELECT count(*) FROM attempts WHERE finished IS NULL AND job_id != ''"
        ).fetchone()
    assert unfinished == (0,)


def test_stop_request_stops_another_worker(world: World, tmp_path: Path) -> None:
    """A worker with a clock of its own sends nothing after the stop."""
    path, run_id = world.write(A), "20260102T120000Z-00000000"
    with closing(open_state(tmp_path / "state")) as state:
        state.begin_run(PastRun(run_id, str(path), world.clock.now()))
        StopRequest(state.storage, run_id).stop(signal.SIGINT)

    options = world.options("threads", state=tmp_path / "state")
    done = run_unit(unit(path, options, run_id))

    assert [each.outcome for each in done.results] in ([], [Outcome.CANCELLED])
    assert done.results or done.exit_code == 130
    assert world.tenants["one"].jobs_created == 0


def test_stop_request_is_watched(tmp_path: Path) -> None:
    """A stop after a fail-fast stops the clock, and a later fail-fast does not change it."""
    clock = Clock()
    with closing(LocalStorage(tmp_path)) as storage:
        request = StopRequest(storage, "x")
        with request.watched(clock) as failed:
            request.fail_fast()
            assert failed.wait(30)
            assert not clock.stopping()
            request.stop(signal.SIGTERM)
            request.fail_fast()
            with pytest.raises(ImpexError):
                clock.wait(30)

        assert clock.signum == signal.SIGTERM
        request.withdraw()
        request.withdraw()
        assert storage.read_stop("x") is None
    assert not (tmp_path / "x.stop").exists()


def test_unit_reports_why_it_failed(world: World) -> None:
    """A unit without a manifest, plugin or secret returns an error without secrets."""
    path = world.write(A)
    (world.folder / "token-one").unlink()

    with closing(open_state(world.folder / ".impex")) as state:
        state.begin_run(PastRun("20260102T120000Z-00000001", str(path), world.clock.now()))

    done = run_unit(unit(path, world.options("threads"), "20260102T120000Z-00000001"))

    assert (done.results, done.exit_code) == ((), 2)
    assert "token-one" in done.error
    assert pickle.dumps(done)
