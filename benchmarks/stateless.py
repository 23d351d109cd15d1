"""Runs that are killed while their job runs, and completed in another folder without any state.

``reliability.py`` makes a row of its table of them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Any

from kills import RUN, package_size

from spark_impex_runner.report import receipt
from spark_impex_runner.sandbox.server import Sandbox, Settings

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

MANIFEST = """version: 1
connections: {{sit: {{base_url: "{url}", auth: {{token: "${{env:TOKEN}}"}}}}}}
targets:
  - name: life
    folders: [life]
    retry_interval: 100ms
    polling: {{strategy: fixed}}
    steps: [{{uses: checksum}}, {{uses: unzip}}]
"""
# Seconds after the first request within which a run is killed.
_LONGEST = 1.0


class _Job:
    """The clock of a tenant: it stands still until the second run has asked for the listing."""

    def __init__(self) -> None:
        self.released = 0.0

    def __call__(self) -> float:
        return time.monotonic() - self.released if self.released else 0.0


def row_of(
    row: Callable[[str], Any], count: int, root: Path, work: Path, chance: random.Random
) -> Any:
    """Kill so many runs at random instants while their job runs; return the row of the table."""
    made = row("SIGKILL, then no state at all, the job still running")
    for number in range(count):
        clock = _Job()
        with Sandbox(root, Settings(job_seconds=0.3), clock=clock) as sandbox:
            _kill(work / f"{number}-first", sandbox, chance.uniform(0, _LONGEST))
            made.times, made.runs = made.times + 1, made.runs + 2
            _finish(work / f"{number}-second", sandbox, clock, made)
            made.jobs += sandbox.jobs_created
            size = package_size(work / f"{number}-second")
            made.refetched += max(sandbox.bytes_downloaded - size, 0)
            if sandbox.jobs_created != 1:
                made.wrong.append(f"{sandbox.jobs_created} jobs for one request")
    return made


def _kill(folder: Path, sandbox: Sandbox, seconds: float) -> None:
    """Kill a run so long after its create call, and delete its folder."""
    with _started(folder, sandbox) as process:
        while not sandbox.jobs_created:
            time.sleep(0.005)
        time.sleep(seconds)
        process.kill()
        process.wait()
    shutil.rmtree(folder)


def _finish(folder: Path, sandbox: Sandbox, clock: _Job, row: Any) -> None:
    """Run the same command in an empty folder; the job ends once it has been seen there."""
    seen = _listings(sandbox)
    with _started(folder, sandbox) as process:
        while _listings(sandbox) == seen and process.poll() is None:
            time.sleep(0.005)
        clock.released = time.monotonic() - 0.001
        process.wait()
    row.outcomes["failed" if process.returncode else "succeeded"] += 1
    row.wrong += receipt.verify(folder / "exports/life")


def _listings(sandbox: Sandbox) -> int:
    return sum(each.path.endswith("/export/status") for each in tuple(sandbox.requests))


def _started(folder: Path, sandbox: Sandbox) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True)
    (folder / "m.yaml").write_text(MANIFEST.format(url=sandbox.base_url))
    command, nothing = [*RUN, str(folder / "m.yaml"), "-q"], subprocess.DEVNULL
    environ = {**os.environ, "TOKEN": sandbox.token}
    return subprocess.Popen(command, env=environ, cwd=folder, stdout=nothing, stderr=nothing)
