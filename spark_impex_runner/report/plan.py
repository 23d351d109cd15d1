"""The plan as text: who will be asked for what, and where it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spark_impex_runner.models import Planned, Run


def render(run: Run, plan: Sequence[Planned]) -> str:
    """Return a paragraph for each target; the body is shown byte for byte as it will be sent."""
    plural = "" if len(plan) == 1 else "s"
    head = f"plan of {run.manifest.name} ({run.manifest.path}): {len(plan)} target{plural}"
    return "\n\n".join([head, *(_target(item) for item in plan), "nothing was sent"])


def _target(planned: Planned) -> str:
    target = planned.target
    if planned.kept:
        return f"{target.name}\n  unchanged: delivered in {target.output} (if_exists: keep)"
    rows = [
        ("POST", planned.url),
        ("body", planned.body),
        ("wait", f"{target.polling.strategy}, up to {target.polling.deadline:g} s"),
        ("output", str(target.output)),
        ("needs", ", ".join(target.needs)),
        ("steps", ", ".join(step.uses for step in target.steps)),
    ]
    return "\n".join([target.name, *(f"  {key:<7}{text}" for key, text in rows if text)])
