"""Kills of real processes at random instants: of a run, of its workers, while it imports.

``reliability.py`` makes rows of its table of them.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_impex_runner.report import receipt
from spark_impex_runner.sandbox.faults import parse_fault
from spark_impex_runner.sandbox.server import Sandbox, Settings

if TYPE_CHECKING:
    from collections.abc import Callable

RUN = [sys.executable, "-c", "from spark_impex_runner.cli.main import run; run()"]


def tree(folder: Path, size: int, tenant: str = "acme", service: str = "life/annuity") -> Path:
    """Add a service to a tenant, whose package has about ``size`` bytes; return its folder."""
    version = folder / tenant / service / "1.0.0"
    version.mkdir(parents=True)
    (version / "model.data").write_bytes(random.Random(1).randbytes(size))  # noqa: S311
    return folder / tenant


def package_size(work: Path) -> int:
    """Return the size of all delivered packages."""
    return sum(package.stat().st_size for package in work.glob("exports/*/*.zip"))


def problems(work: Path, jobs: int, wanted: int) -> list[str]:
    """Return what is not as promised: jobs, package, state."""
    found = [] if jobs == wanted else [f"{jobs} jobs for {wanted} request"]
    folders = [*work.glob("exports/*")]
    found += [] if folders else ["nothing was delivered"]
    for folder in folders:
        found += receipt.verify(folder)
    if not (work / ".impex/state.db").exists():
        return [*found, "there is no state"]
    with closing(sqlite3.connect(work / ".impex/state.db")) as link:
        if link.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            found.append("the state is damaged")
        if link.execute("SELECT count(*) FROM attempts WHERE finished IS NULL").fetchone() != (0,):
            found.append("an attempt was left open")
    return found


@dataclass(frozen=True)
class Kills:
    """Runs of some targets that are killed at random instants, and finished by the same command.

    ``tenants`` are served to all runs, by connection. Each target needs so many ``exports`` and
    ``imports``. With ``workers`` a worker process is killed every other time, not the run.
    """

    what: str
    tenants: dict[str, Sandbox]
    targets: tuple[str, ...]
    exports: int = 1
    imports: int = 0
    options: tuple[str, ...] = ()
    workers: bool = False

    def run(self, row: Any, count: int, work: Path, chance: random.Random) -> Any:
        """Kill that many runs; return the row of the table, filled in."""
        self._begin(work / "warm-up", 60, worker=False)
        self._forget_imports()
        length = self._begin(work / "measured", 60, worker=False) or 60
        while row.times < count:
            self._forget_imports()
            folder = work / f"{row.times}-{row.runs}"
            before, worker = self._counts(), self.workers and row.times % 2 == 1
            row.runs += 1
            after = chance.uniform(0.05, 1.1) * length
            if self._begin(folder, after, worker=worker) is None:
                row.times += 1
                self._finish(folder, before, row)
        return row

    def _finish(self, folder: Path, before: tuple[int, ...], row: Any) -> None:
        """Run the same command again, and compare what there is then with what was promised."""
        runs = len(self.targets) + _complete(folder)
        again = subprocess.run(
            self._command(folder), env=self._environ(), cwd=folder, capture_output=True, check=False
        )
        after = self._counts()
        exports, imports, fetched = (now - then for now, then in zip(after, before, strict=True))
        row.jobs += exports
        row.outcomes["succeeded" if again.returncode == 0 else "failed"] += 1
        row.refetched += max(fetched - package_size(folder), 0)
        row.wrong += problems(folder, exports, self.exports * runs)
        # Not once a run: the second of two complete runs finds what the first one has imported.
        if imports != self.imports:
            row.wrong.append(f"{imports} imports instead of {self.imports}")
        if again.returncode:
            row.wrong.append(f"exit {again.returncode}: {again.stderr.decode()[-300:]}")

    def _begin(self, folder: Path, after: float, *, worker: bool) -> float | None:
        """Start a run and kill it, or a worker of it, after so many seconds.

        Return how long it took where it had ended well by then.
        """
        folder.mkdir(parents=True)
        (folder / "m.yaml").write_text(self._manifest())
        began = time.monotonic()
        with subprocess.Popen(
            self._command(folder), env=self._environ(), cwd=folder,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as process:  # fmt: skip
            workers: list[int] = []
            try:
                process.wait(after)
            except subprocess.TimeoutExpired:
                workers = children(process.pid)
                with suppress(ProcessLookupError):
                    os.kill(workers[0] if worker and workers else process.pid, signal.SIGKILL)
                process.wait()
            # Workers end with their run, but not at the same instant.
            while any(Path(f"/proc/{pid}").exists() for pid in workers):
                time.sleep(0.02)
            return None if process.returncode else time.monotonic() - began

    def _forget_imports(self) -> None:
        """Empty the folder that is imported to: what is identical there would not be sent."""
        if self.imports:
            tree = self.tenants["uat"]._tree  # noqa: SLF001 - no call removes a service
            for service in tree.services("life"):
                tree.put("life", service, ())

    def _command(self, folder: Path) -> list[str]:
        return [*RUN, str(folder / "m.yaml"), "-q", *self.options]

    def _environ(self) -> dict[str, str]:
        tokens = {f"TOKEN_{name}": tenant.token for name, tenant in self.tenants.items()}
        return {**os.environ, **tokens}

    def _manifest(self) -> str:
        lines = ["version: 1", "connections:"]
        for name, tenant in self.tenants.items():
            auth = f"auth: {{token: '${{env:TOKEN_{name}}}'}}"
            lines.append(f"  {name}: {{base_url: '{tenant.base_url}', {auth}}}")
        keys = "retry_interval: 100ms, polling: {strategy: fixed}"
        lines += ["targets:", *(f"  - {{{keys}, {target}}}" for target in self.targets)]
        return "\n".join(lines)

    def _counts(self) -> tuple[int, int, int]:
        """Return how many jobs, services' versions and bytes there were on all tenants."""
        every = self.tenants.values()
        versions = sum(len([*each._tree.all_versions()]) for each in every)  # noqa: SLF001
        jobs, fetched = (
            sum(getattr(each, name) for each in every)
            for name in ("jobs_created", "bytes_downloaded")
        )
        return jobs, versions, fetched


