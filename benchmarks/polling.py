"""How late the end of a job is noticed, and by how many requests, with and without a past.

The runner itself, its memory on disk and the sandbox, on a clock whose waits only move its hands.
Durations are spread evenly over the orders of magnitude from 1 s to 20 min. Lateness is a share of
the job's duration. Where durations scatter, each is drawn from a normal distribution.
"""

from __future__ import annotations

import os
import random
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from statistics import median
from typing import TYPE_CHECKING

from harness import Row, main, workplace
from reliability import QuickClock, tree

from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.models import RunOptions
from spark_impex_runner.sandbox.server import Sandbox, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SHORTEST, LONGEST = 1.0, 1200.0
NEW, KNOWN, RUNS = 121, 7, 20
# A job is known once as many durations are remembered as the strategy looks at.
LEARNING = 5
WHAT = "lateness; requests"
MANIFEST = """version: 1
connections: {{sit: {{base_url: "{url}", auth: {{token: "${{env:POLLING_TOKEN}}"}}}}}}
targets: [{{name: life, folders: [life], polling: {{deadline: 2h, stall_after: 2h}}}}]
"""


class Hands(QuickClock):
    """A clock that only moves when it is waited for, calendar included."""

    def now(self) -> datetime:
        """Return the moment of the hands on a fixed day."""
        return datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=self.monotonic())


@dataclass(frozen=True, slots=True)
class Seen:
    """How one job was noticed: lateness as a share of its duration, and status requests."""

    late: float
    requests: int


class Tenant:
    """A sandbox whose jobs take as long as is said before each run.

    Its own clock advances by one while a job runs, however many seconds that are.
    """

    def __init__(self, folder: Path) -> None:
        self.clock = Hands()
        self.duration = 1.0
        self._before, self._since = 0.0, 0.0
        self._folder = folder
        self._manifest = folder / "manifest.yaml"
        settings = Settings(job_seconds=1)
        self.sandbox = Sandbox(tree(folder, 1000), settings, clock=self._jobs_so_far)

    def run(self, duration: float, state: str) -> Seen:
        """Run one export that takes so long, with the memory of that name."""
        self._before, self._since = self._jobs_so_far(), self.clock.monotonic()
        self.duration = duration
        self._manifest.write_text(MANIFEST.format(url=self.sandbox.base_url), encoding="utf-8")
        self.sandbox.requests.clear()
        options = RunOptions(state=self._folder / state)
        (result,) = run_manifest(self._manifest, options, clock=self.clock).results
        if not result.good:
            raise SystemExit(result.error)
        took = self.clock.monotonic() - self._since
        paths = [each.path for each in self.sandbox.requests]
        checks = [path for path in paths if path.endswith(f"/{result.job_id}/status")]
        return Seen(took / duration - 1, len(checks))

    def _jobs_so_far(self) -> float:
        return self._before + (self.clock.monotonic() - self._since) / self.duration


def rows() -> Iterator[Row]:
    """Measure jobs of known duration, then new ones."""
    with ExitStack() as stack:
        tenant = Tenant(stack.enter_context(workplace()))
        sandbox = stack.enter_context(tenant.sandbox)
        os.environ["POLLING_TOKEN"] = sandbox.token
        for scatter in (0.0, 0.05, 0.1):
            figure = (
                f"polling of a job of known duration, scatter {scatter:.0%}: lateness; requests"
            )
            yield Row(figure, "<= 5 % of the duration; <= 5", told(known(tenant, scatter)))
        figure = f"polling of a new job of 1 s to 20 min: {WHAT}"
        seen = [tenant.run(each, f"new-{each}") for each in grid(NEW)]
        yield Row(figure, "<= 15 %; <= 25", told(seen))


def known(tenant: Tenant, scatter: float) -> list[Seen]:
    """Run each duration many times; return what was seen once it was known."""
    draw = random.Random(1)  # noqa: S311 - no secret depends on it
    seen = []
    for each in grid(KNOWN):
        taken = [each * max(0.1, draw.gauss(1, scatter)) for _ in range(RUNS)]
        seen += [tenant.run(took, f"known-{scatter}-{each}") for took in taken][LEARNING:]
    return seen


def grid(count: int) -> list[float]:
    """Return durations at equal ratios, the shortest and the longest included."""
    return [SHORTEST * (LONGEST / SHORTEST) ** (n / (count - 1)) for n in range(count)]


def told(seen: Sequence[Seen]) -> str:
    """Return median and worst of both."""
    late, requests = [each.late for each in seen], [each.requests for each in seen]
    return (
        f"median {median(late):.1%}; {median(requests):.0f}, "
        f"worst {max(late):.1%}; {max(requests)}, of {len(seen)} jobs"
    )


if __name__ == "__main__":
    main(rows)
