"""The figures of a run, as both Prometheus and OpenTelemetry show them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_impex_runner import models

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Figure:
    """One gauge: its name with dots, its unit (``s``, ``By`` or none) and a value per labels."""

    name: str
    unit: str
    summary: str
    values: tuple[tuple[dict[str, str], float], ...]


def figures(report: models.RunResult) -> tuple[Figure, ...]:
    """Return the figures of a finished run."""
    every = (*_of_run(report), *_of_targets(report))
    return tuple(each for each in every if each.values)


def _of_run(report: models.RunResult) -> tuple[Figure, ...]:
    results, run = report.results, {"manifest": report.manifest.name}
    counts = Counter(each.outcome.value for each in results)
    outcomes = [({**run, "outcome": each.value}, counts[each.value]) for each in models.Outcome]
    lasted, ended = _seconds(report.started, report.finished), report.finished.timestamp()
    return (
        Figure("impex.run.exit_code", "", "Exit code of the run.", ((run, report.exit_code),)),
        Figure("impex.run.duration", "s", "How long the run took.", ((run, lasted),)),
        Figure("impex.run.finished.timestamp", "s", "When the run ended.", ((run, ended),)),
        Figure("impex.targets", "", "Targets of the run by outcome.", tuple(outcomes)),
    )


def _of_targets(report: models.RunResult) -> tuple[Figure, ...]:
    run = {"manifest": report.manifest.name}
    names = [({**run, "target": each.target.name}, each) for each in report.results]
    good = tuple((labels, float(each.good)) for labels, each in names)
    lasted = tuple((labels, _seconds(each.started, each.finished)) for labels, each in names)
    sizes = tuple((labels, float(_size(each))) for labels, each in names)
    phases = tuple(
        ({**labels, "phase": name}, seconds)
        for labels, each in names
        for name, seconds in _phases(each)
    )
    steps = tuple(
        ({**labels, "position": str(position), "step": step.uses}, round(step.seconds, 3))
        for labels, each in names
        for position, step in enumerate(each.steps, 1)
    )
    is_good = "1 if everything that was requested is delivered, else 0."
    return (
        Figure("impex.target.good", "", is_good, good),
        Figure("impex.target.duration", "s", "How long the target took.", lasted),
        Figure("impex.target.phase.duration", "s", "How long the target was in a phase.", phases),
        Figure("impex.target.step.duration", "s", "How long a step of the target took.", steps),
        Figure("impex.target.packages.size", "By", "Size of the target's packages.", sizes),
    )


def _phases(result: models.TargetResult) -> Iterator[tuple[str, float]]:
    """Yield each phase with its seconds; those of a split request are added up."""
    lengths: dict[str, float] = {}
    for each in result.phases:
        length = _seconds(each.started, each.finished)
        lengths[each.name] = round(lengths.get(each.name, 0.0) + length, 3)
    yield from lengths.items()


def _size(result: models.TargetResult) -> int:
    return sum(each.size for each in result.artifacts if each.is_package)


def _seconds(started: datetime, finished: datetime) -> float:
    return max(0.0, round((finished - started).total_seconds(), 3))
