"""How many faults a run survives: kills at random instants, and every kind of fault.

``python benchmarks/reliability.py`` prints two tables; ``--write`` puts them into
docs/explanation/reliability.md, ``--json`` prints the figures instead. Everything runs on this
machine: real processes for the kills, the sandbox and a clock that does not wait for the faults.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import cluster
import kills
import remote_state
import stateless
import stops
import uploads
from kills import package_size, problems, tree

from spark_impex_runner.clock import Clock
from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.sandbox.faults import Fault, parse_fault
from spark_impex_runner.sandbox.server import Sandbox, Settings

PAGE = Path(__file__).parent.parent / "docs/explanation/reliability.md"
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
# About what the package has; counts of bytes among the faults are those of this size.
SIZE = 2_000_000
# Each kind of fault: what happens, to which request, how often.
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
    # A server that is polite about a long outage, odd answers, large ones, codings that are none.
    "download@1=503:retry=180",
    "create@1=503:retry=600",
    "token@1=503:retry=120",
    "status@1=word:closed",
    "status@2=null-lists",
    "status@1=forget",
    "status@1=404:html",
    "status@1=large:300000000",
    "describe@1=large:300000000",
    "download@1-=coding",
    "download@1-=coding:utf-8",
)
# So many seconds is the clock of this machine ahead of the tenant's.
CLOCKS = (
    (660, "create@1=swallow"),
    (-660, "create@1=swallow"),
    (3600, "status@1=429:date=2"),
    (-3600, "status@1=429:date=2"),
)


# What ``--only`` names.
PARTS = ("kills", "stateless", "faults", "uploads", "stops", "cluster", "remote", "contended")


class QuickClock(Clock):
    """A clock whose waits only move its hands: an hour of faults takes a moment."""

    def __init__(self, ahead: float = 0) -> None:
        super().__init__()
        self._hands = 0.0
        self._ahead = ahead
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Return a moment that moves with the hands."""
        return datetime.now(timezone.utc) + timedelta(seconds=self._hands + self._ahead)

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
    """The result of one kind of fault."""

    what: str
    times: int = 0
    runs: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    jobs: int = 0
    refetched: int = 0
    wrong: list[str] = field(default_factory=list)


def scaled(text: str, root: Path) -> Fault:
    """Return a fault whose count of bytes suits the size of the tenant's package."""
    fault = parse_fault(text)
    if fault.what not in {"cut", "slow"}:
        return fault
    size = next(root.rglob("model.data")).stat().st_size
    return replace(fault, argument=str(int(fault.argument) * size // SIZE))


def run_with_faults(text: str, root: Path, work: Path, ahead: float = 0) -> Row:
    """Run one manifest through some faults, and once more where the first run did not succeed."""
    clock, row = QuickClock(ahead), Row(f"{text}, clock {ahead:+g} s" if ahead else text)
    faults = tuple(scaled(part, root) for part in text.split())
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
        row.times = sum(sandbox.faults.hits.values())
        row.jobs = sandbox.jobs_created
        row.refetched = max(sandbox.bytes_downloaded - package_size(work), 0)
        row.wrong = problems(work, row.jobs, 1)
        if not row.times:
            row.wrong.append("the fault was never injected")
    return row


def _credentials(sandbox: Sandbox) -> dict[str, str]:
    return {"CLIENT": sandbox.client_id, "SECRET": sandbox.client_secret}


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
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        root = tree(folder, arguments.size)
        chance = random.Random(arguments.seed)  # noqa: S311 - instants, not secrets
        rows = [
            *_rows_of_kills(arguments, root, folder, chance),
            *_rows_of_faults(arguments, root, folder),
            *_rows_of_uploads(arguments, folder, chance),
        ]
    if arguments.json:
        print(json.dumps([vars(row) for row in rows]))
    else:
        print(render(rows))
        if arguments.write:
            _write(render(rows))
    return 1 if any(row.wrong for row in rows) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--stateless", type=int, default=100, help="kills of runs without state")
    parser.add_argument("--remote", type=int, default=10, help="kill instants, state on S3")
    parser.add_argument("--contended", type=int, default=1000, help="kills of four contenders")
    parser.add_argument("--faults", type=int, default=len(FAULTS), help="only the first N kinds")
    parser.add_argument("--size", type=int, default=SIZE, help="bytes of the package for faults")
    parser.add_argument("--uploads", type=int, default=100, help="kills for each kind of store")
    parser.add_argument("--stops", type=int, choices=(0, 1), default=1, help="0: no SIGTERM")
    parser.add_argument("--cluster", type=int, choices=(0, 1), default=1, help="0: no Dask")
    parser.add_argument("--only", choices=PARTS, help="this part alone, with its own number")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    for part in PARTS if arguments.only else ():
        if part != arguments.only:
            setattr(arguments, part, 0)
    return arguments


def _rows_of_kills(
    arguments: argparse.Namespace, root: Path, folder: Path, chance: random.Random
) -> list[Row]:
    rows = []
    if arguments.cluster:
        rows.append(cluster.row_of(Row, root, folder / "cluster"))
    if arguments.stateless:
        work = folder / "stateless"
        rows.append(stateless.row_of(Row, arguments.stateless, root, work, chance))
    counts = arguments.remote, arguments.contended
    if any(counts):
        rows += remote_state.rows_of(Row, counts, root, folder / "remote")
    if arguments.kills:
        rows += kills.rows_of(Row, arguments.kills, folder / "kills", chance)
    return rows


def _rows_of_faults(arguments: argparse.Namespace, root: Path, folder: Path) -> list[Row]:
    rows = [
        run_with_faults(text, root, folder / f"fault-{number}")
        for number, text in enumerate(FAULTS[: arguments.faults])
    ]
    if arguments.faults == len(FAULTS):
        rows += [
            run_with_faults(text, root, folder / f"clock-{number}", ahead)
            for number, (ahead, text) in enumerate(CLOCKS)
        ]
    if arguments.stops:
        rows += stops.rows_of(Row, root, folder / "stops")
    return rows


def _rows_of_uploads(
    arguments: argparse.Namespace, folder: Path, chance: random.Random
) -> list[Row]:
    if not arguments.uploads:
        return []
    clock = QuickClock()
    clock.wait(timedelta(days=3).total_seconds())
    roots = [tree(folder / "large", 24_000_000), tree(folder / "other", 100_000, "beta")]
    plan = uploads.Plan(arguments.uploads, roots, folder / "uploads", clock, chance)
    return [*uploads.rows_of(Row, plan)]


def _write(table: str) -> None:
    """Replace the table in the page."""
    begin, end = "<!-- table -->", "<!-- end -->"
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(begin)
    after = rest.partition(end)[2]
    PAGE.write_text(f"{before}{begin}\n\n{table}\n\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
