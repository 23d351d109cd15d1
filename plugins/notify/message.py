"""How a run ended, in as few words as a program or a person needs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from spark_impex_runner.models import Outcome
from spark_impex_runner.report import headline
from spark_impex_runner.report.data import span
from spark_impex_runner.report.words import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spark_impex_runner.models import RunResult, TargetResult

VERSION = 1
# Of targets that did not succeed, so many are named; a message is no report.
_NAMED = 100
_LINES = 20
_LONGEST = 300


def summary(report: RunResult) -> dict[str, Any]:
    """Return what a program is told; docs/how-to/notify.md explains each key."""
    counted = Counter(each.outcome for each in report.results)
    return {
        "version": VERSION,
        "run_id": report.run_id,
        "manifest": report.manifest.name,
        "outcome": headline.outcome(report),
        "exit_code": report.exit_code,
        "text": title(report),
        **span(report.started, report.finished),
        "counts": {"total": len(report.results)} | {each.value: counted[each] for each in Outcome},
        "targets": [_target(each) for each in _lost(report)[:_NAMED]],
        "problems": [plain(each) for each in _problems(report)],
    }


def title(report: RunResult) -> str:
    """Return one line: ``release: 4 of 5 targets succeeded; motor failed``."""
    return f"{plain(report.manifest.name)}: {headline.headline(report)}"


def lines(report: RunResult) -> Iterator[str]:
    """Yield a line for each target that did not succeed, and for each other problem."""
    lost = _lost(report)
    for each in lost[:_LINES]:
        told = f"{plain(each.target.name)} {headline.words(each.outcome)}: {plain(each.error)}"
        yield _short(told)
    if len(lost) > _LINES:
        yield f"and {len(lost) - _LINES} more"
    yield from (_short(plain(each)) for each in _problems(report)[:_LINES])


def _problems(report: RunResult) -> list[str]:
    """Return what is wrong with no target of a run; of one that did not begin, its error."""
    return [*([report.refusal] if report.refusal else []), *report.problems]


def _lost(report: RunResult) -> list[TargetResult]:
    return [each for each in report.results if not each.good]


def _target(each: TargetResult) -> dict[str, Any]:
    return {
        "target": each.target.name,
        "outcome": each.outcome.value,
        "error": plain(each.error) or None,
        "tenant": each.tenant or None,
        "job_id": each.job_id or None,
    }


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
