"""``impex cancel``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from spark_impex_runner.cli import selection
from spark_impex_runner.text import escaped_line

if TYPE_CHECKING:
    import argparse

    from spark_impex_runner.cli.console import CommandContext
    from spark_impex_runner.engine.cancel import CancelledJob


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the manifests and the choice of targets."""
    selection.add_manifest_arguments(parser)


def execute(arguments: argparse.Namespace, context: CommandContext) -> int:
    """Cancel every unfinished job of the selected targets; return 4 if one failed."""
    from spark_impex_runner.clock import Clock
    from spark_impex_runner.engine.cancel import cancel_jobs

    # Only the selected targets: a job that they need may still be wanted by others.
    options = replace(selection.options(arguments), alone=True)
    out = context.console
    done: list[CancelledJob] = []
    for path in arguments.manifests:
        done += cancel_jobs(path, options, Clock(), context.masker)
    for each in done:
        if each.error:
            out.error(f"{each.target}: job {each.job_id or 'with unknown id'}: {each.error}")
        elif each.job_id:
            out.result(escaped_line(f"{each.target}: job {each.job_id} cancelled"))
        else:
            out.result(f"{each.target}: given up; no job was left to end")
    if not done:
        out.result("nothing to cancel")
    return 4 if any(each.error for each in done) else 0  # 4 as of a run in which targets failed
