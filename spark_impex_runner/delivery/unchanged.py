"""Find out whether a job would only repeat the last delivery of its target."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING

from spark_impex_runner.models import Delivery
from spark_impex_runner.state.keys import fingerprint, target_key, tenant_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spark_impex_runner.delivery.context import Context
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.models import Artifact, Job
    from spark_impex_runner.state.models import Attempt
    from spark_impex_runner.state.store import State

_log = logging.getLogger(__name__)


def unchanged(job: Job, context: Context) -> tuple[Delivery, str] | None:
    """Return the delivery that a job would repeat, and why; None if the job must run.

    The plugins may send requests to find out. Raises ``PluginError`` if one of them fails.
    """
    last = _last(job, context) if job.target.skip_unchanged else None
    if last is None:
        return None
    hooks = context.hooks
    reason = hooks.call("impex_unchanged", job=replace(job, last=last))
    if reason is not None and not (isinstance(reason, str) and reason):
        raise hooks.invalid_answer("impex_unchanged", reason, "a text that is not empty")
    return (last, context.masker.mask(reason)) if reason else None


def last_delivery(job: Job, state: State) -> Delivery | None:
    """Return the last delivery of a target from its tenant, whatever became of the files."""
    attempt = state.last_delivered(target_key(job))
    artifacts = state.artifacts(attempt) if attempt and attempt.tenant == tenant_of(job) else ()
    return _delivery(attempt, artifacts) if attempt and artifacts else None


def work_digest(job: Job, masker: Masker) -> str:
    """Return the digest of all that a run does with the packages, secrets masked."""
    target = job.target
    steps = [(step.uses, dict(step.options)) for step in target.steps]
    does = [str(target.output), target.file_name, steps]
    text = masker.mask(json.dumps(does, sort_keys=True, default=str))
    # The run's id and date do not count: a folder for each day is the same work.
    for name, value in (("run.id", job.run.id), ("run.date", job.run.date)):
        text = text.replace(value, f"${{{name}}}")
    return hashlib.sha256(text.encode()).hexdigest()


def _last(job: Job, context: Context) -> Delivery | None:
    """Return the last delivery of a target, if it was complete, the same, and is still there.

    None also for a target that an earlier run has to resume, and with ``--fresh``.
    """
    attempt = context.state.last_delivered(target_key(job))
    if attempt is None or attempt.finished is None or context.fresh or context.job:
        return None
    wanted = (tenant_of(job), fingerprint(job), work_digest(job, context.masker))
    if (attempt.tenant, attempt.fingerprint, attempt.work_digest) != wanted:
        return None
    if context.state.unfinished(target_key(job)):
        return None
    artifacts = context.state.artifacts(attempt)
    if not artifacts:
        return None
    if missing := [] if _has_delivering_step(job, context) else list(_missing_files(artifacts)):
        # No event: the job has not begun, and impex plan asks as well.
        _log.info(
            "%s: exporting again, since %s is missing or changed", job.target.name, missing[0]
        )
        return None
    return _delivery(attempt, artifacts)


def _has_delivering_step(job: Job, context: Context) -> bool:
    """Return True if a step delivers the packages elsewhere, so that they need not stay here."""
    offers = context.hooks.registry.steps
    used = (offers.get(step.uses) for step in job.target.steps)
    return any(offer is not None and offer.delivers for offer in used)


def _missing_files(artifacts: Sequence[Artifact]) -> Iterator[str]:
    """Yield the paths of files that are gone or have another size, and of folders that are gone."""
    # By size: to hash every package would read gigabytes for a target that does nothing.
    for each in artifacts:
        folder = each.name.endswith("/") and each.path.is_dir()
        if not folder and not (each.path.is_file() and each.path.stat().st_size == each.size):
            yield str(each.path)


def _delivery(attempt: Attempt, artifacts: Sequence[Artifact]) -> Delivery:
    first = artifacts[0]
    return Delivery(
        finished=attempt.finished or attempt.intended,
        run_id=attempt.run_id,
        job_id=attempt.job_id,
        output=first.path.parents[len(PurePath(first.name).parts) - 1],
        services=attempt.services,
        service_versions=attempt.service_versions,
        artifacts=tuple(artifacts),
    )
