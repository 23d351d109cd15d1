"""``impex jobs``."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_impex_runner.cli import selection

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from spark_impex_runner.cli.console import CommandContext
    from spark_impex_runner.engine.tenant_jobs import TenantJob, TenantJobs
    from spark_impex_runner.planning.stages import Prepared

# Longer names and correlation ids are cut; JSON has the whole ones.
_WIDTH = 80
# Some tenants answered, others did not.
_PARTIAL = 3
# A job runs whose target is unknown; as of a target that failed.
UNREAD = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the manifest, connection or address, the choice of connections, and the format."""
    parser.add_argument(
        "source",
        metavar="MANIFEST|CONNECTION|URL",
        nargs="?",
        help="a manifest, one of its connections (with --manifest), or a tenant's address "
        "(default: CSPARK_BASE_URL)",
    )
    parser.add_argument(
        "-m",
        "--manifest",
        type=selection.local_path,
        metavar="MANIFEST",
        help="the manifest of the connection",
    )
    selection.add_connection_option(parser)
    selection.add_format(parser)
    group = parser.add_argument_group("selection")
    selection.add_target_arguments(group)
    selection.add_plugin_option(group)
    selection.add_output_arguments(parser)


def execute(arguments: argparse.Namespace, context: CommandContext) -> int:
    """List the running and recent export jobs of tenants, without local state."""
    from spark_impex_runner.text import shortened

    found = _listed(arguments, context)
    if arguments.format == "json":
        context.console.data({"version": 1, "tenants": [_as_data(each) for each in found]})
    else:
        for each in found:
            if not each.error:
                lines = (shortened(line, _WIDTH) for line in _lines(each))
                context.console.result("\n".join(lines))
    return exit_code(found, context)


def exit_code(found: Sequence[TenantJobs], context: CommandContext) -> int:
    """Print what could not be read: 4 for a running job, 3 for some of the tenants."""
    errors = [each for each in found if each.error]
    for each in errors:
        context.console.error(f"{each.connection or each.url}: {each.error}")
    unread = [(tenant, job) for tenant in found for job in tenant.jobs if job.unread]
    for tenant, job in unread:
        name = tenant.connection or tenant.url
        context.console.error(f"{name}: job {job.listed.id}: {job.unread}")
    if unread:
        return UNREAD
    if errors and len(errors) < len(found):
        return _PARTIAL
    return errors[0].error.exit_code if errors and errors[0].error else 0


def none_running(tenants: Sequence[str], arguments: argparse.Namespace) -> str:
    """Return that no tenant runs a job of the targets, where there is no state either."""
    from spark_impex_runner.state.place import STATE_FOLDER

    place = arguments.state or STATE_FOLDER
    return f"no job of these targets runs on {', '.join(tenants)}, and there is no state in {place}"


def connections_of(prepared: Prepared, names: Sequence[str]) -> tuple[str, ...]:
    """Return the named connections, by default those of the selected targets.

    Raises ``UsageError`` for a name that the manifest does not have.
    """
    from spark_impex_runner.engine import tenant_jobs
    from spark_impex_runner.errors import UsageError
    from spark_impex_runner.spelling import did_you_mean

    known, run = prepared.connections.settings, prepared.run
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known) or f"; known: {', '.join(known)}"
            raise UsageError(f"{name}: is no connection of {run.manifest.path}{hint}")
    return tuple(names) or tenant_jobs.connections_of(run.targets)


def _listed(arguments: argparse.Namespace, context: CommandContext) -> list[TenantJobs]:
    """Return the jobs of the chosen tenants."""
    from spark_impex_runner.clock import Clock
    from spark_impex_runner.engine.tenant_jobs import list_jobs, tenant_jobs
    from spark_impex_runner.planning.prepare import connect
    from spark_impex_runner.spark.client import Spark

    manifest, names, url = _chosen(arguments)
    if manifest is None:
        _check_no_manifest_options(arguments)
        with Spark(base_url=url, clock=Clock(), masker=context.masker) as spark:
            return [tenant_jobs("", spark)]
    options = replace(selection.options(arguments), connections=frozenset(names))
    with connect(manifest, options, Clock(), context.masker) as prepared:
        return list_jobs(prepared, connections_of(prepared, names))


