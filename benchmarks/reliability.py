"""How much weather a run survives: kills at random instants, and every kind of fault.

``python benchmarks/reliability.py`` prints two tables; ``--write`` puts them into
docs/explanation/reliability.md, ``--json`` prints the figures instead. Everything runs on this
machine: real processes for the kills, the sandbox and a clock that does not wait for the faults.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

from uploads import Plan, rows_of

from spark_impex_runner.clock import Clock
from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.report import receipt
from spark_impex_runner.sandbox.faults import parse_fault
from spark_impex_runner.sandbox.server import Sandbox, Settings

PAGE = Path(__file__).parent.parent / "docs/explanation/reliability.md"
RUN = [sys.executable, "-c", "from spark_impex_runner.cli.main import run; run()"]
MANIFEST = """version: 1
connections:
  sit:
    base_url: "{url}"
    timeout: {timeout}
    auth: {{oauth: {{client_id: "${{env:CLIENT}}", client_secret: "${{env:SECRET}}"}}}}
targets:
  - name: life
    folders: [life]
    retry_interval: 100ms
    polling: {{strategy: fixed}}
    steps: [{{uses: checksum}}, {{uses: unzip}}]
"""
# Each kind of weather: what happens, to which request, how often.
FAULTS = (
    "token@1=503",
    "token@1-2=reset",
    "create@1=reset",
    "create@1=swallow",
    "create@1-3=swallow",
    "create@1=hang",
    "create@1=503",
    "create@1=500",
    "create@1=502:html",
    "create@1=429:retry=3",
    "create@1=429:date=3",
    "create@1=text",
    "create@1=empty",
    "create@1-2=busy:409",
    "create@1-2=busy:400",
    "create@1-2=busy:429",
    "create@1-2=busy:500",
    "describe@1-2=503",
    "status@1-4=503",
    "status@2=reset",
    "status@1=swallow",
    "status@1=hang",
    "status@1=429:retry=3",
    "status@1=502:html",
    "status@1=token-expired",
    "status@1-2=word:archiving",
    "download@1=cut:1500000",
    "download@1-3=cut:1500000",
    "download@1=reset",
    "download@1=hang",
    "download@1=503",
    "download@1=corrupt",
    "download@1=short",
    "download@1=html",
    "download@1=redirect",
    "download@1=expired:401",
    "download@1=expired:403",
    "download@1=expired:404",
    "download@1=expired:410",
    "download@1=slow:1000000",
    "download@1=cut:1500000 download@2=no-ranges",
    "download@1=cut:1500000 download@2=new-etag",
)


class QuickClock(Clock):
    """A clock whose waits only move its hands: an hour of weather takes a moment."""

    def __init__(self) -> None:
        super().__init__()
        self._hands = 0.0
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Return a moment that moves with the hands."""
        return datetime.now(timezone.utc) + timedelta(seconds=self._hands)

    def monotonic(self) -> float:
        """Return the seconds that were waited."""
        return self._hands

    def wait(self, seconds: float) -> None:
        """Move the hands."""
        with self._lock:
            self._hands += seconds
        self.check()


@dataclass
class Row:
    """What became of one kind of weather."""

    what: str
    times: int = 0
    runs: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    jobs: int = 0
    refetched: int = 0
    wrong: list[str] = field(default_factory=list)


def tree(folder: Path, size: int, tenant: str = "acme") -> Path:
    """Make a tenant with one service whose package has about ``size`` bytes."""
    version = folder / tenant / "life/annuity/1.0.0"
    version.mkdir(parents=True)
    (version / "model.data").write_bytes(random.Random(1).randbytes(size))  # noqa: S311
    return folder / tenant


def weather(text: str, root: Path, work: Path) -> Row:
    """Run one manifest through some faults, and once more where the first run did not succeed."""
    clock, row = QuickClock(), Row(text)
    faults = tuple(parse_fault(part) for part in text.split())
    settings = Settings(job_seconds=1, faults=faults)
    with Sandbox(root, settings, clock=clock.monotonic) as sandbox:
        os.environ.update(_credentials(sandbox))
        work.mkdir()
        manifest = work / "m.yaml"
        manifest.write_text(MANIFEST.format(url=sandbox.base_url, timeout="500ms"))
        for _ in range(3):
            row.runs += 1
            result = run_manifest(manifest, clock=clock).results[0]
            row.outcomes[result.outcome.value] += 1
            if result.good:
                break
        row.times = sum(sandbox.weather.met.values())
        row.jobs = sandbox.jobs_created
        row.refetched = max(sandbox.bytes_downloaded - package_size(work), 0)
        row.wrong = problems(work, row.jobs, 1)
        if not row.times:
            row.wrong.append("the fault was never met")
    return row


def _credentials(sandbox: Sandbox) -> dict[str, str]:
    return {"CLIENT": sandbox.client_id, "SECRET": sandbox.client_secret}


def package_size(work: Path) -> int:
    """Return the size of the delivered package."""
    package = work / "exports/life/package.zip"
    return package.stat().st_size if package.exists() else 0


