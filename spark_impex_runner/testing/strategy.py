"""The conformance tests of a polling strategy."""

from __future__ import annotations

import itertools
import math
import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from spark_impex_runner.models import Poll
from spark_impex_runner.testing.options import OptionsConformance, manifest, require, shown
from spark_impex_runner.testing.real_jobs import real_jobs
from spark_impex_runner.testing.workspace import blocked_network, isolated_folders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from spark_impex_runner.hooks.manager import Plugins
    from spark_impex_runner.hooks.registry import Offer
    from spark_impex_runner.testing.fixtures import Runner, Server
    from spark_impex_runner.testing.real_jobs import RealJobs

_JOB = 1200.0


class StrategyConformance(OptionsConformance):
    """The tests of a polling strategy.

    ``most_requests`` limits the status requests for a job of 20 minutes; ``patience`` limits the
    seconds that all answers for it take, as a strategy must not wait itself.
    """

    most_requests: ClassVar[int] = 500
    patience: ClassVar[float] = 2.0

    def offer_of(self, plugins: Plugins) -> Offer:
        """Return the strategy's offer."""
        return plugins.registry.strategies[self.name]

    def target_with(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the keys of a target with the strategy."""
        return {"polling": {"strategy": self.name, "with": dict(options)}}

    @pytest.fixture
    def jobs(self, run_manifest: Runner) -> Iterator[RealJobs]:
        """Return jobs of a run that is paused."""
        with real_jobs(run_manifest, {}) as jobs:
            yield jobs

    def test_it_answers_for_its_own_name_only(self, plugins: Plugins, jobs: RealJobs) -> None:
        """For another strategy it returns None."""
        poll = Poll("another-strategy", {}, 1, 10.0, 100.0)
        alone = self.alone(plugins, "strategies", "impex_poll_delay")
        answer = alone(job=jobs.jobs["pricing"], poll=poll)
        require(answer is None, f"it answers {answer!r} for a strategy that is not its own")

    def test_every_wait_is_a_number_of_seconds(self, plugins: Plugins, jobs: RealJobs) -> None:
        """It is finite and not negative, with and without a history of jobs."""
        ask = self.asker(plugins, jobs)
        for options in self.good_options:
            for poll in self.polls(options):
                delay = ask(poll)
                number = isinstance(delay, (int, float)) and not isinstance(delay, bool)
                good = number and math.isfinite(delay) and delay >= 0
                require(good, f"{shown(options)}: it answers {delay!r} to {poll}")

    def test_the_server_is_not_hammered(self, plugins: Plugins, jobs: RealJobs) -> None:
        """A job of 20 minutes takes few status requests, and the answers take no time."""
        ask = self.asker(plugins, jobs)
        for options in self.good_options:
            began, elapsed, checks = time.monotonic(), 0.0, 0
            while elapsed < _JOB:
                poll = Poll(self.name, options, checks, elapsed, 10 * _JOB - elapsed)
                elapsed, checks = elapsed + ask(poll), checks + 1
                message = f"{shown(options)}: more than {self.most_requests} requests"
                require(checks <= self.most_requests, f"{message} in {elapsed:.0f} s")
            took = time.monotonic() - began
            require(took < self.patience, f"{shown(options)}: {checks} answers took {took:.1f} s")

    def test_what_the_server_asks_for_is_kept(self, plugins: Plugins, jobs: RealJobs) -> None:
        """It waits at least ``retry_after``, if the deadline allows it."""
        ask = self.asker(plugins, jobs)
        for options in self.good_options:
            for poll in self.polls(options):
                asked = replace(poll, retry_after=77.0, remaining=5000.0)
                delay = ask(asked)
                require(
                    delay >= 77, f"{shown(options)}: it waits {delay} s where 77 were asked for"
                )

    def test_no_state_is_kept_between_jobs(self, plugins: Plugins, jobs: RealJobs) -> None:
        """With the same random seed, answers are the same in any order."""
        ask = self.asker(plugins, jobs)
        for options in self.good_options:
            polls = list(self.polls(options))
            forth = [_ask_with_seed(ask, n, poll) for n, poll in enumerate(polls)]
            numbered = list(enumerate(polls))
            back = [_ask_with_seed(ask, n, poll) for n, poll in reversed(numbered)]
            for poll, first, second in zip(polls, forth, reversed(back), strict=True):
                same = first == second
                require(same, f"{shown(options)}: it answers {first}, then {second} to {poll}")

    def test_it_is_thread_safe(self, plugins: Plugins, jobs: RealJobs) -> None:
        """Many threads get the same answers as one, apart from jitter."""
        ask = self.asker(plugins, jobs)
        for options in self.good_options:
            polls = list(self.polls(options))
            alone = [_range(ask, poll) for poll in polls]
            with ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(ask, polls * 4))
            for answer, (low, high) in zip(answers, alone * 4, strict=True):
                good = low <= answer <= high
                require(good, f"{shown(options)}: {answer} among threads, not {low} to {high}")

    def test_it_writes_and_sends_nothing(
        self, plugins: Plugins, jobs: RealJobs, tmp_path: Path
    ) -> None:
        """An answer writes no file and opens no connection."""
        ask = self.asker(plugins, jobs)
        for number, options in enumerate(self.good_options):
            with (
                blocked_network() as tried,
                isolated_folders(tmp_path / f"elsewhere-{number}") as folders,
            ):
                for poll in self.polls(options):
                    ask(poll)
                require(not folders.written(), f"{shown(options)}: it leaves {folders.written()}")
            require(not tried, f"{shown(options)}: it connects to {', '.join(tried)}")

    def test_a_run_waits_by_it(self, run_manifest: Runner, serve: Server) -> None:
        """A job of a minute is delivered, also after a failed status request."""
        for options in self.good_options:
            serve("status@2=503", job_seconds=60)
            target = {"connection": "served", **self.target_with(options)}
            written = {**manifest(target), "connections": {"served": {}}}
            ran = run_manifest(written, self.plugin_files, fresh=True)
            errors = "; ".join(each.error for each in ran.result.results)
            require(ran.result.exit_code == 0, f"{shown(options)}: {errors}")

    def polls(self, options: Mapping[str, Any]) -> Iterator[Poll]:
        """Yield polls of every age, with and without a history, with and without an interval."""
        ages = (0.0, 0.5, 10.0, 100.0, 1199.0)
        pasts = ((), (60.0,), (90.0, 100.0, 110.0, 95.0, 105.0, 100.0))
        for (checks, age), past, interval in itertools.product(
            enumerate(ages), pasts, (None, 0.0, 5.0)
        ):
            yield Poll(self.name, options, checks, age, 1800 - age, interval, None, past)
        yield Poll(self.name, options, 10_000, 1e6, 0.0)

    def asker(self, plugins: Plugins, jobs: RealJobs) -> Callable[[Poll], Any]:
        """Return a function that asks the strategy."""
        job = jobs.jobs["pricing"]
        return lambda poll: plugins.call("impex_poll_delay", job=job, poll=poll)


def _ask_with_seed(ask: Callable[[Poll], Any], seed: int, poll: Poll) -> Any:
    """Ask with a fixed random seed."""
    before = random.getstate()
    random.seed(seed)
    try:
        return ask(poll)
    finally:
        random.setstate(before)


def _range(ask: Callable[[Poll], Any], poll: Poll) -> tuple[float, float]:
    """Return the range of some answers, widened for jitter."""
    # A strategy may add jitter, so the bounds of a few answers are too narrow.
    answers = [ask(poll) for _ in range(5)]
    return 0.8 * min(answers), 1.25 * max(answers)
