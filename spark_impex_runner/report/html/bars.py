"""Read from results what the timeline draws: one bar for each time span of a target."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from spark_impex_runner.report.data import seconds

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
# The jobs of a split request run at the same time and are drawn below each other.
_MOST_LINES = 10


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
        """Return its length, 0 if the clock was set back."""
        return seconds(self.started, self.finished)


def bars(result: TargetResult) -> list[Bar]:
    """Return the bars of a target in order of time; none if it was not started."""
    found = sorted((*_phases(result), *_steps(result)), key=lambda bar: bar.started)
    # What is not finished before it began would be drawn to the left.
    return [bar if bar.finished >= bar.started else _empty(bar) for bar in found]


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
    jobs: dict[str, int] = {}
    timed = any(step.started for step in result.steps)
    for each in result.phases:
        if each.name not in PHASES or (timed and each.name == "steps"):
            continue
        line = jobs.setdefault(each.job_id, len(jobs)) if each.job_id else 0
        label = PHASES[each.name]
        yield Bar(each.name, label, each.started, each.finished, min(line, _MOST_LINES - 1))


def _steps(result: TargetResult) -> Iterator[Bar]:
    for step in result.steps:
        if step.started:
            end = step.started + timedelta(seconds=step.seconds)
            yield Bar("steps", _named(step), step.started, end)


def _named(step: StepResult) -> str:
    return step.uses if step.outcome == "succeeded" else f"{step.uses} ({step.outcome})"


def _empty(bar: Bar) -> Bar:
    return Bar(bar.phase, bar.label, bar.started, bar.started, bar.line)
