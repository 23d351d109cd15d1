"""Open the attempt of a target: resume an earlier one or start a new one."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from spark_impex_runner import digests
from spark_impex_runner.errors import UsageError
from spark_impex_runner.state.keys import command_line, fingerprint, size_class, target_key
from spark_impex_runner.state.models import Intent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from spark_impex_runner.delivery.context import Context
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.models import Artifact, Job, Step
    from spark_impex_runner.state.models import Attempt
    from spark_impex_runner.state.store import State

# A nightly run must not deliver the export of the night before.
RESUME_WITHIN = timedelta(hours=12)
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class OpenedAttempt:
    """The attempt to work on; ``adopted`` if its job may have been created before this run."""

    attempt: Attempt
    adopted: bool = False
    warning: str = ""


def open_attempt(job: Job, url: str, context: Context) -> OpenedAttempt:
    """Resume the open attempt of a target, or store a new intent.

    An attempt that is not resumed (see ``reason_not_to_resume``) is closed with a warning. Its job
    is not cancelled.
    """
    state, now = context.state, context.clock.now()
    earlier, warning = state.unfinished(target_key(job)), ""
    _check_given_job(job, earlier, context)
    if earlier is not None:
        wanted, idle = (url, fingerprint(job)), age(earlier, state, now)
        # Of another worker of this run, which has died: that is no earlier job.
        own = earlier.run_id == job.run.id
        fresh = context.fresh and not own
        reason = reason_not_to_resume(earlier, wanted, idle, fresh=fresh)
        reason = reason or reason_replaced(earlier, job, state)
        if not reason:
            by = "another worker" if own else "an earlier run"
            message = f"resumes what {by} began at {earlier.intended:%Y-%m-%d %H:%M}Z"
            state.note_run(earlier, job.run.id, now)
            return OpenedAttempt(earlier, adopted=True, warning=message)
        last = latest_part(earlier, state)
        # Before the new intent: a unique index allows a target one open attempt.
        state.finish(earlier, "abandoned", reason, now)
        warning = f"{describe_job(last)} of an earlier run is not resumed ({reason})"
        warning += "; it has ended" if last.delivered else "; it may still run"
        if earlier.held:
            warning += f"; its packages no longer wait for --approve {earlier.held}"
    attempt = state.intend(_intent(job, url, context), now)
    if context.job:
        attempt = state.note_job(attempt, context.job, now)
    return OpenedAttempt(attempt, adopted=bool(context.job), warning=warning)


def age(earlier: Attempt, state: State, now: datetime) -> timedelta:
    """Return the time since an attempt, or the newest of its parts, was begun."""
    return now - max(each.intended for each in (earlier, *state.open_parts(earlier)))


def latest_part(earlier: Attempt, state: State) -> Attempt:
    """Return the attempt whose job may still run: of several parts the newest."""
    return (earlier, *state.open_parts(earlier))[-1]


def describe_job(attempt: Attempt) -> str:
    """Return the job of an attempt, as messages name it."""
    return f"job {attempt.job_id}" if attempt.job_id else "a job whose reply was lost"


def reason_not_to_resume(
    earlier: Attempt, wanted: tuple[str, str], idle: timedelta, *, fresh: bool
) -> str:
    """Return why an earlier attempt is not resumed, empty if it is.

    ``wanted`` is the tenant's identity and the request's fingerprint.
    """
    if fresh:
        return "--fresh"
    if earlier.tenant != wanted[0]:
        return f"it ran on {earlier.tenant}"
    if earlier.fingerprint != wanted[1]:
        return "another request"
    # A held attempt has no age limit: its approval may take days.
    if idle > RESUME_WITHIN and not earlier.held:
        return "older than twelve hours"
    return ""


def reason_replaced(earlier: Attempt, job: Job, state: State) -> str:
    """Return why a held attempt ends if its target is exported to another folder, else empty."""
    packages = [each for each in state.artifacts(earlier) if each.is_package]
    if not earlier.held or not is_elsewhere(job, packages):
        return ""
    return f"held in {packages[0].path.parent}, replaced by an export to {job.target.output}"


def _check_given_job(job: Job, earlier: Attempt | None, context: Context) -> None:
    """Raise ``UsageError`` for a job of another target, or if another attempt is open."""
    if not context.job:
        return
    path, name = command_line(job.run.manifest), job.target.name
    if earlier is not None and context.state.parts(earlier):
        raise UsageError(
            f"target {name} is split into parts; impex-run {path} resumes all of them, "
            f"impex cancel {path} -t {name} cancels them"
        )
    owner = context.state.owner(context.job)
    if owner is not None and owner.target != target_key(job):
        raise UsageError(f"job {context.job} belongs to target {owner.target}")
    if earlier is not None and earlier.job_id != context.job:
        raise UsageError(
            f"target {name} still has {describe_job(earlier)}; cancel it first: "
            f"impex cancel {path} -t {name}"
        )


def open_part(job: Job, whole: Attempt, context: Context) -> OpenedAttempt:
    """Resume the open attempt of a part of a request, or store a new intent."""
    if earlier := context.state.unfinished(target_key(job)):
        context.state.note_run(earlier, job.run.id, context.clock.now())
        return OpenedAttempt(earlier, adopted=True)
    intent = replace(_intent(job, whole.tenant, context), part_of=whole.id)
    return OpenedAttempt(context.state.intend(intent, context.clock.now()))


def start_new_attempt(
    job: Job, earlier: Attempt, context: Context, warning: str = ""
) -> OpenedAttempt:
    """Close an attempt whose job no longer exists or is not used, and store a new intent."""
    now = context.clock.now()
    context.state.finish(earlier, "forgotten", "", now)
    intent = _intent(job, earlier.tenant, context)
    attempt = context.state.intend(replace(intent, part_of=earlier.part_of), now)
    warning = warning or f"job {earlier.job_id} no longer exists on the tenant; exporting again"
    return OpenedAttempt(attempt, warning=warning)


def _intent(job: Job, url: str, context: Context) -> Intent:
    label, by = job.request.correlation_id or "", context.actors.initiator.name
    key, size = target_key(job), size_class(job)
    return Intent(job.run.id, key, url, fingerprint(job), label, size, started_by=by)


def are_intact(job: Job, artifacts: Sequence[Artifact]) -> bool:
    """Return True if all files are in the target's output with their recorded bytes.

    Of a step's folder only the presence counts: it was moved into place as a whole.
    """
    return all(_is_intact(job, artifact) for artifact in artifacts)


def is_elsewhere(job: Job, artifacts: Sequence[Artifact]) -> bool:
    """Return True if a file was delivered to another folder than the target's output."""
    output = job.target.output
    return any(each.path != output / each.name.rstrip("/") for each in artifacts)


