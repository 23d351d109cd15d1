"""Targets run on a Dask cluster through the plugin of the documentation."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from spark_impex_runner.report import receipt
from spark_impex_runner.sandbox.server import Sandbox, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAGE = Path(__file__).parent.parent.parent / "docs/how-to/executors.md"
# In one process, which imports all of it once: to a run, it is elsewhere in any case.
CLUSTER = """
import asyncio, sys
from distributed import Scheduler, Worker

async def serve():
    settings = {"nthreads": 1, "local_directory": sys.argv[1], "dashboard": False}
    async with (
        Scheduler(host="127.0.0.1", port=0, dashboard=False) as scheduler,
        Worker(scheduler.address, **settings),
        Worker(scheduler.address, **settings),
    ):
        print(scheduler.address, flush=True)
        await scheduler.finished()

asyncio.run(serve())
"""
RUN = ["-c", "from spark_impex_runner.cli.main import run; run()"]


def until(done: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    waiting = threading.Event()
    while not done():
        waiting.wait(0.05)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Start a scheduler and two workers on loopback; return its address and the workers' log."""
    folder = tmp_path_factory.mktemp("cluster")
    log = folder / "workers.log"
    command = [sys.executable, "-c", CLUSTER, folder]
    with (
        log.open("w") as file,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=file, text=True) as process,
    ):
        assert process.stdout
        yield process.stdout.readline().strip(), log
        process.terminate()


@pytest.fixture
def tenants(tmp_path: Path) -> Iterator[list[Sandbox]]:
    """Serve two tenants whose jobs take a moment."""
    (tmp_path / "acme/life/annuity/1.0.0").mkdir(parents=True)
    settings = Settings(job_seconds=1)
    with Sandbox(tmp_path / "acme", settings) as one, Sandbox(tmp_path / "acme", settings) as two:
        yield [one, two]


def command(folder: Path, tenants: list[Sandbox], address: str) -> list[str]:
    """Write the manifest and the plugin of the page; return the command that runs them."""
    [code] = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    (folder / "dask_plugin.py").write_text(code)
    connections, targets = {}, []
    for index, tenant in enumerate(tenants):
        (folder / f"token{index}").write_text(tenant.token)
        auth = {"token": f"${{file:{folder}/token{index}}}"}
        connections[f"c{index}"] = {"base_url": tenant.base_url, "auth": auth}
        target = {"name": f"t{index}", "connection": f"c{index}", "folders": ["life"]}
        targets.append({**target, "steps": [{"uses": "unzip"}]})
    document = {"version": 1, "connections": connections, "targets": targets}
    (folder / "m.yaml").write_text(yaml.safe_dump(document))
    plugin = ["-p", str(folder / "dask_plugin.py")]
    return [*RUN, str(folder / "m.yaml"), *plugin, "--executor", f"dask:{address}"]


def test_dask_workers_deliver(
    cluster: tuple[str, Path], tenants: list[Sandbox], tmp_path: Path, start: Any
) -> None:
    """Each worker has delivered a target, and the workers' logs have no secret."""
    address, log = cluster

    process = start(*command(tmp_path, tenants, address))
    out, said = process.communicate()

    assert process.returncode == 0, said
    assert "2 of 2 targets succeeded" in out
    for name in ("t0", "t1"):
        assert receipt.verify(tmp_path / f"exports/{name}") == []
        assert f"{name}: succeeded" in log.read_text()
    assert not any(tenant.token in log.read_text() for tenant in tenants)


def test_interrupt_reaches_dask_workers(
    cluster: tuple[str, Path], tmp_path: Path, start: Any
) -> None:
    """Both jobs are cancelled, and the run says so."""
    (tmp_path / "acme/life/annuity/1.0.0").mkdir(parents=True)
    settings = Settings(job_seconds=3600)
    with Sandbox(tmp_path / "acme", settings) as one, Sandbox(tmp_path / "acme", settings) as two:
        process = start(*command(tmp_path, [one, two], cluster[0]))
        until(lambda: one.jobs_created == two.jobs_created == 1)
        os.kill(process.pid, signal.SIGINT)
        out, said = process.communicate()

        assert process.returncode == 130, said
        assert out.count("cancelled") >= 2
        for tenant in (one, two):
            assert [each.method for each in tenant.requests].count("PATCH") == 1
