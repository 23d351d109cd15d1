"""The tests that a polling strategy inherits."""

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
from spark_impex_runner.testing.live_jobs import live_jobs
from spark_impex_runner.testing.options import OptionsConformance, manifest, require, shown
from spark_impex_runner.testing.place import elsewhere, silence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from spark_impex_runner.hooks.manager import Plugins
    from spark_impex_runner.hooks.registry import Offer
    from spark_impex_runner.testing.fixtures import Runner, Server
    from spark_impex_runner.testing.live_jobs import LiveJobs

_JOB = 1200.0


class StrategyConformance(OptionsConformance):
    """The tests of a polling strategy.

    ``most_requests`` is how often a job of 20 minutes may be looked at; ``patience`` is how many
    seconds all answers for it may take, for a strategy answers and never waits itself.
    """

    most_requests: ClassVar[int] = 500
    patience: ClassVar[float] = 2.0

    def offer_of(self, plugins: Plugins) -> Offer:
        """Return the strategy's offer."""
        return plugins.registry.strategies[self.name]

    def target_with(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the keys of a target that is waited for by the strategy."""
        return {"polling": {"strategy": self.name, "with": dict(options)}}

    @pytest.fixture
    def jobs(self, run_manifest: Runner) -> Iterator[LiveJobs]:
        """Return jobs to ask about, of a run that goes on."""
        with live_jobs(run_manifest, {}) as jobs:
            yield jobs

    def test_it_answers_for_its_own_name_only(self, plugins: Plugins, jobs: LiveJobs) -> None:
        """Any other strategy gets None."""
        poll = Poll("somebody-elses-strategy", {}, 1, 10.0, 100.0)
        alone = self.alone(plugins, "strategies", "impex_poll_delay")
        answer = alone(job=jobs.jobs["pricing"], poll=poll)
        require(answer is None, f"it answers {answer!r} for a strategy that is not its own")

    def test_every_wait_is_a_number_of_seconds(self, plugins: Plugins, jobs: LiveJobs) -> None:
        """0 or more and finite, whatever is known of the job and of its past."""
        ask = self.asker(plugins, jobs)
        for options in self.good_options:
            for poll in self.polls(options):
                delay = ask(poll)
                number = isinstance(delay, (int, float)) and not isinstance(delay, bool)
                good = number and math.isfinite(delay) and delay >= 0
                require(good, f"{shown(options)}: it answers {delay!r} to {poll}")

    def test_the_server_is_not_hammered(self, plugins: Plugins, jobs: LiveJobs) -> None:
        """A job of 20 minutes is seen to end, by few requests, and answers take no time."""
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

    def test_what_the_server_asks_for_is_kept(self, plugins: Plugins, jobs: LiveJobs) -> None:
        """``retry_after`` is the least that is waited, where there is time for it."""
        ask = self.asker(plugins, jobs)
        for options in self.good_options:
            for poll in self.polls(options):
                asked = replace(poll, retry_after=77.0, remaining=5000.0)
                delay = ask(asked)
                require(
                    delay >= 77, f"{shown(options)}: it waits {delay} s where 77 were asked for"
                )

    def test_no_state_is_kept_between_jobs(self, plugins: Plugins, jobs: LiveJobs) -> None:
        """Answers depend on the question alone, and on chance: in any order they are the same."""
        ask = self.asker(plugins, jobs)
        for options in self.good_options:
            polls = list(self.polls(options))
            forth = [_by_chance(ask, n, poll) for n, poll in enumerate(polls)]
            numbered = list(enumerate(polls))
            back = [_by_chance(ask, n, poll) for n, poll in reversed(numbered)]
            for poll, first, second in zip(polls, forth, reversed(back), strict=True):
                same = first == second
                require(same, f"{shown(options)}: it answers {first}, then {second} to {poll}")

    def test_it_is_thread_safe(self, plugins: Plugins, jobs: LiveJobs) -> None:
        """Many questions at a time are each answered with a number of seconds, or as alone."""
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
        self, plugins: Plugins, jobs: LiveJobs, tmp_path: Path
    ) -> None:
        """An answer leaves no file, and asks nobody."""
        ask = self.asker(plugins, jobs)
        for number, options in enumerate(self.good_options):
            with silence() as tried, elsewhere(tmp_path / f"elsewhere-{number}") as place:
                for poll in self.polls(options):
                    ask(poll)
                require(not place.left(), f"{shown(options)}: it leaves {place.left()}")
            require(not tried, f"{shown(options)}: it connects to {', '.join(tried)}")

    def test_a_run_waits_by_it(self, run_manifest: Runner, serve: Server) -> None:
        """A job of a minute is delivered, and bad weather on the way changes nothing."""
        for options in self.good_options:
            serve("status@2=503", job_seconds=60)
            target = {"connection": "served", **self.target_with(options)}
            written = {**manifest(target), "connections": {"served": {}}}
            ran = run_manifest(written, self.plugin_files, fresh=True)
            errors = "; ".join(each.error for each in ran.result.results)
            require(ran.result.exit_code == 0, f"{shown(options)}: {errors}")

    def polls(self, options: Mapping[str, Any]) -> Iterator[Poll]:
        """Yield questions: every age, with and without a past, with and without an interval."""
        ages = (0.0, 0.5, 10.0, 100.0, 1199.0)
        pasts = ((), (60.0,), (90.0, 100.0, 110.0, 95.0, 105.0, 100.0))
        for (checks, age), past, interval in itertools.product(
            enumerate(ages), pasts, (None, 0.0, 5.0)
        ):
            yield Poll(self.name, options, checks, age, 1800 - age, interval, None, past)
        yield Poll(self.name, options, 10_000, 1e6, 0.0)

    def asker(self, plugins: Plugins, jobs: LiveJobs) -> Callable[[Poll], Any]:
        """Return what asks the strategy."""
        job = jobs.jobs["pricing"]
        return lambda poll: plugins.call("impex_poll_delay", job=job, poll=poll)


def _by_chance(ask: Callable[[Poll], Any], seed: int, poll: Poll) -> Any:
    """Ask with chance settled."""
    before = random.getstate()
    random.seed(seed)
    try:
        return ask(poll)
    finally:
        random.setstate(before)


def _range(ask: Callable[[Poll], Any], poll: Poll) -> tuple[float, float]:
    """Return the least and the longest of some answers, with room for chance."""
    answers = [ask(poll) for _ in range(5)]
    return 0.8 * min(answers), 1.25 * max(answers)
