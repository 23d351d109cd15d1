"""``impex status``."""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spark_impex_runner import fields
from spark_impex_runner.cli import selection
from spark_impex_runner.cli.unreadable import report_unreadable
from spark_impex_runner.errors import ImpexError
from spark_impex_runner.text import plain, wrapped

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection, Iterator, Mapping

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
    """List every unfinished attempt, and what tenants run for targets that have none."""
    has_state, rows, unreadable = _unfinished(arguments, context)
    known = {each["target"] for each in rows}
    found = _OnTenants()
    if arguments.manifest and arguments.manifest.exists():
        found = _on_tenants(arguments, context, known, has_state=has_state)
    rows = [*rows, *found.rows]
    if not rows and has_state and found.failed:
        found.notes.insert(0, "nothing is unfinished in this state")
    if arguments.format == "json":
        context.console.data(rows)
        for note in found.notes:
            context.console.error(note)
    elif rows or found.notes:
        context.console.result("\n".join([*map(_block, rows), *found.notes]))
    elif not found.code:
        context.console.result(_nothing(found, arguments, has_state=has_state))
    return found.code or unreadable


@dataclass(slots=True)
class _OnTenants:
    """What tenants run for targets without an attempt, notes on the other jobs, an exit code.

    ``urls`` are the addresses of the tenants that were asked; ``failed`` whether one was not.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    urls: tuple[str, ...] = ()
    code: int = 0
    failed: bool = False


def _nothing(found: _OnTenants, arguments: argparse.Namespace, *, has_state: bool) -> str:
    from spark_impex_runner.cli.jobs import none_running

    if has_state:
        return "nothing is unfinished"
    if not found.urls:
        return selection.NOTHING_RUN
    return wrapped(none_running(found.urls, arguments))


def _unfinished(
    arguments: argparse.Namespace, context: CommandContext
) -> tuple[bool, list[dict[str, Any]], int]:
    """Return whether there is a state, its open attempts with what is pending, and an exit code."""
    found = selection.existing_state(arguments)
    if found is None:
        return False, [], 0
    with closing(found) as state:
        rows = [
            {**_row(each, len(state.parts(each))), **_waiting(state, each), **_restore(state, each)}
            for each in state.open_attempts()
        ]
        return True, rows, report_unreadable(state, context)


def _on_tenants(
    arguments: argparse.Namespace,
    context: CommandContext,
    known: Collection[str],
    *,
    has_state: bool,
) -> _OnTenants:
    """Return what ``_running`` does; with a state a failure is only a line beside what is known."""
    from spark_impex_runner.cli.jobs import UNREAD

    try:
        found = _running(arguments, context, known)
    except ImpexError as error:
        if not has_state:
            raise
        context.console.error(f"the tenant was not asked: {error}")
        return _OnTenants(failed=True)
    found.failed = bool(found.code)
    if has_state and found.code != UNREAD:
        found.code = 0
    return found


def _running(
    arguments: argparse.Namespace, context: CommandContext, known: Collection[str]
) -> _OnTenants:
    """Return the running jobs of a manifest's targets whose keys the state does not know."""
    from spark_impex_runner.cli.jobs import exit_code
    from spark_impex_runner.clock import Clock
    from spark_impex_runner.engine import tenant_jobs
    from spark_impex_runner.planning.prepare import connect
    from spark_impex_runner.state.keys import target_key_for

    options = selection.options(arguments)
    with connect(arguments.manifest, options, Clock(), context.masker) as prepared:
        manifest, every = prepared.run.manifest, prepared.run.targets
        asked = [each for each in every if target_key_for(manifest, each) not in known]
        names = {each.name for each in asked}
        connections = tenant_jobs.connections_of(asked)
        tenants = tenant_jobs.list_jobs(prepared, connections, recent=False)
    return _OnTenants(
        [
            _tenant_row(each, tenant.url, manifest.name)
            for tenant in tenants
            for each in tenant.jobs
            if each.target in names
        ],
        [f"{each.connection}: {note}" for each in tenants if (note := each.listing.unlisted_note)],
        tenant_jobs.asked(tenants),
        exit_code(tenants, context),
    )


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


def _restore(state: State, attempt: Attempt) -> dict[str, str]:
    """Return what a restore that has not ended needs, nothing for an export."""
    stored = state.value((attempt.target, "restore", attempt.correlation_id))
    if not stored:
        return {}
    command = ""
    with suppress(ValueError):
        command = fields.text(fields.mapping(fields.parse(stored)).get("command"))
    return {"stage": "restore not ended", "to finish": command or "the same command"}


def _pending(row: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines about what is pending, if anything is."""
    for each in row.get("packages", ()):
        yield f"  package         {plain(each['name'])}"
        yield f"  sha256  {each['sha256']}"
    if "to finish" in row:
        yield f"  to finish       {row['to finish']}"
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