def describe_changes(job: Job, artifacts: Sequence[Artifact]) -> str:
    """Return the names of changed files, with their recorded and their present SHA-256."""
    found = []
    for each in artifacts:
        if not _is_intact(job, each):
            present = digests.sha256(each.path) if each.path.is_file() else "no file"
            found.append(f"{each.name}: sha256 {each.sha256} -> {present}")
    return ", ".join(found[:_SHOWN]) or "nothing was recorded"


def _is_intact(job: Job, artifact: Artifact) -> bool:
    path = artifact.path
    if is_elsewhere(job, [artifact]):
        return False
    if path.is_dir():
        return artifact.name.endswith("/")
    # The size first: it is read without the file, of which there may be many gigabytes.
    if not path.is_file() or path.stat().st_size != artifact.size:
        return False
    return digests.sha256(path) == artifact.sha256


def tenants_of(step: Step, job: Job) -> list[str]:
    """Return the identities of the tenants that a step's options name."""
    connections = job.run.manifest.connections
    named = (each for each in step.options.values() if isinstance(each, str))
    return [job.run.connect(name).identity for name in named if name in connections]


def step_digest(
    step: Step, packages: Sequence[Artifact], masker: Masker, tenants: Sequence[str] = ()
) -> str:
    """Return the digest of what a step does with the packages, secrets masked."""
    does: list[Any] = [step.uses, dict(step.options)]
    does += [[(each.name, each.sha256) for each in packages], *tenants]
    text = masker.mask(json.dumps(does, sort_keys=True, default=str))
    return hashlib.sha256(text.encode()).hexdigest()
