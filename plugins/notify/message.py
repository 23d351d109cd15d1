"""Summarize a run's outcome, for programs and for people."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from spark_impex_runner import models, tools

if TYPE_CHECKING:
    from collections.abc import Iterator


VERSION = 1
# How many failed targets a message names; the reports name all.
_MAX_TARGETS = 100
_MAX_LINES = 20
_MAX_LENGTH = 300
# Bounds a webhook's body; a person's message is cut much earlier.
_MAX_ERROR_LENGTH = 10_000


def summary(report: models.RunResult) -> dict[str, Any]:
    """Return the webhook's JSON body; docs/how-to/notify.md explains each key."""
    counted = Counter(each.outcome for each in report.results)
    return {
        "version": VERSION,
        "run_id": report.run_id,
        "manifest": report.manifest.name,
        "outcome": tools.run_outcome(report),
        "exit_code": report.exit_code,
        "text": title(report),
        **tools.time_span(report.started, report.finished),
        "counts": {"total": len(report.results)}
        | {each.value: counted[each] for each in models.Outcome},
        "targets": [_target(each) for each in _failed(report)[:_MAX_TARGETS]],
        "problems": [tools.one_line(each, limit=_MAX_ERROR_LENGTH) for each in _problems(report)],
    }


def title(report: models.RunResult) -> str:
    """Return one line: ``release: 4 of 5 targets succeeded; motor failed``."""
    return (
        f"{tools.one_line(report.manifest.name, limit=_MAX_ERROR_LENGTH)}: {tools.headline(report)}"
    )


def lines(report: models.RunResult) -> Iterator[str]:
    """Yield a line for each target that did not succeed, and for each other problem."""
    failed = _failed(report)
    for each in failed[:_MAX_LINES]:
        outcome = each.outcome.value.replace("_", " ")
        text = f"{each.target.name} {outcome}: {each.error}"
        yield tools.one_line(text, limit=_MAX_LENGTH)
    if len(failed) > _MAX_LINES:
        yield f"and {len(failed) - _MAX_LINES} more"
    yield from (tools.one_line(each, limit=_MAX_LENGTH) for each in _problems(report)[:_MAX_LINES])


def _problems(report: models.RunResult) -> list[str]:
    """Return the problems that belong to no target, the error of a refused run first."""
    return [*([report.refusal] if report.refusal else []), *report.problems]


def _failed(report: models.RunResult) -> list[models.TargetResult]:
    return [each for each in report.results if not each.good]


def _target(each: models.TargetResult) -> dict[str, Any]:
    return {
        "target": each.target.name,
        "outcome": each.outcome.value,
        "error": tools.one_line(each.error, limit=_MAX_ERROR_LENGTH) or None,
        "tenant": each.tenant or None,
        "job_id": each.job_id or None,
    }
