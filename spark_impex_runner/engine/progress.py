"""What a run is doing at this moment: written by its threads, read by any thread that shows it."""

from __future__ import annotations

import logging
from collections import Counter, deque
from dataclasses import replace
from typing import TYPE_CHECKING

from spark_impex_runner.delivery.progress import Phase
from spark_impex_runner.engine.snapshot import Activity, Snapshot
from spark_impex_runner.models import Outcome
from spark_impex_runner.text import display_width

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.delivery.progress import TargetProgress
    from spark_impex_runner.models import Run, TargetResult

_log = logging.getLogger("spark_impex_runner.events")

# A rate is that of the last seconds: long enough to be steady, short enough to show a change.
_RATE_WINDOW = 6.0
# Seconds of silence before each report; the last one stays. A second less than five minutes: a
# watcher that allows five must see the line in time.
_PAUSES = (30.0, 60.0, 120.0, 299.0)


class RunProgress:
    """One run as far as it has come.

    The scheduler's thread and those of the targets call ``note_…``, each for a target at a time;
    the other methods are for one thread that shows the run.
    """

    def __init__(self) -> None:
        self._run: Run | None = None
        self._clock: Clock | None = None
        self._began = 0.0
        self._connections: tuple[str, ...] = ()
        self._longest = ""
        self._distributed = False
        self._queued: dict[str, str] = {}
        self._started: dict[str, TargetProgress] = {}
        # Of targets that run on workers, with the time at which it was received.
        self._remote: dict[str, tuple[Activity, float]] = {}
        # Of the same targets: the id of the last job, and whether that may still run.
        self._jobs: dict[str, tuple[str, bool]] = {}
        self._ended: dict[str, Outcome] = {}
        self._held: dict[str, str] = {}
        self._rates: dict[str, _Rate] = {}
        self._reported: dict[str, Backoff] = {}

    def begin(self, run: Run, clock: Clock, *, distributed: bool = False) -> None:
        """Set the run, whose targets are known from now on.

        ``distributed``: workers run the targets, of which only the ends may become known.
        """
        self._clock, self._began, self._distributed = clock, clock.monotonic(), distributed
        self._connections = tuple(dict.fromkeys(each.connection for each in run.targets))
        self._longest = max((each.name for each in run.targets), key=display_width, default="")
        self._run = run

    def note_queued(self, name: str, connection: str) -> None:
        """Record that a target waits for a job of its tenant."""
        self._queued[name] = connection

    def note_started(self, progress: TargetProgress) -> None:
        """Record that a target begins."""
        name = progress.job.target.name
        self._started[name] = progress
        self._queued.pop(name, None)

    def note_ended(self, result: TargetResult) -> None:
        """Record the result of a target."""
        self.note_outcome(result.target.name, result.outcome, result.approve)

    def note_outcome(self, name: str, outcome: Outcome, approve: str) -> None:
        """Record the outcome of a target, in place of an earlier one."""
        self.forget([name])
        self._started.pop(name, None)
        self._rates.pop(name, None)
        self._reported.pop(name, None)
        self._ended[name] = outcome
        if outcome is Outcome.HELD:
            self._held[name] = approve

    def note_remote(self, activities: Iterable[Activity]) -> None:
        """Record what targets do that run on a worker."""
        now = self._clock.monotonic() if self._clock else 0.0
        for each in activities:
            self._queued.pop(each.target, None)
            self._remote[each.target] = each, now

    def note_job(self, name: str, job_id: str, event: str) -> None:
        """Record the job of a target that runs on a worker, of which there is an event."""
        ends = event in {"job.done", "job.cancelled"} or event.startswith("package.")
        has_ended = ends or self._jobs.get(name) == (job_id, False)
        self._jobs[name] = job_id, not has_ended

    def job_of(self, name: str) -> tuple[str, bool]:
        """Return the id of the job of a target on a worker, and whether it may still run."""
        return self._jobs.get(name, ("", False))

    def forget(self, names: Iterable[str]) -> None:
        """Forget what targets did, such as on a worker that another one replaces."""
        for name in names:
            self._queued.pop(name, None)
            self._remote.pop(name, None)

    def snapshot(self) -> Snapshot | None:
        """Return what the run does now; None if it has not begun."""
        run, clock = self._run, self._clock
        if run is None or clock is None:
            return None
        now = clock.monotonic()
        queued: dict[str, list[str]] = {}
        for name, connection in self._queued.copy().items():
            queued.setdefault(connection, []).append(name)
        return Snapshot(
            name=run.manifest.name,
            run_id=run.id,
            elapsed=now - self._began,
            targets=len(run.targets),
            connections=self._connections,
            longest=self._longest,
            ended=Counter(self._ended.copy().values()),
            active=(
                *(self._activity(each, now) for each in self._started.copy().values()),
                *(
                    replace(each, elapsed=each.elapsed + now - received)
                    for each, received in self._remote.copy().values()
                ),
            ),
            queued={connection: tuple(names) for connection, names in queued.items()},
            held=self._held.copy(),
            distributed=self._distributed,
            stopping=clock.stopping(),
        )

    def report_downloads(self) -> None:
        """Log how far each download has come, ever less often."""
        for name, target in self._started.copy().items():
            each = self._activity(target, target.context.clock.monotonic())
            if each.phase != Phase.DOWNLOADING.value:
                continue
            if self._reported.setdefault(name, Backoff()).is_over_since_last(each.elapsed):
                of = f" of {each.size:,}" if each.size else ""
                message = f"downloading: {each.received:,}{of} bytes"
                detail = {"received": each.received, "size": each.size, "rate": int(each.rate)}
                target.context.logged(target.job, "download.progress", message, **detail)

    def _activity(self, target: TargetProgress, now: float) -> Activity:
        """Return what a target does, or the part of its request that is being exported."""
        parts = list(target.parts.values())
        progress = parts[-1] if parts and target.phase is not Phase.STEPS else target
        name, connection = target.job.target.name, target.job.target.connection
        phase, elapsed = progress.phase, now - (progress.since or now)
        if phase is Phase.DOWNLOADING:
            received, size = progress.transferred()
            rate = self._rates.setdefault(name, _Rate()).add(now, received)
            download = Activity(connection, name, phase.value, elapsed)
            return replace(download, received=received, size=size, rate=rate)
        if phase is Phase.STEPS:
            steps = target.job.target.steps
            place = f" {min(len(target.steps) + 1, len(steps))}/{len(steps)}"
            size = sum(each.size for each in target.job.packages)
            step = target.step + (place if len(steps) > 1 else "")
            return Activity(connection, name, phase.value, elapsed, step=step, size=size)
        waits = progress.busy, progress.blocker
        return Activity(connection, name, phase.value, elapsed, progress.usual, *waits)


