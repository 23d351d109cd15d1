"""``impex plan`` and ``impex-run --dry-run``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from spark_impex_runner.cli import selection

if TYPE_CHECKING:
    import argparse

    from spark_impex_runner.cli.console import CommandContext
    from spark_impex_runner.models import Forecast

# Terraform's option of this name exits with 2, which here means an invalid manifest.
CHANGES = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the manifests, their options and the format of the plan."""
    selection.add_manifest_arguments(parser)
    group = parser.add_argument_group("the plan")
    group.add_argument(
        "--fresh", action="store_true", help="plan a run that starts new jobs and resumes none"
    )
    group.add_argument(
        "--detailed-exitcode",
        action="store_true",
        help=f"exit with {CHANGES} if a run would change anything, 0 if not",
    )
    group.add_argument(
        "--format", choices=("text", "json"), default="text", help="format of the plan"
    )
    group.add_argument(
        "--simulate",
        action="store_true",
        help="rehearse the run with all steps on sandbox tenants; nothing leaves this machine "
        "but a question for the tenants' listings",
    )


def _is_faulty(item: Forecast) -> bool:
    return item.action == "fail" or any(step.problem for step in item.steps)


def execute(arguments: argparse.Namespace, context: CommandContext) -> int:
    """Print what a run of each manifest would send, and which jobs it would resume."""
    if getattr(arguments, "simulate", False):
        from spark_impex_runner.cli import simulation

        return simulation.execute(arguments, context)
    from spark_impex_runner.clock import Clock
    from spark_impex_runner.engine.forecast import forecast
    from spark_impex_runner.errors import UsageError
    from spark_impex_runner.planning.prepare import prepare
    from spark_impex_runner.report import plan

    options, clock = selection.options(arguments), Clock()
    as_json = getattr(arguments, "format", "text") == "json"
    documents, changes, faulty = [], False, False
    for path in arguments.manifests:
        with prepare(path, options, clock, context.masker) as prepared:
            items = forecast(prepared, options, clock)
            changes = changes or any(item.changes for item in items)
            faulty = faulty or any(map(_is_faulty, items))
            if as_json:
                data = plan.as_data(prepared.run, items)
                documents.append(context.masker.mask_within(data, keys=False))
            else:
                text = plan.render(prepared.run, items, verbose=bool(arguments.verbose))
                context.console.result(text)
    if as_json:
        text = json.dumps({"changes": changes, "plans": documents}, indent=2, ensure_ascii=False)
        context.console.document(text)
    if faulty:
        return UsageError.exit_code
    return CHANGES if changes and getattr(arguments, "detailed_exitcode", False) else 0
