"""``impex cancel``."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from spark_impex_runner.cli import selection
from spark_impex_runner.text import escaped_line, wrapped

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from spark_impex_runner.cli.console import CommandContext
    from spark_impex_runner.engine.cancel import CancelledJob

# As of a run in which targets failed.
_FAILED = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the manifests or the tenant, the choice of targets, and the id of a job."""
    parser.add_argument(
        "manifests",
        metavar="MANIFEST",
        nargs="+",
        type=selection.manifest_or_address,
        help="a YAML file, or with --job a tenant's address",
    )
    parser.add_argument("--job", default="", metavar="ID", help="cancel this job, without state")
    selection.add_connection_option(parser)
    selection.add_arguments(parser)
    selection.add_output_arguments(parser)


def execute(arguments: argparse.Namespace, context: CommandContext) -> int:
    """Cancel every unfinished job of the selected targets, or one job; return 4 if one failed."""
    from spark_impex_runner.cli.jobs import none_running
    from spark_impex_runner.clock import Clock
    from spark_impex_runner.engine.cancel import cancel_jobs
    from spark_impex_runner.errors import UsageError

    if arguments.job:
        return _report([_cancel_one(arguments, context)], context)
    if arguments.connection:
        raise UsageError("--connection is for --job; select targets with --target")
    # Only the selected targets: a job that they need may still be wanted by others.
    options = replace(selection.options(arguments), alone=True)
    codes = []
    for path in arguments.manifests:
        if not isinstance(path, Path):
            raise UsageError(f"{path} is a tenant's address; name one of its jobs with --job ID")
        done = cancel_jobs(path, options, Clock(), context.masker)
        codes.append(_report(done.jobs, context, partial(_command, arguments, path)))
        if not done.jobs:
            where = "" if done.has_state else f": {none_running(done.tenants, arguments)}"
            context.console.result(wrapped(f"nothing to cancel{where}"))
    return max(codes)


def _command(arguments: argparse.Namespace, path: Path, job: CancelledJob) -> str:
    """Return the command that cancels a job by its id."""
    import shlex
    from argparse import Namespace

    chosen = Namespace(**{**vars(arguments), "manifests": [path], "target": [], "tag": []})
    line = selection.command_line("impex cancel", chosen)
    return f"{line} {shlex.join(['-c', job.connection, '--job', job.job_id])}"


def _cancel_one(arguments: argparse.Namespace, context: CommandContext) -> CancelledJob:
    """Cancel the job that ``--job`` names."""
    from spark_impex_runner.cli.jobs import connections_of
    from spark_impex_runner.clock import Clock
    from spark_impex_runner.engine.cancel import cancel_by_id, close_cancelled
    from spark_impex_runner.errors import UsageError
    from spark_impex_runner.planning.prepare import connect
    from spark_impex_runner.spark.client import Spark

    if len(arguments.manifests) > 1:
        raise UsageError("a job belongs to one manifest or tenant; name one")
    [place], clock, names = arguments.manifests, Clock(), arguments.connection
    if isinstance(place, str):
        with Spark(base_url=place, clock=clock, masker=context.masker) as spark:
            return cancel_by_id(arguments.job, {spark.url: spark})
    options = replace(selection.options(arguments), job="", connections=frozenset(names))
    with connect(place, options, clock, context.masker) as prepared:
        chosen = connections_of(prepared, names)
        clients = {name: prepared.connections.client(name) for name in chosen}
        result = cancel_by_id(arguments.job, clients)
    if result.error:
        return result
    note = close_cancelled(arguments.job, place, options, clock)
    return replace(result, note=result.note or note)


def _report(
    done: Sequence[CancelledJob],
    context: CommandContext,
    command: Callable[[CancelledJob], str] | None = None,
) -> int:
    """Print what was done, with the command for what was left alone; return the exit code."""
    out = context.console
    for each in done:
        job = f"job {each.job_id}: " if each.job_id else ""
        if each.error:
            out.error(f"{each.target}: {job}{each.error}")
        elif each.note:
            out.result(wrapped(escaped_line(f"{each.target}: {job}{each.note}")))
            if command and each.connection:
                out.result(escaped_line(f"  cancel: {command(each)}"))
        elif each.job_id:
            out.result(escaped_line(f"{each.target}: job {each.job_id} cancelled"))
        else:
            out.result(f"{each.target}: given up; no job was left to end")
    return _FAILED if any(each.error for each in done) else 0
