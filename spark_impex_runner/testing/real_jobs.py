"""Real jobs of a real run, paused before their steps, for the conformance tests."""

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

# Targets and their services; the two packages have nothing in common.
TARGETS = {"pricing": ["motor/pricing"], "annuity": ["life/annuity"]}
# The step that captures jobs, and the function that gets them, by the manifest's folder: steps run
# on threads of the run, and several tests may have one at a time.
CAPTURE_STEP = "capture-for-conformance"
CAPTURES: dict[str, Callable[[Job], None]] = {}
_PLUGIN = Path(__file__).with_name("job_capture.py")
_KEYS = {"steps": [{"uses": CAPTURE_STEP}], "polling": {"strategy": "fixed"}}
_TIMEOUT = 60.0


@dataclass
class RealJobs:
    """The jobs by their targets' names; ``copy`` returns one in a folder of its own."""

    jobs: dict[str, Job]
    folder: Path
    _copies: int = field(default=0)

    def copy(self, name: str, *, packages: int = 1) -> Job:
        """Return a job as it was delivered, in a new folder with nothing but its packages.

        Further packages have the first one's contents, but another name, size and digest.
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
                artifacts.append(_as_other_file(copied, number) if number else copied)
        target = replace(job.target, output=output)
        return replace(job, target=target, artifacts=tuple(artifacts))


def _as_other_file(package: Artifact, number: int) -> Artifact:
    """Change a package's digest, by a comment in its archive."""
    with zipfile.ZipFile(package.path, "a") as archive:
        archive.comment = b"package %d" % number
    data = package.path.read_bytes()
    known = {name: hashlib.new(name, data).hexdigest() for name in package.digests}
    digest = hashlib.sha256(data).hexdigest()
    return replace(package, size=len(data), sha256=digest, digests=known)


@contextmanager
def real_jobs(run: Runner, keys: Mapping[str, Any]) -> Iterator[RealJobs]:
    """Run a manifest of the targets above on the sandbox, and yield its jobs while it is paused.

    ``keys`` are further keys of each target. The run continues after the ``with`` block.
    """
    targets = [
        {"name": name, "services": services, **_KEYS, **keys} for name, services in TARGETS.items()
    ]
    manifest = {"version": 1, "connections": {"sit": {"sandbox": "acme"}}, "targets": targets}
    arrived: queue.Queue[Job | Finished | Exception] = queue.Queue()
    released = threading.Event()
    CAPTURES[str(run.folder)] = _capture(arrived, released)

    def work() -> None:
        try:
            # Not the test's clock: that does not advance while a job is captured.
            arrived.put(replace(run, clock=Clock())(manifest, plugins=[_PLUGIN]))
        except Exception as error:  # noqa: BLE001 - raised below, by the thread that waits
            arrived.put(error)

    # A daemon: a run that hangs must not keep pytest from ending.
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield RealJobs(_jobs(arrived), run.folder)
    finally:
        released.set()
        thread.join(_TIMEOUT)
        del CAPTURES[str(run.folder)]
        # The next run loads the plugin's file again, under the same module name.
        sys.modules.pop("impex_plugin_job_capture", None)


def _capture(arrived: queue.Queue[Any], released: threading.Event) -> Callable[[Job], None]:
    """Return a function that reports a job, and blocks until the test is done."""

    def hold(job: Job) -> None:
        arrived.put(job)
        released.wait()

    return hold


def _jobs(arrived: queue.Queue[Any]) -> dict[str, Job]:
    """Wait for all jobs, and return them; raise the error of a run that ended before."""
    jobs: dict[str, Job] = {}
    while len(jobs) < len(TARGETS):
        found = arrived.get(timeout=_TIMEOUT)
        if isinstance(found, Exception):
            raise found
        if not hasattr(found, "target"):
            errors = [each.error for each in found.result.results if each.error]
            raise AssertionError(f"the sandbox delivered nothing to work on: {errors}")
        jobs[found.target.name] = found
    return jobs