class Backoff:
    """When to report again what goes on: after 30 s, then 1, 2 and 5 minutes, each after the last.

    The pauses do not become shorter again, so that a run of any size reports 15 times an hour.
    """

    def __init__(self) -> None:
        self._later = iter(_PAUSES)
        self.pause = next(self._later)
        self._last = 0.0

    def is_over(self, seconds: float) -> bool:
        """Return whether this many seconds of silence are enough; if so, the next pause begins."""
        if seconds < self.pause:
            return False
        self.pause = next(self._later, self.pause)
        return True

    def is_over_since_last(self, elapsed: float) -> bool:
        """Do so for the seconds since the last time, given those since the beginning."""
        over = self.is_over(elapsed - self._last)
        self._last = elapsed if over else self._last
        return over


class _Rate:
    """The rate of one download, from samples of its size."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, now: float, received: int) -> float:
        """Add a sample; return the bytes a second of the last seconds, 0 while unknown."""
        samples = self._samples
        if samples and received < samples[-1][1]:  # it began again
            samples.clear()
        samples.append((now, received))
        while len(samples) > 2 and samples[1][0] <= now - _RATE_WINDOW:
            samples.popleft()
        seconds = now - samples[0][0]
        return (received - samples[0][1]) / seconds if seconds >= 0.5 else 0.0
