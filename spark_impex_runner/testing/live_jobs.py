"""Real jobs of a real run, held where their steps would begin: what conformance works on."""

from __future__ import annotations

import hashlib
import queue
import shutil
import sys
import threading
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_impex_runner.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from spark_impex_runner.models import Artifact, Job
    from spark_impex_runner.testing.fixtures import Finished, Runner

# What each target exports: two packages that have nothing in common.
TARGETS = {"pricing": ["motor/pricing"], "annuity": ["life/annuity"]}
# The step that holds them, and its plugin; what each job is handed to, by its manifest's folder.
HELD = "hold-for-conformance"
HOLDERS: dict[str, Callable[[Job], None]] = {}
_PLUGIN = Path(__file__).with_name("held_job.py")
_KEYS = {"steps": [{"uses": HELD}], "polling": {"strategy": "fixed"}}
_PATIENCE = 60.0


@dataclass
class LiveJobs:
    """The jobs by their targets' names; ``copy`` gives one in a folder of its own."""

    jobs: dict[str, Job]
    folder: Path
    _copies: int = field(default=0)

    def copy(self, name: str, *, packages: int = 1) -> Job:
        """Return a job as it was delivered, in a new folder; nothing is in that but its packages.

        Further packages hold the same as the first, but are other files by name, size and digest.
        """
        job = self.jobs[name]
        self._copies += 1
        output = self.folder / f"copy-{self._copies}" / name
        output.mkdir(parents=True)
        artifacts = []
        for each in job.artifacts:
            for number in range(packages):
                named = f"{number}-{each.name}" if number else each.name
                path = output / named
                shutil.copy(each.path, path)
                copied = replace(each, path=path, name=named)
                artifacts.append(_another(copied, number) if number else copied)
        target = replace(job.target, output=output)
        return replace(job, target=target, artifacts=tuple(artifacts))


def _another(package: Artifact, number: int) -> Artifact:
    """Make a package another file, which says its number in the comment of its archive."""
    with zipfile.ZipFile(package.path, "a") as archive:
        archive.comment = b"package %d" % number
    data = package.path.read_bytes()
    known = {name: hashlib.new(name, data).hexdigest() for name in package.digests}
    digest = hashlib.sha256(data).hexdigest()
    return replace(package, size=len(data), sha256=digest, digests=known)


@contextmanager
def live_jobs(run: Runner, keys: Mapping[str, Any]) -> Iterator[LiveJobs]:
    """Run a manifest of the targets above on the sandbox; yield its jobs while it is held.

    ``keys`` are further keys of each target. The run goes on, and ends, behind the ``with``.
    """
    targets = [
        {"name": name, "services": services, **_KEYS, **keys} for name, services in TARGETS.items()
    ]
    manifest = {"version": 1, "connections": {"sit": {"sandbox": "acme"}}, "targets": targets}
    arrived: queue.Queue[Job | Finished | Exception] = queue.Queue()
    released = threading.Event()
    HOLDERS[str(run.folder)] = _holder(arrived, released)

    def work() -> None:
        try:
            # Not the test's clock: its hands stand still for as long as a job is held.
            arrived.put(replace(run, clock=Clock())(manifest, plugins=[_PLUGIN]))
        except Exception as error:  # noqa: BLE001 - raised below, by the thread that waits
            arrived.put(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield LiveJobs(_jobs(arrived), run.folder)
    finally:
        released.set()
        thread.join(_PATIENCE)
        del HOLDERS[str(run.folder)]
        sys.modules.pop("impex_plugin_held_job", None)


def _holder(arrived: queue.Queue[Any], released: threading.Event) -> Callable[[Job], None]:
    """Return what the probe calls with a job: it tells of the job, and holds it."""

    def hold(job: Job) -> None:
        arrived.put(job)
        released.wait()

    return hold


def _jobs(arrived: queue.Queue[Any]) -> dict[str, Job]:
    """Return the jobs once all of them are there; raise what ended the run before."""
    jobs: dict[str, Job] = {}
    while len(jobs) < len(TARGETS):
        found = arrived.get(timeout=_PATIENCE)
        if isinstance(found, Exception):
            raise found
        if not hasattr(found, "target"):
            errors = [each.error for each in found.result.results if each.error]
            raise AssertionError(f"the sandbox delivered nothing to work on: {errors}")
        jobs[found.target.name] = found
    return jobs