def _chosen(arguments: argparse.Namespace) -> tuple[Path | None, list[str], str | None]:
    """Return the manifest and the names of its connections, or the tenant's address."""
    from spark_impex_runner.errors import UsageError
    from spark_impex_runner.paths import url_problem

    source, manifest, names = arguments.source, arguments.manifest, list(arguments.connection)
    if source and selection.is_address(source):
        if manifest or names:
            raise UsageError("an address has no connections; leave out --manifest and --connection")
        return None, [], source
    if source and (problem := url_problem(source)):
        raise UsageError(problem)
    if source and manifest:
        return manifest, [source, *names], None
    if source and not Path(source).exists() and not source.endswith((".yaml", ".yml")):
        raise UsageError(
            f"{source}: there is no such file; if it is a connection, name its manifest: "
            f"impex jobs {source} --manifest release.yaml"
        )
    found = Path(source) if source else manifest
    if found is None and names:
        raise UsageError("--connection is a name in a manifest; name the manifest, too")
    if found is None and not os.environ.get("CSPARK_BASE_URL"):
        raise UsageError("name a manifest or a tenant's address, or set CSPARK_BASE_URL")
    return found, names, None


def _check_no_manifest_options(arguments: argparse.Namespace) -> None:
    """Raise ``UsageError`` for options that only a manifest gives a meaning."""
    from spark_impex_runner.errors import UsageError

    given = {
        "-f": arguments.overlay,
        "--var": arguments.var,
        "-t": arguments.target,
        "--tag": arguments.tag,
        "-p": arguments.plugin,
    }
    if used := [option for option, values in given.items() if values]:
        raise UsageError(f"an address has no manifest; leave out {', '.join(used)}")


def _lines(tenant: TenantJobs) -> Iterator[str]:
    """Yield the lines about one tenant, which fit into 80 columns."""
    from spark_impex_runner.text import counted, plain

    name = f"{tenant.connection}: " if tenant.connection else ""
    yield f"{name}{plain(tenant.url)}"
    listing = tenant.listing
    running = max(listing.in_progress, len(listing.running))
    yield f"  {running} of {counted(listing.limit, 'job')} running"
    if listing.unlisted_note:
        yield f"  {listing.unlisted_note}"
    for each in tenant.jobs:
        yield f"  {plain(each.listed.id)}  {plain(each.listed.status) or '-'}  {_age(each)}"
        yield f"    {whose(each, has_manifest=bool(tenant.connection))}"
        if each.listed.correlation_id:
            yield f"    correlation id {plain(each.listed.correlation_id)}"


def _age(job: TenantJob) -> str:
    from spark_impex_runner.report.figures import format_duration

    age = job.listed.age
    return (
        "created at an unknown time"
        if age is None
        else f"created {format_duration(max(age, 0))} ago"
    )


def whose(job: TenantJob, *, has_manifest: bool = True) -> str:
    """Return whose a job is: a target of the manifest, another run's, or another user's."""
    from spark_impex_runner.planning.labels import Relation
    from spark_impex_runner.text import plain

    label, by = job.label, plain(job.listed.created_by) or "an unknown user"
    part = f", part {label.part}" if label and label.part else ""
    run = f", run {label.run_id}" if label and label.run_id else f", by {by}"
    if job.relation is Relation.PERHAPS:
        return f"perhaps target {job.target}{part}{run}"
    if job.target:
        other = ", another request" if job.relation is Relation.OTHER else ""
        return f"target {job.target}{part}{run}{other}"
    if not label or not label.target:
        return by
    of = " (of another manifest)" if has_manifest else ""
    return f"a target named {plain(label.target)}{of}{part}{run}"


def _as_data(tenant: TenantJobs) -> dict[str, Any]:
    """Return what is known about one tenant as JSON."""
    return {
        "connection": tenant.connection or None,
        "url": tenant.url,
        "error": str(tenant.error) if tenant.error else None,
        "limit": tenant.listing.limit,
        "in_progress": tenant.listing.in_progress,
        "unlisted": tenant.listing.unlisted,
        "jobs": [_job_data(each) for each in tenant.jobs],
    }


def _job_data(job: TenantJob) -> dict[str, Any]:
    from spark_impex_runner.report.data import timestamp

    listed, label = job.listed, job.label
    return {
        "id": listed.id,
        "running": listed.running,
        "status": listed.status,
        "created": timestamp(listed.created) if listed.created else None,
        "age_seconds": listed.age,
        "created_by": listed.created_by,
        "correlation_id": listed.correlation_id,
        "target": job.target or None,
        "relation": job.relation.value,
        "run_id": label.run_id if label else None,
        "part": (label.part if label else "") or None,
    }
