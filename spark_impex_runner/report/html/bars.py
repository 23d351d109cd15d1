"""Read from results what the timeline draws: one bar for each time span of a target."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from spark_impex_runner.models import RunResult, StepResult, TargetResult

# The phases of a target in their order, and how the page calls them.
PHASES = {
    "queued": "queued",
    "creating": "creating the job",
    "running": "job running",
    "downloading": "downloading",
    "steps": "steps",
}
_MOST_LINES = 10
# Ends and beginnings are read from two clocks.
_TOLERANCE = timedelta(seconds=0.01)


@dataclass(frozen=True, slots=True)
class Bar:
    """A time span: its phase, what it is called, and the line of the target's row, from 0."""

    phase: str
    label: str
    started: datetime
    finished: datetime
    line: int = 0

    @property
    def seconds(self) -> float:
        """Return its length."""
        return (self.finished - self.started).total_seconds()


def bars(result: TargetResult) -> list[Bar]:
    """Return the bars of a target in order of time; none if it was not started.

    Those at the same time, of the jobs of a split request, have lines of their own.
    """
    found = sorted((*_phases(result), *_steps(result)), key=lambda bar: bar.started)
    ends: list[datetime] = []
    return [replace(bar, line=_line(bar, ends)) for bar in found]


def _line(bar: Bar, ends: list[datetime]) -> int:
    """Return the line of a bar by the ends of all lines, and note its own end there."""
    free = [line for line, end in enumerate(ends) if end <= bar.started + _TOLERANCE]
    # The line that ended last is that of the same job.
    line = max(free, key=ends.__getitem__) if free else min(len(ends), _MOST_LINES - 1)
    if line == len(ends):
        ends.append(bar.finished)
    ends[line] = max(ends[line], bar.finished)
    return line


def times(result: RunResult) -> Iterator[datetime]:
    """Yield every time that the timeline shows."""
    yield from (result.started, result.finished)
    for each in result.results:
        for bar in bars(each):
            yield from (bar.started, bar.finished)


def totals(every: Iterable[Bar]) -> dict[str, float]:
    """Return the seconds of each phase, added up over bars, in the order of ``PHASES``."""
    added: dict[str, float] = defaultdict(float)
    for bar in every:
        added[bar.phase] += bar.seconds
    return {name: added[name] for name in PHASES if name in added}


def _phases(result: TargetResult) -> Iterator[Bar]:
    """Yield the phases; steps only where their own times are not known."""
    timed = any(step.started for step in result.steps)
    for each in result.phases:
        if each.name in PHASES and not (timed and each.name == "steps"):
            end = max(each.started, each.finished)
            yield Bar(each.name, PHASES[each.name], each.started, end)


def _steps(result: TargetResult) -> Iterator[Bar]:
    for step in result.steps:
        if step.started:
            end = step.started + timedelta(seconds=step.seconds)
            yield Bar("steps", _named(step), step.started, end)


def _named(step: StepResult) -> str:
    return step.uses if step.outcome == "succeeded" else f"{step.uses} ({step.outcome})"
