"""Scale: 10,000 targets over 500 tenants in one process, against a simulated fleet.

Three runs of ``impex-run``, whole processes with their log in a file: one of all targets, with jobs
that last twenty seconds; the same, interrupted by SIGINT while every tenant has a job; one with a
job of a minute on every tenant at once, for what waiting costs. They poll as a manifest does that
says nothing of it.
``--targets`` and ``--tenants`` make a quick try of it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

from fleet_server import FOLDER, Address, Plan, serve
from harness import Row, main, workplace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RUN = str(Path(sys.executable).with_name("impex-run"))
TARGETS, TENANTS = 10_000, 500
JOB_SECONDS, LONG_JOB_SECONDS = 20.0, 60.0
_LOOK, _TELL = 0.25, 5.0
# Seconds from the first job to SIGINT.
_BEFORE_SIGINT = 15.0
_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True)
class Watched:
    """A running ``impex-run`` as the kernel sees it: the most it held, the CPU it used.

    Memory is in MB (10**6 bytes), and at the end the kernel's own account.
    """

    process: subprocess.Popen[bytes]
    began: float
    memory: float = 0.0
    files: int = 0
    threads: int = 0
    cpu: float = 0.0

    def look(self) -> bool:
        """Note what the process holds now; tell whether it still runs."""
        if self.process.returncode is not None:
            return False
        place = Path("/proc", str(self.process.pid))
        try:
            # From the third field on: the second is a name, which may hold anything.
            fields = (place / "stat").read_text().rpartition(")")[2].split()
            self.files = max(self.files, len(list((place / "fd").iterdir())))
        except OSError:
            fields = []  # it has ended
        if fields:
            self.memory = max(self.memory, int(fields[21]) * _PAGE / 1e6)
            self.threads = max(self.threads, int(fields[17]))
            self.cpu = (int(fields[11]) + int(fields[12])) / _TICK
        ended, status, usage = os.wait4(self.process.pid, os.WNOHANG)
        if ended:
            self.process.returncode = os.waitstatus_to_exitcode(status)
            self.memory = usage.ru_maxrss * 1024 / 1e6
            self.cpu = usage.ru_utime + usage.ru_stime
        return not ended


@dataclass(frozen=True, slots=True)
class Measured:
    """The run of all targets; times are in seconds."""

    run: Watched
    server_cpu: float
    seconds: float
    before: float
    after: float
    lateness: list[float]
    reaction: list[float]


def write_manifest(path: Path, address: Address, tenants: int, targets: int) -> None:
    """Write a manifest with the targets in turns over the tenants."""
    lines = ["version: 1", "connections:"]
    for number in range(tenants):
        base = f"{address.url}/tenant-{number}"
        lines.append(
            f'  c{number}: {{base_url: "{base}", auth: {{token: "${{env:FLEET_TOKEN}}"}}}}'
        )
    lines += [f"defaults: {{folders: [{FOLDER}]}}", "targets:"]
    for number in range(targets):
        lines.append(f"  - {{name: t{number}, connection: c{number % tenants}}}")
    path.write_text("\n".join(lines) + "\n")


@contextmanager
def watched(manifest: Path, address: Address) -> Iterator[Watched]:
    """Run a manifest while the block watches; its log and its results go to files beside it."""
    command = [RUN, str(manifest), "--report", f"json={manifest.parent / 'report.json'}"]
    environ = {**os.environ, "FLEET_TOKEN": address.token}
    with (manifest.parent / "log").open("wb") as log, (manifest.parent / "out").open("wb") as out:
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=out, stderr=log, env=environ)
        try:
            yield Watched(process, began)
        finally:
            process.kill()
            process.wait()


def scale(tenants: int, targets: int) -> Measured:
    """Run all targets."""
    with workplace() as place, serve(Plan(tenants, JOB_SECONDS)) as address:
        manifest = place / "fleet.yaml"
        write_manifest(manifest, address, tenants, targets)
        with watched(manifest, address) as run:
            ended, told = time.monotonic(), 0.0
            while run.look():
                time.sleep(_LOOK)
                ended = time.monotonic()
                if ended > told + _TELL:
                    told = ended
                    _progress(run, address.figures())
            figures = address.figures()
            _progress(run, figures)
            packages = figures["packages"]
            check(run, manifest.parent, len(packages) == targets)
            return Measured(
                run=run,
                server_cpu=figures["cpu"],
                seconds=ended - run.began,
                before=figures["first"] - run.began,
                after=ended - max(each.fetched for each in packages),
                lateness=[each.lateness for each in packages],
                reaction=[each.reaction for each in packages],
            )


@dataclass(frozen=True, slots=True)
class Stopped:
    """The interrupted run: what it held when SIGINT came, and the seconds from there to its exit.

    ``reported`` is how many targets are in its JSON report.
    """

    run: Watched
    memory: float
    seconds: float
    reported: int


def interrupted(tenants: int, targets: int) -> Stopped:
    """Start a run of all targets, and stop it while every tenant has its first job."""
    with workplace() as place, serve(Plan(tenants, JOB_SECONDS)) as address:
        manifest = place / "fleet.yaml"
        write_manifest(manifest, address, tenants, targets)
        with watched(manifest, address) as run:
            while not (created := address.figures()["created"]) and run.look():
                time.sleep(_LOOK)
            _mark(run, address, created + _BEFORE_SIGINT)
            memory, stopped = run.memory, time.monotonic()
            run.process.send_signal(signal.SIGINT)
            while run.look():
                time.sleep(0.02)
            seconds = time.monotonic() - stopped
        report = manifest.parent / "report.json"
        reported = json.loads(report.read_text())["counts"]["total"] if report.exists() else 0
        return Stopped(run, memory, seconds, reported)


@dataclass(frozen=True, slots=True)
class Waited:
    """The run of long jobs: CPU seconds a second, requests a second, CPU seconds a request."""

    run: Watched
    share: float
    checks: float
    each: float


def waiting(tenants: int) -> Waited:
    """Run one long job on every tenant, and watch the second half of the jobs' life.

    In it every job is in progress, and nothing happens but checks of them.
    """
    with workplace() as place, serve(Plan(tenants, LONG_JOB_SECONDS)) as address:
        manifest = place / "fleet.yaml"
        write_manifest(manifest, address, tenants, tenants)
        with watched(manifest, address) as run:
            while not (created := address.figures()["created"]) and run.look():
                time.sleep(_LOOK)
            marks = [_mark(run, address, created + LONG_JOB_SECONDS * part) for part in (0.5, 0.98)]
    seconds, cpu, requests = (last - first for first, last in zip(*marks, strict=True))
    return Waited(run, cpu / seconds, requests / seconds, cpu / requests)


def _mark(run: Watched, address: Address, moment: float) -> tuple[float, float, int]:
    """Watch until a moment; return it, the CPU used so far, and the requests so far."""
    while time.monotonic() < moment and run.look():
        time.sleep(_LOOK)
    figures = address.figures()
    _progress(run, figures)
    return time.monotonic(), run.cpu, figures["requests"]


def _progress(run: Watched, figures: dict[str, Any]) -> None:
    print(
        f"{time.monotonic() - run.began:.0f} s: {figures['jobs']} jobs, "
        f"{len(figures['packages'])} packages, {figures['requests']} requests, "
        f"{run.memory:.0f} MB, {run.threads} threads, {run.files} files, "
        f"CPU {run.cpu:.1f} s, the server's {figures['cpu']:.1f} s",
        file=sys.stderr,
        flush=True,
    )


def check(run: Watched, place: Path, delivered: bool) -> None:
    """End the script where the run failed, or did not deliver what it should."""
    if run.process.returncode or not delivered:
        told = [*(place / "log").open(errors="replace"), *(place / "out").open(errors="replace")]
        bad = [line for line in told if "failed" in line or "error" in line] or told
        raise SystemExit(f"impex-run ended with {run.process.returncode}:\n{''.join(bad[-20:])}")


def spread(values: Sequence[float]) -> str:
    """Return the middle and the 95th percentile as the table shows them."""
    return f"{median(values):.3f} s (95 %: {quantiles(values, n=20)[-1]:.3f} s)"


def rows(tenants: int = TENANTS, targets: int = TARGETS) -> list[Row]:
    """Measure all runs."""
    waited = waiting(tenants)
    stopped = interrupted(tenants, targets)
    measured = scale(tenants, targets)
    run = measured.run
    what = f"{targets:,} targets, {tenants} tenants"
    bound = -(-targets // tenants) * JOB_SECONDS
    return [
        Row(f"{what}: peak memory", "<= 300 MB", f"{run.memory:.0f} MB"),
        Row(f"{what}: open files, threads, at most", "", f"{run.files}, {run.threads}"),
        Row(
            f"{what}: whole run, to the bound of {bound:g} s", "", f"{measured.seconds / bound:.2f}"
        ),
        Row(
            f"{what}: CPU of the whole run, of the simulated fleet",
            "",
            f"{run.cpu:.1f} s, {measured.server_cpu:.1f} s",
        ),
        Row(f"{what}: start to first request", "", f"{measured.before:.1f} s"),
        Row(f"{what}: last download to exit, with a JSON report", "", f"{measured.after:.1f} s"),
        Row(f"{what}: end of a job to the check that sees it", "", spread(measured.lateness)),
        Row(f"{what}: from that check to the start of the download", "", spread(measured.reaction)),
        Row(
            f"{what}: memory when SIGINT comes, at most",
            "<= 150 MB",
            f"{stopped.memory:.0f} MB, {stopped.run.memory:.0f} MB",
        ),
        Row(
            f"{what}: SIGINT to exit, targets in the report",
            "<= 5 s",
            f"{stopped.seconds:.1f} s, {stopped.reported:,}",
        ),
        Row(
            f"{tenants} waiting jobs: CPU, at {waited.checks:.0f} checks a second",
            "<= 10 % of a core",
            f"{waited.share:.1%}",
        ),
        Row(f"{tenants} waiting jobs: CPU of a check", "", f"{1000 * waited.each:.2f} ms"),
        Row(
            f"{tenants} waiting jobs: memory, threads",
            "",
            f"{waited.run.memory:.0f} MB, {waited.run.threads}",
        ),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tenants", type=int, default=TENANTS)
    parser.add_argument("--targets", type=int, default=TARGETS)
    chosen = parser.parse_args()
    main(lambda: rows(chosen.tenants, chosen.targets))
