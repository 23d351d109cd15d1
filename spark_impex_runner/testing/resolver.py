"""The conformance tests of a resolver of ``services`` entries."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import pytest

from spark_impex_runner.errors import ManifestError, UriError
from spark_impex_runner.masking import Masker
from spark_impex_runner.models import RunOptions
from spark_impex_runner.planning.load import load
from spark_impex_runner.spark.uri import Uri
from spark_impex_runner.testing.options import PluginConformance, manifest, require
from spark_impex_runner.testing.real_jobs import real_jobs
from spark_impex_runner.testing.workspace import (
    blocked_network,
    content,
    difference,
    isolated_folders,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from spark_impex_runner.hooks.manager import Plugins
    from spark_impex_runner.models import Job
    from spark_impex_runner.testing.fixtures import Runner
    from spark_impex_runner.testing.real_jobs import RealJobs

_THREADS = 8
# What is no resolver's: service URIs.
PLAIN = ("motor/pricing", "motor/pricing[1.4.2]", "service/6f1a1f0e-0000-4000-8000-000000000001")


class ResolverConformance(PluginConformance):
    """The tests of a resolver.

    ``good_entries`` are in its form and lead to services of the tenant in ``VERSIONS``;
    ``bad_entries`` are in its form and wrong. ``files`` are those that they name, by their names
    beside the manifest.
    """

    good_entries: ClassVar[Sequence[str]] = ()
    bad_entries: ClassVar[Sequence[str]] = ()
    files: ClassVar[Mapping[str, str]] = {}

    @pytest.fixture
    def jobs(self, run_manifest: Runner) -> Iterator[RealJobs]:
        """Return jobs of a run that is paused, so that its tenant still answers."""
        for name, text in self.files.items():
            (run_manifest.folder / name).write_text(text, encoding="utf-8")
        with real_jobs(run_manifest, {}) as jobs:
            yield jobs

    def test_good_and_bad_entries_are_given(self) -> None:
        """Without them the other tests would check nothing."""
        require(self.good_entries, "good_entries is empty")
        require(self.bad_entries, "bad_entries is empty")

    def test_good_entries_are_claimed(self, plugins: Plugins, jobs: RealJobs) -> None:
        """``check`` returns an empty text."""
        for entry in self.good_entries:
            answer = plugins.registry.resolvers[self.name].check(entry, jobs.folder)
            require(answer == "", f"check says {answer!r} of '{entry}' instead of ''")

    def test_bad_entries_are_refused_in_one_line(
        self, plugins: Plugins, jobs: RealJobs, run_manifest: Runner
    ) -> None:
        """``check`` returns the error, which ``impex validate`` reports."""
        for entry in self.bad_entries:
            answer = plugins.registry.resolvers[self.name].check(entry, jobs.folder)
            line = isinstance(answer, str) and answer and "\n" not in answer
            require(line, f"check says {answer!r} of '{entry}' instead of one line")
            path = run_manifest.write(manifest({"services": [entry]}))
            options = RunOptions(plugin_files=tuple(self.plugin_files))
            with pytest.raises(ManifestError) as error:
                load(path, options, run_manifest.clock, Masker())
            require(str(answer) in str(error.value), f"impex validate does not say {answer!r}")

    def test_it_answers_for_its_own_form_only(self, plugins: Plugins, jobs: RealJobs) -> None:
        """``check`` and ``impex_resolve_uri`` return None for service URIs."""
        job = jobs.jobs["pricing"]
        alone = self.alone(plugins, "resolvers", "impex_resolve_uri")
        for entry in PLAIN:
            answer = plugins.registry.resolvers[self.name].check(entry, jobs.folder)
            require(answer is None, f"check says {answer!r} of '{entry}', which is not its own")
            answer = alone(uri=entry, target=job.target, run=job.run)
            require(answer is None, f"it answers {answer!r} to '{entry}', which is not its own")

    def test_a_check_sends_nothing(self, plugins: Plugins, jobs: RealJobs) -> None:
        """Validation does not contact the tenant."""
        with blocked_network() as tried:
            for entry in (*self.good_entries, *self.bad_entries):
                plugins.registry.resolvers[self.name].check(entry, jobs.folder)
        require(not tried, f"check connects to {', '.join(tried)}")

    def test_entries_become_service_uris(self, plugins: Plugins, jobs: RealJobs) -> None:
        """Each good entry resolves to at least one valid service URI."""
        for entry in self.good_entries:
            for uri in self.resolve(plugins, jobs.jobs["pricing"], entry):
                try:
                    Uri.parse(uri)
                except UriError as error:
                    raise AssertionError(f"'{entry}' becomes {uri!r}: {error}") from None

    def test_no_state_is_kept_between_entries(self, plugins: Plugins, jobs: RealJobs) -> None:
        """In either order, and for either target, they become the same."""
        entries = list(self.good_entries)
        first = {each: self.resolve(plugins, jobs.jobs["pricing"], each) for each in entries}
        for name in ("annuity", "pricing"):
            for each in reversed(entries):
                again = self.resolve(plugins, jobs.jobs[name], each)
                require(again == first[each], f"'{each}' becomes {first[each]}, then {again}")

    def test_it_is_thread_safe(self, plugins: Plugins, jobs: RealJobs) -> None:
        """Many at a time become what each becomes alone."""
        job, entries = jobs.jobs["pricing"], list(self.good_entries) * _THREADS
        alone = {each: self.resolve(plugins, job, each) for each in entries}
        with ThreadPoolExecutor(_THREADS) as pool:
            found = list(pool.map(lambda each: self.resolve(plugins, job, each), entries))
        for each, uris in zip(entries, found, strict=True):
            require(uris == alone[each], f"'{each}' becomes {uris} among threads")

    def test_it_writes_nothing(self, plugins: Plugins, jobs: RealJobs, tmp_path: Path) -> None:
        """Neither to check nor to resolve."""
        before = content(jobs.folder)
        with isolated_folders(tmp_path / "elsewhere") as folders:
            for entry in self.good_entries:
                plugins.registry.resolvers[self.name].check(entry, jobs.folder)
                self.resolve(plugins, jobs.jobs["pricing"], entry)
            require(not folders.written(), f"it leaves {folders.written()}")
        after = content(jobs.folder)
        kept = {name: data for name, data in after.items() if not name.startswith("elsewhere")}
        changed = difference(before, kept)
        require(not changed, f"it writes {changed}")

    def resolve(self, plugins: Plugins, job: Job, entry: str) -> Sequence[str]:
        """Return what an entry becomes, of which there must be something."""
        target = replace(job.target, services=(entry,))
        uris = plugins.call("impex_resolve_uri", uri=entry, target=target, run=job.run)
        good = isinstance(uris, (list, tuple)) and all(isinstance(uri, str) for uri in uris)
        require(good and uris, f"'{entry}' becomes {uris!r} instead of some service URIs")
        return list(uris)
