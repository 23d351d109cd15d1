"""Write the plan: which jobs are created or adopted, and where packages are delivered."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from spark_impex_runner.text import counted, escaped_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spark_impex_runner.models import Forecast, Run

_ACTIONS = {"create": "to create", "adopt": "to adopt", "unchanged": "unchanged"}
# So many services of an entry are listed: a pattern may match hundreds.
_SHOWN = 5


def render(run: Run, plan: Sequence[Forecast]) -> str:
    """Return a paragraph for each target, with the request body exactly as it will be sent."""
    name, path = escaped_line(run.manifest.name), run.manifest.path
    head = f"plan of {name} ({path}): {counted(len(plan), 'target')}"
    count = Counter(item.action for item in plan)
    parts = [f"{count[action]} {label}" for action, label in _ACTIONS.items() if count[action]]
    # Resolving entries and finding unchanged targets may have sent requests to the tenant.
    has_asked = any(item.planned.resolved or item.planned.target.skip_unchanged for item in plan)
    end = "no job was created" if has_asked else "nothing was sent"
    return "\n\n".join([head, *map(_target, plan), f"{', '.join(parts)}; {end}"])


def as_data(run: Run, plan: Sequence[Forecast]) -> dict[str, Any]:
    """Return the plan as plain JSON values."""
    return {
        "manifest": str(run.manifest.path),
        "name": run.manifest.name,
        "targets": [_target_data(item) for item in plan],
    }


def _target(item: Forecast) -> str:
    target = item.planned.target
    if item.action == "unchanged":
        return f"{target.name}\n  unchanged: {escaped_line(item.note)}"
    if item.action == "adopt":
        job = f"job {item.job_id}" if item.job_id else "a job"
        begin = [("adopt", f"{job} on {item.planned.url} ({item.note})")]
    else:
        note = item.note and f"  ({item.note})"
        begin = [("POST", item.planned.url + note), ("body", item.planned.body)]
    rows = [
        *begin,
        *(("match", _resolved(*pair)) for pair in item.planned.resolved.items()),
        ("wait", f"{target.polling.strategy}, up to {target.polling.deadline:g} s"),
        ("output", str(target.output)),
        ("needs", ", ".join(target.needs)),
        ("steps", ", ".join(step.uses for step in target.steps)),
        *(("would", f"{step.uses}: {step.summary}") for step in item.steps if not step.problem),
        *(("fails", f"{step.uses}: {step.problem}") for step in item.steps if step.problem),
    ]
    return "\n".join(
        [target.name, *(f"  {key:<7}{escaped_line(text)}" for key, text in rows if text)]
    )


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
        "job_id": item.job_id,
        "note": item.note,
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
            {"step": step.uses, "told": step.summary, "problem": step.problem}
            for step in item.steps
        ],
    }
