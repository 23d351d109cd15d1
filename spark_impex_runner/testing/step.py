"""The conformance tests of a step."""

from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from spark_impex_runner.digests import sha256
from spark_impex_runner.errors import ImpexError
from spark_impex_runner.hooks.specs import StepOutput
from spark_impex_runner.masking import Masker
from spark_impex_runner.models import Artifact, PlannedStep, Step
from spark_impex_runner.testing.options import (
    manifest,
    referring,
    require,
    secrets,
    shown,
)
from spark_impex_runner.testing.real_jobs import TARGETS, real_jobs
from spark_impex_runner.testing.rehearsal import RehearsalConformance
from spark_impex_runner.testing.workspace import (
    blocked_network,
    content,
    difference,
    isolated_folders,
    outputs,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from spark_impex_runner.hooks.manager import Plugins
    from spark_impex_runner.models import Job
    from spark_impex_runner.testing.fixtures import Runner
    from spark_impex_runner.testing.real_jobs import RealJobs
    from spark_impex_runner.testing.workspace import Content

# How many jobs run at once, and how often one step is interrupted at most.
_THREADS = 8
_MAX_STOPS = 12
# Where ``job.memory`` writes.
_MEMORY = ".impex/"


class StepConformance(RehearsalConformance):
    """The tests of a step: ``class TestNote(StepConformance): name = "note"``.

    They work on real packages of two targets on the sandbox. ``patience`` is how many seconds a
    step may take to end after the run was stopped.
    """

    patience: ClassVar[float] = 5.0

    def target_with(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the keys of a target with the step."""
        return {"steps": [{"uses": self.name, "with": dict(options)}]}

    @pytest.fixture
    def jobs(self, run_manifest: Runner, plugins: Plugins) -> Iterator[RealJobs]:
        """Return jobs with delivered packages, whose run is paused."""
        purpose = self.offer_of(plugins).file_filter
        with real_jobs(run_manifest, {"file_filter": purpose} if purpose else {}) as jobs:
            yield jobs

    def test_it_answers_for_its_own_name_only(self, plugins: Plugins, jobs: RealJobs) -> None:
        """For another step it returns None and writes nothing."""
        job = jobs.copy("pricing")
        before = content(job.target.output)
        alone = self.alone(plugins, "steps", "impex_run_step")
        answer = alone(job=job, step=Step("another-step"), artifact=job.packages[0])
        require(answer is None, f"it answers {answer!r} for a step that is not its own")
        require(content(job.target.output) == before, "it writes for a step that is not its own")

    def test_its_artifacts_are_what_it_made(self, plugins: Plugins, jobs: RealJobs) -> None:
        """Each is below the target's output, with its name, size and SHA-256."""
        for options in self.good_options:
            job = jobs.copy("pricing")
            for each in self.run(plugins, job, options):
                path = each.path
                require(path.exists(), f"{shown(options)}: there is no {path}")
                named = job.target.output / each.name
                require(path == named, f"{shown(options)}: {each.name} is not the name of {path}")
                if path.is_file():
                    size = path.stat().st_size
                    require(each.size == size, f"{each.name}: size is {each.size}, not {size}")
                if path.is_file() and each.sha256:
                    digest = sha256(path)
                    require(each.sha256 == digest, f"{each.name}: the SHA-256 is another")

    def test_a_second_run_changes_nothing(self, plugins: Plugins, jobs: RealJobs) -> None:
        """It accepts its own files, and leaves them as they are."""
        if not self.offer_of(plugins).idempotent:
            pytest.skip("the step says that it is not idempotent")
        for options in self.good_options:
            job = jobs.copy("pricing", packages=2)
            first = self.run(plugins, job, options)
            before = content(job.target.output)
            second = self.run(plugins, job, options)
            changed = difference(before, content(job.target.output))
            require(not changed, f"{shown(options)}: a second run changes {changed}")
            alike = {each.name: each for each in first} == {each.name: each for each in second}
            require(alike, f"{shown(options)}: a second run makes other artifacts")

    def test_no_state_is_kept_between_packages(self, plugins: Plugins, jobs: RealJobs) -> None:
        """Results do not depend on the order of packages or of targets."""
        for options in self.good_options:
            forth, back = jobs.copy("pricing", packages=2), jobs.copy("pricing", packages=2)
            self.run(plugins, forth, options)
            self.run(plugins, back, options, backwards=True)
            changed = difference(content(forth.target.output), content(back.target.output))
            require(not changed, f"{shown(options)}: {changed} depends on the packages' order")
            names = [*TARGETS, *reversed(TARGETS)]
            results = [(name, self.result(plugins, jobs.copy(name), options)) for name in names]
            for name, result in results:
                changed = difference(dict(results)[name], result)
                require(not changed, f"{shown(options)}: {changed} depends on earlier calls")

    def test_it_is_thread_safe(self, plugins: Plugins, jobs: RealJobs) -> None:
        """Many targets at once have the same results as each of them alone."""
        for options in self.good_options:
            alone = {name: self.result(plugins, jobs.copy(name), options) for name in TARGETS}
            jobs_at_once = [jobs.copy(name) for name in [*TARGETS] * (_THREADS // 2)]
            together = threading.Barrier(len(jobs_at_once))

            def work(job: Job, options: Any = options, together: Any = together) -> Content:
                # All threads start at the same moment, when races are likely.
                together.wait()
                return self.result(plugins, job, options)

            with ThreadPoolExecutor(len(jobs_at_once)) as pool, _frequent_thread_switches():
                results = list(pool.map(work, jobs_at_once))
            for job, result in zip(jobs_at_once, results, strict=True):
                changed = difference(alone[job.target.name], result)
                require(not changed, f"{shown(options)}: {changed} differs among threads")

    def test_it_ends_when_the_run_is_stopped(self, plugins: Plugins, jobs: RealJobs) -> None:
        """It ends soon after ``job.stopping()`` is true, and leaves no partial file."""
        for options in self.good_options:
            whole = self.result(plugins, jobs.copy("pricing"), options)
            # Stop at the first check, then at the second and so on, until the step ends before it.
            for looks in range(_MAX_STOPS):
                job = jobs.copy("pricing")
                before, stop = content(job.target.output), _Stop(after=looks)
                self.interrupted(plugins, replace(job, stopping=stop), options)
                late = stop.seconds_since()
                message = f"{shown(options)}, stopped at look {looks}: "
                require(late < self.patience, f"{message}it goes on for {late:.1f} s")
                left = content(job.target.output)
                half = [
                    name
                    for name, data in left.items()
                    if name not in before and (name not in whole or whole[name] != data)
                ]
                require(not half, f"{message}it leaves {', '.join(half)} half written")
                if not stop.seen:
                    break

    def test_it_writes_only_below_the_output(
        self, plugins: Plugins, jobs: RealJobs, tmp_path: Path
    ) -> None:
        """It writes nothing to the working, home or temporary folder, nor beside the output."""
        for number, options in enumerate(self.good_options):
            job = jobs.copy("pricing")
            before = content(tmp_path)
            with isolated_folders(tmp_path / f"elsewhere-{number}") as folders:
                self.run(plugins, job, options)
                require(not folders.written(), f"{shown(options)}: it leaves {folders.written()}")
            inside = job.target.output.relative_to(tmp_path).as_posix()
            outside = {
                name: data
                for name, data in content(tmp_path).items()
                if not name.startswith((inside, "elsewhere-", _MEMORY))
            }
            ours = (inside, _MEMORY)
            kept = {name: data for name, data in before.items() if not name.startswith(ours)}
            kept = {name: data for name, data in kept.items() if "elsewhere-" not in name}
            changed = difference(kept, outside)
            require(not changed, f"{shown(options)}: it writes {changed} beside the output")
            # The receipt has the packages' digests, so a step must not change them.
            delivered = {each.name: before[f"{inside}/{each.name}"] for each in job.packages}
            after = content(job.target.output)
            spoilt = [name for name, data in delivered.items() if after.get(name) != data]
            require(not spoilt, f"{shown(options)}: it changes the package {', '.join(spoilt)}")

    def test_a_dry_run_writes_and_sends_nothing(self, plugins: Plugins, jobs: RealJobs) -> None:
        """``impex_plan_step`` returns one line, if the step has ``dry_run``."""
        caller = getattr(plugins.manager.hook, "impex_plan_step", None)
        if not self.offer_of(plugins).dry_run or caller is None:
            pytest.skip("the step offers no dry run")
        for options in self.good_options:
            job = replace(jobs.copy("pricing"), artifacts=())
            before = content(job.target.output)
            with (
                blocked_network() as tried,
                isolated_folders(job.target.output.parent / "elsewhere") as folders,
            ):
                answer = caller(job=job, step=Step(self.name, options))
                require(
                    not folders.written(), f"{shown(options)}: a dry run leaves {folders.written()}"
                )
            require(not tried, f"{shown(options)}: a dry run connects to {', '.join(tried)}")
            changed = difference(before, content(job.target.output))
            require(not changed, f"{shown(options)}: a dry run writes {changed}")
            line = answer.summary if isinstance(answer, PlannedStep) else answer
            good = isinstance(line, str) and line and "\n" not in line
            require(good, f"{shown(options)}: a dry run says {line!r} instead of one line")

    def test_no_secret_is_in_any_output(
        self, plugins: Plugins, run_manifest: Runner, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """A whole run has none in log, reports, receipt, state, files and terminal output."""
        schema = self.offer_of(plugins).options
        found = {each for options in self.good_options for each in secrets(schema, options)}
        masker = Masker()
        for secret in found:
            require(len(secret) >= 8, "give secret options of at least 8 characters")
            masker.add(secret)
        for options in self.good_options:
            with pytest.MonkeyPatch.context() as patch:
                written = referring(schema, options, patch)
                purpose = self.offer_of(plugins).file_filter or "migrate"
                target = {**self.target_with(written), "file_filter": purpose}
                reports = {kind: run_manifest.folder / kind for kind in ("html", "junit")}
                ran = run_manifest(manifest(target), self.plugin_files, reports=reports)
            message = f"{shown(written)}: "
            errors = "; ".join(each.error for each in ran.result.results)
            require(ran.result.exit_code == 0, f"{message}{errors}")
            for name, text in outputs(ran.log, capfd, run_manifest.folder):
                require(masker.mask(text) == text, masker.mask(f"{message}a secret is in {name}"))

    def run(
        self, plugins: Plugins, job: Job, options: Mapping[str, Any], *, backwards: bool = False
    ) -> list[Artifact]:
        """Run the step for each package, as the runner does, and return its artifacts."""
        step = Step(self.name, dict(options))
        artifacts_made: list[Artifact] = []
        for each in reversed(job.packages) if backwards else job.packages:
            answer = plugins.call("impex_run_step", job=job, step=step, artifact=each)
            artifacts = answer.artifacts if isinstance(answer, StepOutput) else answer
            good = isinstance(artifacts, (list, tuple))
            require(good, f"{shown(options)}: it answers {answer!r}, not a list of Artifact")
            good = all(isinstance(each, Artifact) for each in artifacts)
            require(good, f"{shown(options)}: it answers {answer!r}, not a list of Artifact")
            artifacts_made += artifacts
        return artifacts_made

    def result(self, plugins: Plugins, job: Job, options: Mapping[str, Any]) -> Content:
        """Run the step, and return the contents of the output."""
        self.run(plugins, job, options)
        return content(job.target.output)

    def interrupted(self, plugins: Plugins, job: Job, options: Mapping[str, Any]) -> None:
        """Run the step, and ignore errors that the runner knows: an interrupted step raises one."""
        try:
            self.run(plugins, job, options)
        except ImpexError:
            return


class _Stop:
    """A ``job.stopping`` that returns True after ``after`` calls."""

    def __init__(self, after: int) -> None:
        self._left = after
        self._since = time.monotonic()
        self.seen = False

    def __call__(self) -> bool:
        """Return whether the run is to stop."""
        if self._left > 0:
            self._left -= 1
            return False
        if not self.seen:
            self.seen, self._since = True, time.monotonic()
        return True

    def seconds_since(self) -> float:
        """Return the seconds since it first returned True, or since it was made."""
        return time.monotonic() - self._since


class _frequent_thread_switches:  # noqa: N801 - it is used like a function
    """Let Python switch threads every 10 µs, so that races show."""

    def __enter__(self) -> None:
        self._usual = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)

    def __exit__(self, *_: object) -> None:
        sys.setswitchinterval(self._usual)
