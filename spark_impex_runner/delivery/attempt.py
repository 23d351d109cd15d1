"""Which earlier attempt of a target goes on, and what of its work still holds."""

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

# What was begun earlier than that is out of date: a nightly run asks anew.
_ADOPT_WITHIN = timedelta(hours=12)
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class OpenedAttempt:
    """The attempt that a job works on; ``adopted`` when an earlier run left it."""

    attempt: Attempt
    adopted: bool = False
    warning: str = ""


def open_attempt(job: Job, url: str, context: Context) -> OpenedAttempt:
    """Go on with the attempt that an earlier run left, or put a new intent on disk.

    An attempt for another request, one that is older than twelve hours and not held, or any with
    ``--fresh``, is left behind: its job, if it still runs, is not touched, and a warning tells of
    it.
    """
    state, now = context.state, context.clock.now()
    mark, earlier, warning = fingerprint(job), state.unfinished(target_key(job)), ""
    _check_given_job(job, earlier, context)
    if earlier is not None:
        why = reason_not_to_resume(
            earlier, (url, mark), age(earlier, state, now), fresh=context.fresh
        )
        why = why or replaced(earlier, job, state)
        if not why:
            told = f"goes on with what an earlier run began at {earlier.intended:%Y-%m-%d %H:%M}Z"
            state.note_run(earlier, job.run.id, now)
            return OpenedAttempt(earlier, adopted=True, warning=told)
        last = last_of(earlier, state)
        state.finish(earlier, "abandoned", why, now)
        warning = f"{describe_job(last)} of an earlier run was left behind ({why})"
        warning += "; it has ended" if last.delivered else " and may still run"
        if earlier.held:
            warning += f"; its packages no longer wait for --approve {earlier.held}"
    attempt = state.intend(_intent(job, url, mark), now)
    if context.job:
        attempt = state.note_job(attempt, context.job, now)
    return OpenedAttempt(attempt, adopted=bool(context.job), warning=warning)


def age(earlier: Attempt, state: State, now: datetime) -> timedelta:
    """Return for how long an attempt has asked for nothing; many parts may take many hours."""
    return now - max(each.intended for each in (earlier, *state.open_parts(earlier)))


def last_of(earlier: Attempt, state: State) -> Attempt:
    """Return whose job may still run for an attempt: of several parts the last one."""
    return (earlier, *state.open_parts(earlier))[-1]


def describe_job(attempt: Attempt) -> str:
    """Name an attempt's job."""
    return f"job {attempt.job_id}" if attempt.job_id else "a job whose reply was lost"


def reason_not_to_resume(
    earlier: Attempt, wanted: tuple[str, str], idle: timedelta, *, fresh: bool
) -> str:
    """Return why an earlier attempt is not gone on with; nothing where it is.

    ``wanted`` are the tenant's address and the request's fingerprint.
    """
    if fresh:
        return "--fresh"
    if (earlier.tenant, earlier.fingerprint) != wanted:
        return "another request"
    if idle > _ADOPT_WITHIN and not earlier.held:
        return "older than twelve hours"
    return ""


def replaced(earlier: Attempt, job: Job, state: State) -> str:
    """Return why a held attempt ends where its target is exported to another folder."""
    packages = [each for each in state.artifacts(earlier) if each.is_package]
    if not earlier.held or not lies_elsewhere(job, packages):
        return ""
    return f"held in {packages[0].path.parent}, replaced by an export to {job.target.output}"


def _check_given_job(job: Job, earlier: Attempt | None, context: Context) -> None:
    """Refuse a job id that belongs elsewhere, or would push another job aside."""
    if not context.job:
        return
    path, name = command_line(job.run.manifest), job.target.name
    if earlier is not None and context.state.parts(earlier):
        raise UsageError(
            f"target {name} is split into parts; impex-run {path} goes on with all of them, "
            f"impex cancel {path} -t {name} gives them up"
        )
    owner = context.state.owner(context.job)
    if owner is not None and owner.target != target_key(job):
        raise UsageError(f"job {context.job} belongs to target {owner.target}")
    if earlier is not None and earlier.job_id != context.job:
        raise UsageError(
            f"target {name} is not finished with job {earlier.job_id or 'of an unknown id'}; "
            f"end that first: impex cancel {path} -t {name}"
        )


