"""Find the running job of a target's request that another run has created, without any state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_impex_runner.delivery.blockers import age_of
from spark_impex_runner.errors import SparkError, TooLargeError
from spark_impex_runner.models import Verdict
from spark_impex_runner.planning.labels import Label, sharing_id
from spark_impex_runner.spark.completeness import is_unspecified, mismatch
from spark_impex_runner.spark.failures import is_unknown_job

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spark_impex_runner.delivery.progress import TargetProgress
    from spark_impex_runner.models import Job, Status
    from spark_impex_runner.spark.exports import Exports
    from spark_impex_runner.spark.job_listing import JobListing, ListedJob
    from spark_impex_runner.spark.running_jobs import RunningJobs

# As for a job in the state: a nightly run must not deliver the export of the night before.
_MAX_AGE = 43_200.0


@dataclass(slots=True)
class RunningJobFinder:
    """Finds the running job of one target's new attempt in a tenant's listing."""

    progress: TargetProgress
    exports: Exports
    running: RunningJobs

    def find(self, listing: JobListing) -> ListedJob | None:
        """Return the running job of the same request, claimed for this target, if there is one.

        Raises ``TooLargeError`` if a job exports a part of the request: an earlier run found that
        the whole is too large.
        """
        for job in listing.running:
            kind = _relation(self.progress.job, job.correlation_id)
            if not kind or not self._may_resume(job):
                continue
            if self.progress.context.fresh:
                self._warn(
                    f"--fresh: job {job.id}, {age_of(job)}, exports the same request and is not "
                    "resumed; it may still run"
                )
            elif kind == "part":
                raise TooLargeError(
                    f"job {job.id} on the tenant exports a part of this request, "
                    "which was too large for an earlier run"
                )
            elif self.running.claim(job.id):
                return job
        return None

    def message(self, job: ListedJob) -> str:
        """Return the line that says which job is resumed."""
        label = Label.parse(job.correlation_id)
        by = f"run {label.run_id}" if label else f"correlation id {job.correlation_id}"
        return f"resuming job {job.id} of {by}, {age_of(job)}: it exports the same request"

    def _may_resume(self, job: ListedJob) -> bool:
        """Return whether a job still runs, is not too old, and belongs to no attempt."""
        if job.age is not None and job.age > _MAX_AGE:
            return False
        if not self._is_pending(job):
            return False
        # Last: it reads all attempts of the state.
        return self.progress.context.state.owner(job.id) is None

    def _is_pending(self, job: ListedJob) -> bool:
        try:
            status = self.exports.status(job.id)
        except SparkError as error:
            # The checks of a resumed job tolerate failures; a second job would be worse.
            return not is_unknown_job(error)
        if self.exports.judge(status) is not Verdict.PENDING:
            return False
        return not self.progress.job.target.correlation_id or self._fits(job, status)

    def _fits(self, job: ListedJob, status: Status) -> bool:
        """Return whether a job with the manifest's correlation id exports this request.

        A running job does not always say what it exports. Then the id must be this target's alone.
        """
        if not is_unspecified(status):
            return not mismatch(self.progress.job.request, status)
        others = sharing_id(self.progress.job.run.manifest, self.progress.job.target)
        if others:
            self._warn(
                f"job {job.id} has the correlation id {job.correlation_id}, which this target "
                f"shares with {', '.join(others)}; it does not say what it exports, so it is not "
                "resumed"
            )
        return not others

    def _warn(self, message: str) -> None:
        if message not in self.progress.warnings:
            self.progress.warnings.append(message)
            self.progress.changed("job.ignored", message)


def _relation(job: Job, text: str) -> str:
    """Return what a running job is by its correlation id: ``same`` request, ``part``, or empty."""
    wanted = job.request.correlation_id or ""
    if job.target.correlation_id:
        if text == wanted:
            return "same"
        part, _, number = text.removeprefix(wanted).partition("-part")
        return "part" if text.startswith(wanted) and not part and number[:1].isdecimal() else ""
    own, theirs = Label.parse(wanted), Label.parse(text)
    if own is None or theirs is None:
        return ""
    if own.is_same_request(theirs):
        return "same"
    return "part" if theirs.is_part_of(own) else ""


def running_targets(listing: JobListing, labels: Mapping[str, str]) -> set[str]:
    """Return the targets whose requests a tenant is running, by the correlation ids of all."""
    found = set[str]()
    for job in listing.running:
        theirs = Label.parse(job.correlation_id)
        if theirs is None:
            same = [name for name, text in labels.items() if text and text == job.correlation_id]
            found.update(same if len(same) == 1 else ())  # a shared id does not tell
            continue
        own = Label.parse(labels.get(theirs.target, ""))
        if own and own.digest == theirs.digest:
            found.add(theirs.target)
    return found
