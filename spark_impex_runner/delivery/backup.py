"""The export of services that a step is about to change, as a target of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from spark_impex_runner.errors import ImpexError, Interrupted, RetryTimeoutError, StepError
from spark_impex_runner.models import KeyValueStore, Target
from spark_impex_runner.planning.plan import plan_target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spark_impex_runner.hooks.manager import Plugins
    from spark_impex_runner.models import Job


def backup_job(job: Job, what: tuple[str, Sequence[str], str], hooks: Plugins) -> Job:
    """Return the job that exports all versions of services into a folder of a job's output.

    ``what`` is the connection, the services, and the folder's path in the output.
    """
    connection, services, folder = what
    own = job.target
    target = Target(
        # No name in a manifest has a plus. The state finds the export by this name.
        name=f"{own.name}+{folder.replace('/', '-')}",
        connection=connection,
        output=own.output / folder,
        services=tuple(services),
        version_filter="all",
        source_system=own.source_system,
        polling=own.polling,
        retry_interval=own.retry_interval,
        on_interrupt=own.on_interrupt,
        place=own.place,
    )
    return replace(
        job,
        target=target,
        request=plan_target(target, job.run, hooks).request,
        tenant=job.run.connect(connection).url,
        id="",
        part="",
        parts=(),
        status=None,
        artifacts=(),
        memory=KeyValueStore(),
        approval={},
        approved=None,
    )


def backup_error(error: ImpexError, connection: str) -> ImpexError:
    """Return the error of a step whose backup failed; a timeout stays one, as it can be resumed."""
    if isinstance(error, Interrupted):
        return error
    message = f"the backup of {connection} failed, so nothing was imported: {error}"
    if isinstance(error, RetryTimeoutError):
        return error.with_message(message)
    return StepError(message)