def problems(work: Path, jobs: int, wanted: int) -> list[str]:
    """Return what is not as promised: jobs, package, state."""
    found = [] if jobs == wanted else [f"{jobs} jobs for {wanted} request"]
    found += receipt.verify(work / "exports/life")
    if not (work / ".impex/state.db").exists():
        return [*found, "there is no state"]
    with closing(sqlite3.connect(work / ".impex/state.db")) as link:
        if link.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            found.append("the state is damaged")
        if link.execute("SELECT count(*) FROM attempts WHERE finished IS NULL").fetchone() != (0,):
            found.append("an attempt was left open")
    return found


def kills(count: int, root: Path, work: Path, chance: random.Random) -> Row:
    """Kill that many runs at a random instant; finish each with the same command."""
    row = Row("SIGKILL at a random instant")
    slow = (parse_fault("download@*=slow:4000000"),)
    with Sandbox(root, Settings(job_seconds=0.3, faults=slow)) as sandbox:
        environ = {**os.environ, **_credentials(sandbox)}
        text = MANIFEST.format(url=sandbox.base_url, timeout="10s")
        length = _duration(text, work / "warm-up", environ)
        while row.times < count:
            folder = work / f"kill-{row.times}-{row.runs}"
            before, bytes_before = sandbox.jobs_created, sandbox.bytes_downloaded
            killed = _killed(text, folder, environ, chance.uniform(0.05, 1.1) * length)
            row.runs += 1
            if not killed:
                continue
            row.times += 1
            complete = _complete(folder)
            again = subprocess.run(
                [*RUN, str(folder / "m.yaml"), "-q"],
                env=environ, cwd=folder, capture_output=True, check=False,
            )  # fmt: skip
            jobs = sandbox.jobs_created - before
            row.jobs += jobs
            row.outcomes["succeeded" if again.returncode == 0 else "failed"] += 1
            row.refetched += max(sandbox.bytes_downloaded - bytes_before - package_size(folder), 0)
            row.wrong += problems(folder, jobs, 2 if complete else 1)
            if again.returncode:
                row.wrong.append(f"exit {again.returncode}: {again.stderr.decode()[-300:]}")
    return row


def _duration(text: str, folder: Path, environ: dict[str, str]) -> float:
    began = time.monotonic()
    _killed(text, folder, environ, 60)
    return time.monotonic() - began


def _killed(text: str, folder: Path, environ: dict[str, str], after: float) -> bool:
    """Start a run and kill it after so many seconds; tell whether it was still running."""
    folder.mkdir()
    (folder / "m.yaml").write_text(text)
    with subprocess.Popen(
        [*RUN, str(folder / "m.yaml"), "-q"],
        env=environ, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        return process.returncode != 0


def _complete(folder: Path) -> bool:
    """Tell whether a killed run had delivered its target: the next run is then a new one."""
    if not (folder / ".impex/state.db").exists():
        return False
    with closing(sqlite3.connect(folder / ".impex/state.db")) as link:
        try:
            sql = "SELECT count(*) FROM attempts WHERE outcome = 'succeeded'"
            return bool(link.execute(sql).fetchone()[0])
        except sqlite3.OperationalError:
            return False  # killed before the tables were made


def render(rows: list[Row]) -> str:
    """Return the tables as Markdown."""
    lines = [
        "| fault | times | runs | outcomes | jobs created | bytes fetched twice | lost or wrong |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        outcomes = ", ".join(f"{count} {name}" for name, count in row.outcomes.items())
        wrong = "; ".join(row.wrong) or "nothing"
        lines.append(
            f"| `{row.what}` | {row.times} | {row.runs} | {outcomes} | {row.jobs} "
            f"| {row.refetched:,} | {wrong} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Measure, print, and fail if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--faults", type=int, default=len(FAULTS), help="only the first N kinds")
    parser.add_argument("--uploads", type=int, default=100, help="kills for each kind of store")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        root = tree(folder, 2_000_000)
        rows = [
            weather(text, root, folder / f"fault-{number}")
            for number, text in enumerate(FAULTS[: arguments.faults])
        ]
        chance = random.Random(arguments.seed)  # noqa: S311 - instants, not secrets
        if arguments.kills:
            rows.insert(0, kills(arguments.kills, root, folder, chance))
        if arguments.uploads:
            clock = QuickClock()
            clock.wait(timedelta(days=3).total_seconds())
            roots = [tree(folder / "large", 24_000_000), tree(folder / "other", 100_000, "beta")]
            plan = Plan(arguments.uploads, roots, folder / "uploads", clock, chance)
            rows += rows_of(Row, plan)
    if arguments.json:
        print(json.dumps([vars(row) for row in rows]))
    else:
        print(render(rows))
        if arguments.write:
            _write(render(rows))
    return 1 if any(row.wrong for row in rows) else 0


def _write(table: str) -> None:
    """Replace the table in the page."""
    begin, end = "<!-- table -->", "<!-- end -->"
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(begin)
    after = rest.partition(end)[2]
    PAGE.write_text(f"{before}{begin}\n\n{table}\n\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
