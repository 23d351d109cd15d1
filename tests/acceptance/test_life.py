"""As a release engineer I run, interrupt and run again in any weather: one job a delivery."""

from __future__ import annotations

import math
import os
import shutil
import signal
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from spark_impex_runner.clock import Clock
from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.report import receipt
from spark_impex_runner.sandbox.faults import parse_fault
from spark_impex_runner.sandbox.server import Sandbox, Settings

FAULTS = [
    *("create=reset", "create=swallow", "create=503", "create=busy:409", "create=text"),
    *("describe=503", "describe=reset"),
    *("status=503", "status=reset", "status=swallow", "status=text", "status=word:odd"),
    *("download=reset", "download=cut:50", "download=corrupt", "download=expired:404"),
]


class Hands(Clock):
    """A clock whose waits move its hands, and that stops the run at a chosen moment."""

    def __init__(self) -> None:
        super().__init__()
        self.elapsed = 0.0
        self.stop_at = float("inf")

    def monotonic(self) -> float:
        """Return the seconds waited."""
        return self.elapsed

    def wait(self, seconds: float) -> None:
        """Move the hands."""
        self.elapsed += seconds
        if self.elapsed >= self.stop_at:
            self.stop(signal.SIGTERM)
        self.check()

    def restart(self, stop_at: float = float("inf")) -> None:
        """Begin the next process."""
        self._stopping = False
        self.stopped_at = math.inf
        self.signum = 0
        self.stop_at = stop_at


class Life(RuleBasedStateMachine):
    """One target, one tenant, whatever happens between them."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="impex-life-"))
        (self.folder / "acme/life/annuity/1.0.0").mkdir(parents=True)
        self.clock = Hands()
        self.sandbox = Sandbox(
            self.folder / "acme", Settings(job_seconds=5), clock=self.clock.monotonic
        ).start()
        os.environ["TOKEN"] = self.sandbox.token
        self.manifest = self.folder / "m.yaml"
        self.manifest.write_text(
            "version: 1\nconnections:\n"
            f"  sit: {{base_url: '{self.sandbox.base_url}', auth: {{token: '${{env:TOKEN}}'}}}}\n"
            "targets:\n  - name: a\n    folders: [life]\n    on_interrupt: leave\n"
            "    polling: {strategy: fixed}\n    steps: [{uses: checksum}, {uses: unzip}]\n"
        )
        self.delivered = 0

    @rule(fault=st.sampled_from(FAULTS))
    def bad_weather(self, fault: str) -> None:
        """Disturb the next request of a kind."""
        place, what = fault.split("=")
        injector = self.sandbox.faults
        coming = parse_fault(f"{place}@{injector._counts[place] + 1}={what}")
        injector._faults = (*injector._faults, coming)

    @rule(after=st.floats(0, 30))
    def interrupted_run(self, after: float) -> None:
        """Stop a run at some moment, unless it is quicker."""
        self.clock.restart(self.clock.monotonic() + after)
        self.delivered += run_manifest(self.manifest, clock=self.clock).exit_code == 0

    @rule()
    def run(self) -> None:
        """Let a run come to its end: it delivers, with exactly one job for each delivery."""
        self.clock.restart()

        result = run_manifest(self.manifest, clock=self.clock)

        assert [(each.outcome.value, each.error) for each in result.results] == [("succeeded", "")]
        self.delivered += 1
        assert self.sandbox.jobs_created == self.delivered
        assert receipt.verify(self.folder / "exports/a") == []

    @invariant()
    def no_job_is_made_twice(self) -> None:
        """At most one job is under way beyond those that were delivered."""
        assert self.delivered <= self.sandbox.jobs_created <= self.delivered + 1

    @invariant()
    def the_state_is_sound(self) -> None:
        """At most one attempt is open, and the file is whole."""
        state = self.folder / ".impex/state.db"
        if state.exists():
            with closing(sqlite3.connect(state)) as link:
                assert link.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                open_ = link.execute("SELECT count(*) FROM attempts WHERE finished IS NULL")
                assert open_.fetchone()[0] <= 1

    def teardown(self) -> None:
        """Stop the tenant and leave nothing."""
        self.sandbox.close()
        shutil.rmtree(self.folder, ignore_errors=True)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=8, stateful_step_count=12)