def open_part(job: Job, whole: Attempt, context: Context) -> OpenedAttempt:
    """Go on with the attempt of a part of a request, or put a new intent on disk."""
    if earlier := context.state.unfinished(target_key(job)):
        context.state.note_run(earlier, job.run.id, context.clock.now())
        return OpenedAttempt(earlier, adopted=True)
    intent = replace(_intent(job, whole.tenant, fingerprint(job)), part_of=whole.id)
    return OpenedAttempt(context.state.intend(intent, context.clock.now()))


def begin_anew(job: Job, earlier: Attempt, context: Context) -> OpenedAttempt:
    """Close an attempt whose job the tenant no longer knows and put a new intent on disk."""
    now = context.clock.now()
    context.state.finish(earlier, "forgotten", "", now)
    intent = _intent(job, earlier.tenant, earlier.fingerprint)
    attempt = context.state.intend(replace(intent, part_of=earlier.part_of), now)
    warning = f"the tenant no longer knows job {earlier.job_id}; the export was made anew"
    return OpenedAttempt(attempt, warning=warning)


def _intent(job: Job, url: str, mark: str) -> Intent:
    return Intent(
        job.run.id, target_key(job), url, mark, job.request.correlation_id or "", size_class(job)
    )


def still_holds(job: Job, artifacts: Sequence[Artifact]) -> bool:
    """Tell whether files are there, in the target's output, with the bytes that were recorded.

    A folder that a step made only has to be there: it was moved in as a whole.
    """
    return all(_holds(job, artifact) for artifact in artifacts)


def lies_elsewhere(job: Job, artifacts: Sequence[Artifact]) -> bool:
    """Tell whether files were delivered into another folder than the target's output."""
    output = job.target.output
    return any(each.path != output / each.name.rstrip("/") for each in artifacts)


def differing(job: Job, artifacts: Sequence[Artifact]) -> str:
    """Name the files that are not as they were recorded, with the SHA-256 before and now."""
    found = []
    for each in artifacts:
        if not _holds(job, each):
            there = each.path.is_file()
            now = digests.of_file(each.path, ["sha256"], lambda: None)["sha256"] if there else ""
            found.append(f"{each.name}: sha256 {each.sha256} -> {now or 'no file'}")
    return ", ".join(found[:_SHOWN]) or "nothing was recorded"


def _holds(job: Job, artifact: Artifact) -> bool:
    path = artifact.path
    if lies_elsewhere(job, [artifact]):
        return False
    if path.is_dir():
        return artifact.name.endswith("/")
    if not path.is_file() or path.stat().st_size != artifact.size:
        return False
    return digests.of_file(path, ["sha256"], lambda: None)["sha256"] == artifact.sha256


def tenants_of(step: Step, job: Job) -> list[str]:
    """Return the addresses behind the connections that a step's options name."""
    connections = job.run.manifest.connections
    named = (each for each in step.options.values() if isinstance(each, str))
    return [job.run.connect(name).url for name in named if name in connections]


def step_digest(
    step: Step, packages: Sequence[Artifact], masker: Masker, tenants: Sequence[str] = ()
) -> str:
    """Return what changes when a step would do something else. Secrets do not enter it."""
    does: list[Any] = [step.uses, dict(step.options)]
    does += [[(each.name, each.sha256) for each in packages], *tenants]
    text = masker.mask(json.dumps(does, sort_keys=True, default=str))
    return hashlib.sha256(text.encode()).hexdigest()
