"""Name the jobs that hold a tenant's slots, as far as its listing tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.planning.labels import Label, has_given_id, target_of
from spark_impex_runner.report.figures import format_duration
from spark_impex_runner.text import first_of, one_line

if TYPE_CHECKING:
    from spark_impex_runner.models import Job
    from spark_impex_runner.spark.job_listing import JobListing, ListedJob

_SHOWN = 3
_LABEL_LENGTH = 80


def describe_blockers(listing: JobListing, job: Job, waited: float = 0.0) -> str:
    """Return which jobs a tenant was running ``waited`` seconds ago; empty if it lists none.

    ``job`` is that of the target that waits for them.
    """
    named = [
        f"job {each.id} of {whose(each, job)}, {age_of(each, waited)}" for each in listing.running
    ]
    shown = [first_of(named, _SHOWN, "; ")] if named else []
    return "; ".join(filter(None, [*shown, listing.unlisted_note]))


def first_blocker(listing: JobListing, job: Job) -> str:
    """Return in short whose the first running job is; empty if the tenant lists none."""
    return next((whose(each, job).partition(" (")[0] for each in listing.running), "")


def whose(listed: ListedJob, job: Job) -> str:
    """Return whose a running job is: this target's, another target's, or another user's."""
    if label := Label.read(listed):
        return f"{_owner(label, job)} ({_origin(label, job)})"
    owners = _owners(listed, job)
    if owners:
        return f"perhaps {owners} (correlation id {listed.correlation_id})"
    by = listed.created_by or "an unknown user"
    label_text = one_line(listed.correlation_id, limit=_LABEL_LENGTH)
    return f"{by} (correlation id {label_text})" if label_text else by


def _owner(label: Label, job: Job) -> str:
    own = Label.read(job.request)
    if own and own.whole == label.whole:
        return "this target"
    target = target_of(label, job.run.manifest)
    if target is None:
        named = f"a target named {label.target}" if label.target else "a target"
        return f"{named} (of another manifest)"
    return "another request of this target" if target == job.target else f"target {target.name}"


def _origin(label: Label, job: Job) -> str:
    if label.given:
        return f"correlation id {one_line(label.correlation_id, limit=_LABEL_LENGTH)}"
    return "this run" if label.run_id == job.run.id else f"run {label.run_id}"


def _owners(listed: ListedJob, job: Job) -> str:
    """Return the targets of the manifest with a job's correlation id, an empty text for none."""
    targets = job.run.manifest.targets
    names = [each.name for each in targets if has_given_id(each.correlation_id, listed)]
    if job.target.name in names:
        return "this target"
    return f"target {first_of(names, 1)}" if names else ""


def age_of(job: ListedJob, waited: float = 0.0) -> str:
    """Return how long a job has been running, by the tenant's clock."""
    if job.age is None:
        return "running for an unknown time"
    return f"running for {format_duration(max(job.age + waited, 0.0))}"