def children(parent: int) -> list[int]:
    """Return the worker processes of a run: those that it has spawned to run its targets."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            state = (path / "stat").read_text().rpartition(")")[2].split()
            words = (path / "cmdline").read_text()
        except OSError:
            continue  # it has just ended
        if int(state[1]) == parent and "spawn_main" in words:
            found.append(int(path.name))
    return found


def _complete(folder: Path) -> int:
    """Return how many targets a killed run had delivered: for those the next run is a new one."""
    if not (folder / ".impex/state.db").exists():
        return 0
    with closing(sqlite3.connect(folder / ".impex/state.db")) as link:
        sql = "SELECT count(*) FROM attempts WHERE outcome = 'succeeded' AND part_of IS NULL"
        try:
            return int(link.execute(sql).fetchone()[0])
        except sqlite3.OperationalError:
            return 0  # killed before the tables were made


def rows_of(
    make_row: Callable[[str], Any], count: int, work: Path, chance: random.Random
) -> list[Any]:
    """Kill so many exports; of promotions, worker processes and divided requests a quarter."""
    root = tree(work / "one", 2_000_000)
    slow = (parse_fault("download@*=slow:4000000"),)
    quick = Settings(job_seconds=0.3, faults=slow)
    life = "name: life, connection: sit, folders: [life]"
    steps = "steps: [{uses: checksum}, {uses: unzip}]"
    importing = "{uses: import, with: {to: uat, if_present: add_version, interval: 50ms}}"
    other, both, uat = work / "other", work / "both", work / "uat/acme"
    (uat / "life").mkdir(parents=True)
    tree(uat.parent, 100, service="other/thing")
    tree(other, 2_000_000)
    tree(both, 1_000_000)
    tree(both, 1_000_000, service="life/term")
    divided = replace(quick, size_limit=1_500_000, over_limit="refuse")
    more = count // 4
    rows = []
    with (
        Sandbox(root, quick) as sit,
        Sandbox(uat, Settings(job_seconds=0.3)) as goal,
        Sandbox(other / "acme", quick) as second,
        Sandbox(both / "acme", divided) as large,
    ):
        one, two = {"sit": sit}, {"sit": sit, "uat": second}
        kinds = (
            (count, Kills("SIGKILL at a random instant", one, (f"{life}, {steps}",))),
            (
                more,
                Kills(
                    "SIGKILL at a random instant of an import",
                    {"sit": sit, "uat": goal},
                    (f"{life}, steps: [{importing}]",),
                    imports=1,
                ),
            ),
            (
                more,
                Kills(
                    "SIGKILL of a run with processes:2, or of a worker",
                    two,
                    (f"{life}, {steps}", f"name: b, connection: uat, folders: [life], {steps}"),
                    options=("--executor", "processes:2"),
                    workers=True,
                ),
            ),
            (
                more,
                Kills(
                    "SIGKILL at a random instant of a divided request",
                    {"sit": large},
                    (f"{life}, {steps}",),
                    exports=2,
                ),
            ),
        )
        for number, (times, each) in enumerate(kinds):
            if times:
                row = make_row(each.what)
                rows.append(each.run(row, times, work / f"kills-{number}", chance))
    return rows
