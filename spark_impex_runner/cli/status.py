"""``impex status``."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from spark_impex_runner.cli import selection
from spark_impex_runner.cli.unreadable import report_unreadable
from spark_impex_runner.errors import ImpexError
from spark_impex_runner.text import plain

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from spark_impex_runner.cli.console import CommandContext
    from spark_impex_runner.engine.tenant_jobs import TenantJob
    from spark_impex_runner.state.models import Attempt
    from spark_impex_runner.state.store import State


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the manifest or the state directory, what completes the manifest, and the format."""
    selection.add_state_arguments(parser)
    selection.add_manifest_settings(parser)
    selection.add_plugin_option(parser)
    selection.add_format(parser)
    parser.add_argument(
        "--json", action="store_const", const="json", dest="format", help="as --format json"
    )


def execute(arguments: argparse.Namespace, context: CommandContext) -> int:
    """List every unfinished attempt; where the state has none, the jobs that the tenant runs."""
    has_state, rows, unreadable = _unfinished(arguments, context)
    notes, code = list[str](), 0
    if not rows and arguments.manifest and arguments.manifest.exists():
        rows, notes, code = _on_tenants(arguments, context, has_state=has_state)
    if arguments.format == "json":
        context.console.data(rows)
    elif rows or notes:
        context.console.result("\n".join([*map(_block, rows), *notes]))
    elif not code:
        context.console.result("nothing is unfinished" if has_state else selection.NOTHING_RUN)
    return code or unreadable


def _unfinished(
    arguments: argparse.Namespace, context: CommandContext
) -> tuple[bool, list[dict[str, Any]], int]:
    """Return whether there is a state, its open attempts with what is pending, and an exit code."""
    found = selection.existing_state(arguments)
    if found is None:
        return False, [], 0
    with closing(found) as state:
        rows = [
            {**_row(each, len(state.parts(each))), **_waiting(state, each)}
            for each in state.open_attempts()
        ]
        return True, rows, report_unreadable(state, context)


def _on_tenants(
    arguments: argparse.Namespace, context: CommandContext, *, has_state: bool
) -> tuple[list[dict[str, Any]], list[str], int]:
    """Return what ``_running`` does; with a state a failure is only a line beside what is known."""
    from spark_impex_runner.cli.jobs import UNREAD

    try:
        rows, notes, code = _running(arguments, context)
    except ImpexError as error:
        if not has_state:
            raise
        context.console.error(f"the tenant was not asked: {error}")
        rows, notes, code = [], [], error.exit_code
    if has_state and code:
        notes = ["nothing is unfinished in this state", *notes]
        return rows, notes, code if code == UNREAD else 0
    return rows, notes, code


def _running(
    arguments: argparse.Namespace, context: CommandContext
) -> tuple[list[dict[str, Any]], list[str], int]:
    """Return the running jobs of a manifest's targets, notes on the others, and an exit code."""
    from spark_impex_runner.cli.jobs import exit_code
    from spark_impex_runner.clock import Clock
    from spark_impex_runner.engine.tenant_jobs import connections_of, list_jobs
    from spark_impex_runner.planning.prepare import connect

    options = selection.options(arguments)
    with connect(arguments.manifest, options, Clock(), context.masker) as prepared:
        run = prepared.run
        tenants = list_jobs(prepared, connections_of(run.targets), recent=False)
    rows = [
        _tenant_row(each, tenant.url, run.manifest.name)
        for tenant in tenants
        for each in tenant.jobs
        if each.target
    ]
    notes = [f"{each.connection}: {each.unlisted_note}" for each in tenants if each.unlisted]
    return rows, notes, exit_code(tenants, context)


def _tenant_row(job: TenantJob, url: str, manifest: str) -> dict[str, str]:
    part = f"#{job.label.part}" if job.label and job.label.part else ""
    stage = "runs on the tenant, not in this state"
    if not job.is_current:
        stage += f"; {job.relation.value}"
    created = job.listed.created
    return {
        "target": f"{manifest}/{job.target}{part}",
        "stage": stage,
        "job": job.listed.id,
        "since": f"{created:%Y-%m-%d %H:%M:%S}Z" if created else "-",
        "tenant": url,
        "correlation id": job.listed.correlation_id,
    }


def _block(row: Mapping[str, Any]) -> str:
    """Return the lines about one target, which fit into 80 columns."""
    values = [(name, plain(row[name])) for name in ("job", "tenant", "correlation id")]
    lines = [f"  {name:14}  {value}" for name, value in values if value != "-"]
    head = f"{plain(row['target'])}: {plain(row['stage'])}, since {row['since']}"
    return "\n".join([head, *lines, *_pending(row)])


def _waiting(state: State, attempt: Attempt) -> dict[str, Any]:
    """Return what is pending: the packages, the work, and who approved it or the command to."""
    hold = state.holds.of(attempt)
    if hold is None:
        return {}
    recorded = state.holds.recorded(attempt)
    return {
        "held by run": hold.run_id,
        "packages": [
            {"name": name, "sha256": each["sha256"], "tenant": each["tenant"]}
            for name, each in hold.work["packages"].items()
        ],
        "work": {name: each for name, each in hold.work.items() if name != "salt"},
        "approved by": ", ".join(each.by or "an unknown user" for each in recorded) or "-",
        "to approve": hold.command,
    }


def _pending(row: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines about what is pending, if anything is."""
    for each in row.get("packages", ()):
        yield f"  package         {plain(each['name'])}"
        yield f"  sha256  {each['sha256']}"
    if row.get("approved by", "-") != "-":
        yield f"  approved by     {plain(row['approved by'])}"
    elif "to approve" in row:
        yield f"  to approve      {row['to approve']}"


def _row(attempt: Attempt, parts: int) -> dict[str, str]:
    stage = "job created" if attempt.job_id else "intent, no reply yet"
    if parts:
        stage = f"split into {parts} parts"
    if attempt.delivered:
        stage = "packages delivered"
    if attempt.held:
        stage = f"held for --approve {attempt.held}"
    return {
        "target": attempt.target,
        "stage": stage,
        "job": attempt.job_id or "-",
        "since": f"{attempt.intended:%Y-%m-%d %H:%M:%S}Z",
        "tenant": attempt.tenant,
        "correlation id": attempt.correlation_id,
    }
