"""A Dask cluster whose workers have no folder in common, one of which is killed.

``reliability.py`` makes a row of its table of it. State and packages are on an S3 server: moto's,
which refuses writes whose condition fails.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from harness import peer

from spark_impex_runner.sandbox.server import Sandbox, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

RUN = [sys.executable, "-c", "from spark_impex_runner.cli.main import run; run()"]
DASK = [sys.executable, "-m"]
SERVER = Path(__file__).parent.parent / "tests/support/s3_server.py"
TENANTS, TARGETS = 4, 10
# The folder of each process is another: what a worker writes here, no other process finds.
ELSEWHERE = "/proc/self/cwd/exports/${target.name}"


def row_of(row: Callable[[str], Any], root: Path, work: Path) -> Any:
    """Run the targets, kill the worker of one in the midst, and return the row of the table."""
    made = row(f"SIGKILL of one of two Dask workers, {TENANTS * TARGETS} targets, no common folder")
    made.times = made.runs = 1
    work.mkdir(parents=True)
    with ExitStack() as stack:
        environ = stack.enter_context(_store())
        settings = Settings(job_seconds=0.5)
        tenants = [stack.enter_context(Sandbox(root, settings)) for _ in range(TENANTS)]
        workers, address = stack.enter_context(_cluster(work, environ))
        _write(work / "m.yaml", tenants)
        words = ["m.yaml", "-q", "--state", "s3://impex/state", "--executor", f"dask:{address}"]
        with subprocess.Popen(
            [*RUN, *words], env=environ, cwd=work, stdout=subprocess.DEVNULL
        ) as process:
            while _jobs(tenants) < TARGETS and process.poll() is None:
                time.sleep(0.01)
            workers[0].send_signal(signal.SIGKILL)
        _judge(made, work, _delivered(environ), tenants)
    return made


def _judge(made: Any, work: Path, delivered: set[str], tenants: Sequence[Sandbox]) -> None:
    made.jobs = _jobs(tenants)
    report = json.loads((work / "report.json").read_text())
    made.outcomes.update(each["outcome"] for each in report["targets"])
    if made.jobs != TENANTS * TARGETS:
        made.wrong.append(f"{made.jobs} jobs for {TENANTS * TARGETS} targets")
    if len(delivered) != TENANTS * TARGETS:
        made.wrong.append(f"packages of {len(delivered)} targets in the store")
    made.wrong += [each["error"] for each in report["targets"] if each["error"]]


def _jobs(tenants: Sequence[Sandbox]) -> int:
    return sum(each.jobs_created for each in tenants)


def _write(path: Path, tenants: Sequence[Sandbox]) -> None:
    connections, targets = {}, []
    for number, tenant in enumerate(tenants):
        (path.parent / f"token{number}").write_text(tenant.token)
        auth = {"token": f"${{file:token{number}}}"}
        connections[f"c{number}"] = {"base_url": tenant.base_url, "auth": auth}
        targets += [
            {"name": f"t{number}-{each}", "connection": f"c{number}"} for each in range(TARGETS)
        ]
    upload = {"uses": "upload", "with": {"to": "s3://impex/packages/${target.name}"}}
    does = {"folders": ["life"], "output": ELSEWHERE, "steps": [upload], "retry_interval": 0.1}
    document = {"version": 1, "connections": connections, "report": {"json": "report.json"}}
    document |= {"targets": [each | does for each in targets]}
    path.write_text(yaml.safe_dump(document))


@contextmanager
def _store() -> Iterator[dict[str, str]]:
    """Start the S3 server with a bucket; yield the environment that opens it."""
    command = [peer("moto[s3]==5.2.2", "flask==3.1.2", "flask-cors==6.0.1"), str(SERVER)]
    quiet: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, **quiet) as server:
        endpoint = next(each for each in server.stdout or () if "http" in each).split()[-1]
        keys = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "S", "AWS_REGION": "us-east-1"}
        _asked(f"{endpoint}/impex", "PUT")
        try:
            yield {**os.environ, **keys, "AWS_ENDPOINT_URL_S3": endpoint}
        finally:
            server.kill()


def _delivered(environ: Mapping[str, str]) -> set[str]:
    """Return the targets whose package is in the store."""
    address = f"{environ['AWS_ENDPOINT_URL_S3']}/impex?list-type=2&prefix=packages/"
    keys = re.findall(r"<Key>packages/([^/<]+)/[^<]+\.zip</Key>", _asked(address, "GET"))
    return set(keys)


def _asked(address: str, method: str) -> str:
    # Signed as S3 wants it; the server does not check by whom.
    signed = "AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/s3/aws4_request, Signature=0"
    head = {"Authorization": f"{signed}, SignedHeaders=host"}
    request = urllib.request.Request(address, method=method, headers=head)  # noqa: S310
    with urllib.request.urlopen(request) as reply:  # noqa: S310
        return str(reply.read(), "utf-8")


@contextmanager
def _cluster(
    work: Path, environ: Mapping[str, str]
) -> Iterator[tuple[list[subprocess.Popen[bytes]], str]]:
    """Start a scheduler and two workers; yield the workers and the scheduler's address."""
    file = work / "scheduler.json"
    more = ["--no-dashboard", "--scheduler-file", str(file)]
    with ExitStack() as stack:

        def start(name: str, *words: str) -> subprocess.Popen[bytes]:
            home = work / name
            (home / "tmp").mkdir(parents=True)
            own = {**environ, "HOME": str(home), "TMPDIR": str(home / "tmp")}
            log = stack.enter_context((home / "log").open("wb"))
            process = subprocess.Popen(
                [*DASK, *words, *more], cwd=home, env=own, stdout=log, stderr=log
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        start("scheduler", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0")
        while not file.exists():
            time.sleep(0.05)
        worker = ["distributed.cli.dask_worker", "--no-nanny", "--nthreads", "1"]
        yield [start(name, *worker) for name in ("w1", "w2")], _address(file)


def _address(file: Path) -> str:
    return str(json.loads(file.read_text())["address"])
