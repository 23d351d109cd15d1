"""Runs with their state on S3: killed, suspended, contending; each continued from an empty folder.

A part of ``reliability.py``. The store is a real server on this machine, which refuses conditional
writes as S3 does. ``python remote_state.py SECONDS …`` is ``impex-run …`` whose leases are worth so
many seconds.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore.session
from harness import peer

from spark_impex_runner.report import receipt
from spark_impex_runner.sandbox.server import Sandbox, Settings
from spark_impex_runner.state.opening import open_state
from spark_impex_runner.state.remote import storage
from spark_impex_runner.state.remote.timing import Timing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SERVER = Path(__file__).parent.parent / "tests/support/s3_server.py"
BUCKET = "acme-state"
# The promise: seconds from a kill to the end of what another runner does of it.
TAKE_OVER = 90
REQUESTS = 10
# What a run with one target and one step asks of the store, up to the step.
OF_A_RUN = 12
MANIFEST = """version: 1
connections: {{sit: {{base_url: "{url}", auth: {{token: "${{env:TOKEN}}"}}}}}}
targets:
  - name: life
    folders: [life]
    retry_interval: 100ms
    polling: {{strategy: fixed}}
    steps: {steps}
"""
CHECKSUM = "[{uses: checksum}]"
UPLOAD = f'[{{uses: upload, with: {{to: "s3://{BUCKET}/packages/${{run.id}}"}}}}]'


@contextmanager
def store() -> Iterator[str]:
    """Start the server, with a bucket; the environment of this process opens it."""
    python = peer("moto[s3]==5.2.2", "flask==3.1.2", "flask-cors==6.0.1")
    command = [python, str(SERVER)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        url = next(iter(server.stdout or ())).split()[-1]
        os.environ |= {
            "AWS_ENDPOINT_URL_S3": url,
            "AWS_ACCESS_KEY_ID": "AKIDRELIABILITY",
            "AWS_SECRET_ACCESS_KEY": "secret-of-reliability",
            "AWS_REGION": "us-east-1",
        }
        client: Any = botocore.session.Session().create_client("s3", endpoint_url=url)
        client.create_bucket(Bucket=BUCKET)
        try:
            yield url
        finally:
            server.kill()


@dataclass
class Case:
    """One tenant, and one state for all runs of it, each of which has an empty folder."""

    work: Path
    sandbox: Sandbox
    state: str
    worth: float = 60
    steps: str = CHECKSUM
    folders: list[Path] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    killed: float = 0

    def new_folder(self) -> Path:
        """Return a new folder for one run."""
        with self.lock:
            folder = self.work / f"run-{len(self.folders)}"
            self.folders.append(folder)
        folder.mkdir(parents=True)
        return folder

    def start(self, folder: Path | None = None) -> subprocess.Popen[str]:
        """Start a run in a folder of its own."""
        folder = folder or self.new_folder()
        text = MANIFEST.format(url=self.sandbox.base_url, steps=self.steps)
        (folder / "m.yaml").write_text(text)
        command = [sys.executable, __file__, str(self.worth), "m.yaml", "--state", self.state]
        with (folder / "log").open("w") as log:
            return subprocess.Popen(
                [*command, "--no-progress"],
                cwd=folder,
                env={**os.environ, "TOKEN": self.sandbox.token},
                stdout=log,
                stderr=log,
                text=True,
            )

    def log(self, number: int = -1) -> str:
        """Return what a run said."""
        return (self.folders[number] / "log").read_text()

    def delivered(self) -> dict[str, list[str]]:
        """Return what is wrong with the packages of each job that was delivered."""
        found: dict[str, list[str]] = {}
        for each in self.work.glob("run-*/exports/*/impex-receipt.json"):
            wrong = receipt.verify(each.parent)
            for job_id in json.loads(each.read_text())["job_ids"]:
                found.setdefault(job_id, []).extend(wrong)
        return found

    def problems(self) -> list[str]:
        """Return what is not as promised: a job that was not delivered, a damaged package."""
        created, delivered = set(self.sandbox._exporting._jobs), self.delivered()  # type: ignore[union-attr]  # noqa: SLF001
        found = [f"job {each} was lost" for each in created - delivered.keys()]
        return found + [problem for each in delivered.values() for problem in each]

    def completed(self) -> int:
        """Return how many attempts have succeeded."""
        with closing(open_state(self.state)) as state:
            sql = "SELECT count(*) FROM attempts WHERE outcome = 'succeeded'"
            return int(state.storage.read(None, sql)[0][0])


def rows_of(
    make_row: Callable[[str], Any], counts: tuple[int, int], root: Path, work: Path
) -> list[Any]:
    """Kill at so many instants, and so many of four contending runners; return the rows."""
    instants, kills = counts
    with store() as url:
        rows = []
        if instants:
            rows += _killed(make_row, url, instants, root, work / "killed")
            rows.append(_suspended(make_row, url, root, work / "suspended"))
            rows.append(_counted(make_row, url, root, work / "counted"))
        if kills:
            rows.append(_contending(make_row, kills, root, work / "contending"))
    return rows


def _killed(
    make_row: Callable[[str], Any], url: str, count: int, root: Path, work: Path
) -> list[Any]:
    """Kill runs after different requests to the store; the job ends before the second run."""
    row = make_row("state on S3: SIGKILL, and a second run from an empty folder")
    settings = Settings(job_seconds=0.5)
    with ExitStack() as stack:
        cases = [
            Case(work / str(n), stack.enter_context(Sandbox(root, settings)), _state(f"kill-{n}"))
            for n in range(count)
        ]
        expected = [_kill(each, url, 1 + n * OF_A_RUN // count) for n, each in enumerate(cases)]
        # The leases of all end at the same time: no run waits ten minutes for ten of them.
        with ThreadPoolExecutor(count) as pool:
            seconds = list(pool.map(_finish, cases))
        for case, jobs, (code, _) in zip(cases, expected, seconds, strict=True):
            row.times, row.runs = row.times + 1, row.runs + 2
            row.outcomes["failed" if code else "succeeded"] += 1
            row.jobs += case.sandbox.jobs_created
            row.wrong += case.problems()
            if case.sandbox.jobs_created != jobs:
                row.wrong.append(f"{case.sandbox.jobs_created} jobs for {jobs} requests")
            if code:
                row.wrong.append(case.log()[-300:])
    longest = max(each for _, each in seconds)
    over = make_row(f"... the second run had ended {longest:.0f} s after the kill at most")
    over.times, over.runs = count, count
    over.wrong = [] if longest <= TAKE_OVER else [f"more than {TAKE_OVER} s"]
    return [row, over]


def _kill(case: Case, url: str, requests: int) -> int:
    """Kill a run after so many requests; return how many jobs there are once it is completed."""
    with case.start() as process:
        while len(_requests(url, case.state)) < requests and process.poll() is None:
            time.sleep(0.005)
        process.kill()
    case.killed = time.monotonic()
    # For a target that was complete, the next run is a new one.
    return 1 + case.completed()


def _finish(case: Case) -> tuple[int, float]:
    """Run again in an empty folder; return the exit code, and the seconds since the kill."""
    began = case.killed or time.monotonic()
    with case.start() as process:
        return process.wait(), time.monotonic() - began


def _suspended(make_row: Callable[[str], Any], url: str, root: Path, work: Path) -> Any:
    """Suspend a runner for longer than its lease, while another one continues."""
    row = make_row("state on S3: SIGSTOP while another run takes over")
    with Sandbox(root, Settings(job_seconds=10)) as sandbox:
        case = Case(work, sandbox, _state("suspended"))
        with case.start() as sleeper:
            while " created" not in case.log(0):
                time.sleep(0.05)
            sleeper.send_signal(signal.SIGSTOP)
            code, _ = _finish(case)
            before = len(_requests(url, case.state))
            sleeper.send_signal(signal.SIGCONT)
            sleeper.wait()
        row.times, row.runs, row.jobs = 1, 2, sandbox.jobs_created
        row.outcomes = Counter({"failed" if code else "succeeded": 1, "lost the lease": 1})
        later = _requests(url, case.state)[before:]
        written = [each for each in later if re.fullmatch("PUT .* 2..", each)]
        row.wrong = [f"it wrote {each}" for each in written] + case.problems()
        if "lost the lease" not in case.log(0) or not sleeper.returncode:
            row.wrong.append(f"the suspended run went on: {case.log(0)[-300:]}")
        if (case.folders[0] / "exports").exists():
            row.wrong.append("the suspended run delivered")
    return row


def _counted(make_row: Callable[[str], Any], url: str, root: Path, work: Path) -> Any:
    """Count the requests for a target whose package is uploaded."""
    with Sandbox(root, Settings(job_seconds=0.5)) as sandbox:
        case = Case(work, sandbox, _state("counted"), steps=UPLOAD)
        code, _ = _finish(case)
        lines = _requests(url, case.state)
        of_target = [each for each in lines if "/targets/" in each]
        row = make_row(
            f"state on S3: {len(of_target)} requests for a target with one upload, "
            f"{len(lines) - len(of_target)} for its run"
        )
        row.times, row.runs, row.jobs = 1, 1, sandbox.jobs_created
        row.outcomes["failed" if code else "succeeded"] += 1
        row.wrong = case.problems()
        if len(of_target) > REQUESTS:
            row.wrong.append(f"more than {REQUESTS} requests")
    return row


def _contending(make_row: Callable[[str], Any], kills: int, root: Path, work: Path) -> Any:
    """Let four runners contend for one target, killed at random; leases are worth 4 s."""
    row = make_row("state on S3: SIGKILL at random instants of four contending runs")
    chance = random.Random(1)  # noqa: S311 - instants, not secrets
    with Sandbox(root, Settings(job_seconds=0.3)) as sandbox:
        case = Case(work, sandbox, _state("contending"), worth=4)
        _, length = _finish(case)
        row.runs += 1

        def work_on(_: int) -> None:
            while row.times < kills:
                with case.lock:
                    # Some may end, so that others begin anew.
                    after = chance.uniform(0.1, 2) * length if chance.random() < 0.7 else None
                # Not the newest: the others begin runs meanwhile.
                folder = case.new_folder()
                with case.start(folder) as process:
                    try:
                        process.wait(after)
                    except subprocess.TimeoutExpired:
                        process.kill()
                        process.wait()
                with case.lock:
                    _note(row, process.returncode, (folder / "log").read_text())

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work_on, range(4)))
        code, _ = _finish(case)
        row.runs += 1
        row.jobs = sandbox.jobs_created
        row.wrong += case.problems() + ([case.log()[-300:]] if code else [])
    return row


def _note(row: Any, code: int, log: str) -> None:
    """Count how a run ended."""
    row.runs += 1
    if code == -signal.SIGKILL:
        row.times += 1
        return
    known = ("locked", "lost the lease")
    text = next((each for each in known if each in log), "failed") if code else "succeeded"
    row.outcomes[text] += 1
    if text == "failed":
        row.wrong.append(f"exit code {code}: {log[-300:]}")


def _state(name: str) -> str:
    return f"s3://{BUCKET}/{name}"


def _requests(url: str, state: str) -> list[str]:
    """Return what was asked of the server for one state."""
    with urllib.request.urlopen(f"{url}/_requests") as reply:  # noqa: S310
        lines = str(reply.read(), "utf-8").splitlines()
    return [each for each in lines if f" /{state.removeprefix('s3://')}/" in each]


if __name__ == "__main__":
    worth = float(sys.argv.pop(1))
    storage.Timing = partial(Timing, worth, worth / 3, min(5.0, worth / 6))  # type: ignore[misc,assignment]
    from spark_impex_runner.cli.main import run

    raise SystemExit(run())
