"""Write the plan: which jobs are created or adopted, and where packages are delivered."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from spark_impex_runner.models.imports import forecast_lines
from spark_impex_runner.report.data import timestamp
from spark_impex_runner.report.figures import format_duration, shown_path
from spark_impex_runner.text import counted, escaped_line, first_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spark_impex_runner.models import Forecast, PlannedStep, Run

# The words for people; scripts read ``adopt``.
_ACTIONS = {"create": "create", "adopt": "resume", "unchanged": "unchanged", "fail": "fail"}
# So many services of an entry are listed: a pattern may match hundreds.
_SHOWN = 5
_OUTPUTS_SHOWN = 3
_SERVICES_SHOWN = 20


def render(run: Run, plan: Sequence[Forecast], *, verbose: bool = False) -> str:
    """Return the plan in one line, then a paragraph for each target.

    A ``verbose`` one has the request bodies, exactly as they will be sent.
    """
    # Resolving entries and finding unchanged targets may have sent requests to the tenant.
    has_asked = any(_has_asked(item) for item in plan)
    end = "no job was created" if has_asked else "nothing was sent"
    count = Counter(item.action for item in plan)
    actions = ", ".join(f"{word} {count[name]}" for name, word in _ACTIONS.items() if count[name])
    head = f"plan of {run.manifest.name} ({run.manifest.path}): {actions}{_replaced(plan)}"
    targets = (_target(item, verbose=verbose) for item in plan)
    # The counts once more: the first line of a long plan has left the screen.
    return "\n\n".join([escaped_line(head), *targets, f"{actions}; {end}"])


def _has_asked(item: Forecast) -> bool:
    target = item.planned.target
    forecasts = any(step.services for step in item.steps)
    return bool(item.planned.resolved) or target.skip_unchanged or forecasts


def _replaced(plan: Sequence[Forecast]) -> str:
    """Return which deliveries would be replaced, an empty text if none would."""
    replaced = [
        f"{shown_path(item.planned.target.output)} (delivered {item.replaces:%Y-%m-%d})"
        for item in plan
        if item.replaces
    ]
    return f"; replaces {first_of(replaced, _OUTPUTS_SHOWN)}" if replaced else ""


def as_data(run: Run, plan: Sequence[Forecast]) -> dict[str, Any]:
    """Return the plan as plain JSON values."""
    return {
        "manifest": str(run.manifest.path),
        "name": run.manifest.name,
        "targets": [_target_data(item) for item in plan],
    }


def _target(item: Forecast, *, verbose: bool) -> str:
    planned, target = item.planned, item.planned.target
    if item.action in {"unchanged", "fail"}:
        return f"{target.name}: {item.action}\n  {escaped_line(item.note)}"
    literal = [entry for entry in target.services if entry not in planned.resolved]
    output = shown_path(target.output)
    if item.replaces:
        output += f", replaces the delivery of {item.replaces:%Y-%m-%d %H:%M}Z"
    rows = [
        ("tenant", planned.url.removesuffix("/api/v4/export")),
        ("services", first_of(literal, _SHOWN)),
        *(("match", _resolved(*pair)) for pair in planned.resolved.items()),
        ("folders", first_of(target.folders, _SHOWN)),
        ("versions", first_of(target.version_ids, _SHOWN)),
        *(("warning", text) for text in item.warnings),
        ("wait", _wait(item)),
        ("output", output),
        ("needs", ", ".join(target.needs)),
        ("steps", ", ".join(step.uses for step in target.steps)),
        *(row for step in item.steps if not step.problem for row in _would(step, verbose=verbose)),
        *(("fails", f"{step.uses}: {step.problem}") for step in item.steps if step.problem),
        *((("POST", planned.url), ("body", planned.body)) if verbose else ()),
    ]
    lines = (f"  {key:<9}{escaped_line(text)}" for key, text in rows if text)
    return "\n".join([_action(item), *lines])


def _would(step: PlannedStep, *, verbose: bool) -> Iterator[tuple[str, str]]:
    """Yield the line of a step, and one for each service; what would fail comes first."""
    yield "would", f"{step.uses}: {step.summary}"
    lines = forecast_lines(sorted(step.services, key=lambda each: not each.fails))
    most = len(lines) if verbose else _SERVICES_SHOWN
    yield from (("", f"  {each}") for each in lines[:most])
    if any(each.fails for each in step.services):
        yield "", "  so the import would fail, and import nothing"
    if more := len(lines[most:]):
        yield "", f"  … {counted(more, 'more service')}; -v shows all"


def _action(item: Forecast) -> str:
    """Return the first line of a target: ``motor: resume job 65f0… (started at …)``."""
    job = f" job {item.job_id}" if item.job_id else " a job"
    words = f"resume{job}" if item.action == "adopt" else item.action
    note = f" ({item.note})" if item.note else ""
    return escaped_line(f"{item.planned.target.name}: {words}{note}")


def _wait(item: Forecast) -> str:
    """Return how long the job usually takes, and until when it is waited for."""
    polling = item.planned.target.polling
    usual = f"usually {format_duration(item.usual)}, " if item.usual is not None else ""
    return f"{usual}at most {format_duration(polling.deadline)} ({polling.strategy})"


def _resolved(entry: str, uris: Sequence[str]) -> str:
    """Return what an entry of ``services`` resolved to; the body has all names."""
    if not uris:
        return f"{entry}: adds nothing"
    rest = f", … ({len(uris) - _SHOWN} more)" if len(uris) > _SHOWN else ""
    return f"{entry}: {counted(len(uris), 'service')}: {', '.join(uris[:_SHOWN])}{rest}"


def _target_data(item: Forecast) -> dict[str, Any]:
    target = item.planned.target
    return {
        "name": target.name,
        "action": item.action,
        "changes": item.changes,
        "job_id": item.job_id,
        "note": item.note,
        "usual_seconds": item.usual,
        "replaces": item.replaces and timestamp(item.replaces),
        "warnings": list(item.warnings),
        "connection": target.connection,
        "url": item.planned.url,
        # The body is text in a plan, since text output shows it byte for byte.
        "request": json.loads(item.planned.body),
        "resolved": {entry: list(uris) for entry, uris in item.planned.resolved.items()},
        "deadline": target.polling.deadline,
        "output": str(target.output),
        "needs": list(target.needs),
        "steps": [step.uses for step in target.steps],
        "would": [
            {
                "step": step.uses,
                "told": step.summary,
                "problem": step.problem,
                "services": [each.as_data() for each in step.services],
            }
            for step in item.steps
        ],
    }
