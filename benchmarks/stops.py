"""SIGTERM while a server hangs, and a tenant that cannot be reached at first.

A part of ``reliability.py``: real processes, which have to end within seconds.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from harness import free_port

from spark_impex_runner.report import receipt
from spark_impex_runner.sandbox.faults import parse_fault
from spark_impex_runner.sandbox.server import Sandbox, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

RUN = [sys.executable, "-c", "from spark_impex_runner.cli.main import run; run()"]
# Where a request is left without an answer, or a body trickles, when the signal comes; and how many
# jobs two runs need: a job that was cancelled is created anew, any other is resumed.
HANGING = {
    "token@1-=hang": 1,
    "create@1-=hang": 1,
    "status@1-=hang": 2,
    "status@1-=hang cancel@1-=hang": 1,
    "download@1-=hang": 1,
    "download@1-=slow:1000": 1,
}
# Kubernetes gives 30 s, Docker 10.
MOST_SECONDS = 5.0
MOST_SECONDS_UNREACHABLE = 30.0
MANIFEST = """version: 1
connections:
  sit:
    base_url: "{url}"
    auth: {{oauth: {{client_id: "${{env:CLIENT}}", client_secret: "${{env:SECRET}}"}}}}
targets:
  - {{name: life, folders: [life], retry_interval: 100ms, polling: {{strategy: fixed}}}}
report: {{json: report.json}}
"""


def rows_of(row: Callable[[str], Any], root: Path, work: Path) -> Iterator[Any]:
    """Yield a row for each kind of hanging, and one for a tenant that is not there at first."""
    work.mkdir()
    for number, (faults, jobs) in enumerate(HANGING.items()):
        yield _stopped(row(f"SIGTERM during {faults}"), faults, jobs, (root, work / f"{number}"))
    yield _unreachable(row("no connection to the tenant"), root, work / "unreachable")


def _stopped(row: Any, faults: str, jobs: int, folders: tuple[Path, Path]) -> Any:
    """Stop a run while a request hangs; finish it when nothing hangs any more."""
    root, work = folders
    parsed = tuple(parse_fault(each) for each in faults.split())
    with Sandbox(root, Settings(job_seconds=0.3, faults=parsed)) as sandbox:
        environ = _written(work, sandbox)
        with _started(work, environ) as process:
            while not sandbox.faults.hits and process.poll() is None:
                time.sleep(0.05)
            time.sleep(0.3)
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            process.wait()
        if (seconds := time.monotonic() - began) > MOST_SECONDS:
            row.wrong.append(f"ended {seconds:.1f} s after the signal")
        if process.returncode != 128 + signal.SIGTERM:
            row.wrong.append(f"exit {process.returncode} after the signal")
        if not (work / "report.json").is_file():
            row.wrong.append("there is no report")
        row.times = sum(sandbox.faults.hits.values())
        row.outcomes["cancelled"] += 1
        sandbox.faults._faults = ()  # noqa: SLF001 - the same tenant, in good order
        _finish(row, work, environ)
        row.jobs = sandbox.jobs_created
    if row.jobs != jobs:
        row.wrong.append(f"{row.jobs} jobs, expected {jobs}")
    return row


def _unreachable(row: Any, root: Path, work: Path) -> Any:
    """Run against a port that refuses, and once more when the tenant is there."""
    work.mkdir()
    (work / "m.yaml").write_text(MANIFEST.format(url=f"http://127.0.0.1:{free_port()}/acme"))
    began = time.monotonic()
    with _started(work, {**os.environ, "CLIENT": "c", "SECRET": "s"}) as process:
        process.wait()
    if (seconds := time.monotonic() - began) > MOST_SECONDS_UNREACHABLE:
        row.wrong.append(f"took {seconds:.1f} s to say so")
    row.times = 1
    row.outcomes["failed" if process.returncode else "succeeded"] += 1
    with Sandbox(root, Settings(job_seconds=0.3)) as sandbox:
        _finish(row, work, _written(work, sandbox))
        row.jobs = sandbox.jobs_created
    return row


def _finish(row: Any, work: Path, environ: dict[str, str]) -> None:
    """Run once more, which has to succeed."""
    with _started(work, environ) as process:
        process.wait()
    row.runs = 2
    row.outcomes["failed" if process.returncode else "succeeded"] += 1
    row.wrong += receipt.verify(work / "exports/life")


def _written(work: Path, sandbox: Sandbox) -> dict[str, str]:
    work.mkdir(exist_ok=True)
    (work / "m.yaml").write_text(MANIFEST.format(url=sandbox.base_url))
    return {**os.environ, "CLIENT": sandbox.client_id, "SECRET": sandbox.client_secret}


def _started(work: Path, environ: dict[str, str]) -> subprocess.Popen[bytes]:
    command, nothing = [*RUN, str(work / "m.yaml"), "-q"], subprocess.DEVNULL
    return subprocess.Popen(command, env=environ, cwd=work, stdout=nothing, stderr=nothing)
