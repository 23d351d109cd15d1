"""Runs, interrupts and transient faults in any order give one job for each delivery."""

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


class SteppedClock(Clock):
    """A clock whose waits only advance its time, and that stops the run at a chosen time."""

    def __init__(self) -> None:
        super().__init__()
        self.elapsed = 0.0
        self.stop_at = float("inf")

    def monotonic(self) -> float:
        """Return the seconds waited."""
        return self.elapsed

    def wait(self, seconds: float) -> None:
        """Advance the time."""
        self.elapsed += seconds
        if self.elapsed >= self.stop_at:
            self.stop(signal.SIGTERM)
        self.check()

    def restart(self, stop_at: float = float("inf")) -> None:
        """Reset the stop, as in a new process."""
        self._stopping = False
        self.stopped_at = math.inf
        self.signum = 0
        self.stop_at = stop_at


class Runs(RuleBasedStateMachine):
    """The runs of one target on one tenant, with faults between them."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="impex-runs-"))
        (self.folder / "acme/life/annuity/1.0.0").mkdir(parents=True)
        self.clock = SteppedClock()
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
    def fault_follows(self, fault: str) -> None:
        """Inject a fault into the next request of a kind."""
        place, what = fault.split("=")
        injector = self.sandbox.faults
        next_fault = parse_fault(f"{place}@{injector._counts[place] + 1}={what}")
        injector._faults = (*injector._faults, next_fault)

    @rule(after=st.floats(0, 30))
    def interrupted_run(self, after: float) -> None:
        """Stop a run after some seconds, unless it has ended by then."""
        self.clock.restart(self.clock.monotonic() + after)
        self.delivered += run_manifest(self.manifest, clock=self.clock).exit_code == 0

    @rule()
    def run(self) -> None:
        """Run to the end: it delivers, with exactly one job for each delivery."""
        self.clock.restart()

        result = run_manifest(self.manifest, clock=self.clock)

        assert [(each.outcome.value, each.error) for each in result.results] == [("succeeded", "")]
        self.delivered += 1
        assert self.sandbox.jobs_created == self.delivered
        assert receipt.verify(self.folder / "exports/a") == []

    @invariant()
    def one_job_per_delivery(self) -> None:
        """At most one job runs beyond those that were delivered."""
        assert self.delivered <= self.sandbox.jobs_created <= self.delivered + 1

    @invariant()
    def state_is_consistent(self) -> None:
        """At most one attempt is open, and SQLite finds the file intact."""
        state = self.folder / ".impex/state.db"
        if state.exists():
            with closing(sqlite3.connect(state)) as database:
                assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                open_attempts = database.execute(
                    "SELECT count(*) FROM attempts WHERE finished IS NULL"
                )
                assert open_attempts.fetchone()[0] <= 1

    def teardown(self) -> None:
        """Stop the tenant and delete the folder."""
        self.sandbox.close()
        shutil.rmtree(self.folder, ignore_errors=True)


TestRuns = Runs.TestCase
TestRuns.settings = settings(max_examples=6, stateful_step_count=12)
