"""Which earlier attempt of a target goes on, and what of its work still holds."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spark_impex_runner import digests
from spark_impex_runner.state.store import Intent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spark_impex_runner.engine.context import Context
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.models import Artifact, Job, Step
    from spark_impex_runner.state.store import Attempt


def key(job: Job) -> str:
    """Return what the state calls a target: unique among the manifests of one folder."""
    return f"{job.run.manifest.name}/{job.target.name}"


def fingerprint(job: Job) -> str:
    """Return what is the same in two runs if and only if they ask for the same.

    A correlation id that the manifest does not give differs in each run and does not count.
    """
    request = replace(job.request, correlation_id=job.target.correlation_id)
    fields = {name: getattr(request, name) for name in request.__dataclass_fields__}
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Opening:
    """The attempt that a job works on; ``adopted`` when an earlier run left it."""

    attempt: Attempt
    adopted: bool = False
    warning: str = ""


def open_attempt(job: Job, url: str, context: Context) -> Opening:
    """Go on with the attempt that an earlier run left, or put a new intent on disk.

    An attempt for another request, or for any with ``--fresh``, is left behind: its job, if it
    still runs, is not touched.
    """
    state, now = context.state, context.clock.now()
    mark, earlier, warning = fingerprint(job), context.state.unfinished(key(job)), ""
    if earlier is not None:
        same = earlier.tenant == url and earlier.fingerprint == mark
        if same and not context.fresh and context.job in {"", earlier.job_id}:
            return Opening(earlier, adopted=True)
        state.finish(earlier, "abandoned", "", now)
        if earlier.job_id and not context.fresh and not context.job:
            warning = f"job {earlier.job_id} of another request was left behind and may still run"
    attempt = state.intend(_intent(job, url, mark), now)
    if context.job:
        attempt = state.note_job(attempt, context.job, now)
    return Opening(attempt, adopted=bool(context.job), warning=warning)


def begin_anew(job: Job, opening: Opening, context: Context) -> Opening:
    """Close an attempt whose job the tenant no longer knows and put a new intent on disk."""
    earlier, now = opening.attempt, context.clock.now()
    context.state.finish(earlier, "forgotten", "", now)
    attempt = context.state.intend(_intent(job, earlier.tenant, earlier.fingerprint), now)
    warning = f"the tenant no longer knows job {earlier.job_id}; the export was made anew"
    return Opening(attempt, warning=warning)


def _intent(job: Job, url: str, mark: str) -> Intent:
    return Intent(job.run.id, key(job), url, mark, job.request.correlation_id or "")


def still_holds(job: Job, artifacts: Sequence[Artifact]) -> bool:
    """Tell whether files are there, in the target's output, with the bytes that were recorded.

    A folder that a step made only has to be there: it was moved in as a whole.
    """
    return all(_holds(job, artifact) for artifact in artifacts)


def _holds(job: Job, artifact: Artifact) -> bool:
    path = artifact.path
    if path != job.target.output / artifact.name.rstrip("/"):
        return False
    if path.is_dir():
        return artifact.name.endswith("/")
    if not path.is_file() or path.stat().st_size != artifact.size:
        return False
    return digests.of_file(path, ["sha256"], lambda: None)["sha256"] == artifact.sha256


def step_digest(step: Step, packages: Sequence[Artifact], masker: Masker) -> str:
    """Return what changes when a step would do something else. Secrets do not enter it."""
    does = [step.uses, dict(step.options), [(each.name, each.sha256) for each in packages]]
    text = masker.mask(json.dumps(does, sort_keys=True, default=str))
    return hashlib.sha256(text.encode()).hexdigest()
