"""How a run ended, in as few words as a program or a person needs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from spark_impex_runner import models, tools

if TYPE_CHECKING:
    from collections.abc import Iterator


VERSION = 1
# Of targets that did not succeed, so many are named; a message is no report.
_NAMED = 100
_LINES = 20
_LONGEST = 300
# For a program, an error is only cut where it is no message any more.
_LONGEST_ERROR = 10_000


def summary(report: models.RunResult) -> dict[str, Any]:
    """Return what a program is told; docs/how-to/notify.md explains each key."""
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
        "targets": [_target(each) for each in _lost(report)[:_NAMED]],
        "problems": [tools.one_line(each, limit=_LONGEST_ERROR) for each in _problems(report)],
    }


def title(report: models.RunResult) -> str:
    """Return one line: ``release: 4 of 5 targets succeeded; motor failed``."""
    return f"{tools.one_line(report.manifest.name, limit=_LONGEST_ERROR)}: {tools.headline(report)}"


def lines(report: models.RunResult) -> Iterator[str]:
    """Yield a line for each target that did not succeed, and for each other problem."""
    lost = _lost(report)
    for each in lost[:_LINES]:
        outcome = each.outcome.value.replace("_", " ")
        text = f"{each.target.name} {outcome}: {each.error}"
        yield tools.one_line(text, limit=_LONGEST)
    if len(lost) > _LINES:
        yield f"and {len(lost) - _LINES} more"
    yield from (tools.one_line(each, limit=_LONGEST) for each in _problems(report)[:_LINES])


def _problems(report: models.RunResult) -> list[str]:
    """Return what is wrong with no target of a run; of one that did not begin, its error."""
    return [*([report.refusal] if report.refusal else []), *report.problems]


def _lost(report: models.RunResult) -> list[models.TargetResult]:
    return [each for each in report.results if not each.good]


def _target(each: models.TargetResult) -> dict[str, Any]:
    return {
        "target": each.target.name,
        "outcome": each.outcome.value,
        "error": tools.one_line(each.error, limit=_LONGEST_ERROR) or None,
        "tenant": each.tenant or None,
        "job_id": each.job_id or None,
    }
