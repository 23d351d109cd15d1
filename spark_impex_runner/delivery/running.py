"""Find the running job of a target's request that another run has created, without any state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_impex_runner.delivery.attempt import RESUME_WITHIN
from spark_impex_runner.delivery.blockers import age_of
from spark_impex_runner.errors import SparkError, TooLargeError
from spark_impex_runner.models import Verdict
from spark_impex_runner.planning.labels import Label, Relation, relation
from spark_impex_runner.spark.failures import is_unknown_job

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spark_impex_runner.delivery.progress import TargetProgress
    from spark_impex_runner.models import Request
    from spark_impex_runner.spark.exports import Exports
    from spark_impex_runner.spark.job_listing import JobListing, ListedJob
    from spark_impex_runner.spark.running_jobs import RunningJobs


@dataclass(slots=True)
class RunningJobFinder:
    """Finds the running job of one target's new attempt in a tenant's listing."""

    progress: TargetProgress
    exports: Exports
    running: RunningJobs

    def find(self, listing: JobListing) -> ListedJob | None:
        """Return the running job of the same request, claimed for this target, if there is one.

        Warns about what it cannot tell. Raises ``TooLargeError`` if a job exports a part of the
        request: an earlier run found that the whole is too large.
        """
        self._warn_unread(listing)
        for job in listing.running:
            kind = relation(self.progress.job.request, job)
            if kind in {Relation.NONE, Relation.OTHER} or not self._may_resume(job):
                continue
            if kind is Relation.PERHAPS:
                self._warn(
                    f"job {job.id}, {age_of(job)}, has the correlation id {job.correlation_id}; it "
                    "does not say what it exports, so it is not resumed"
                )
            elif self.progress.context.fresh:
                self._warn(
                    f"--fresh: job {job.id}, {age_of(job)}, exports the same request and is not "
                    "resumed; it may still run"
                )
            elif kind is Relation.PART:
                raise TooLargeError(
                    f"job {job.id} on the tenant exports a part of this request, "
                    "which was too large for an earlier run"
                )
            elif self.running.claim(job.id):
                return job
        return None

    def message(self, job: ListedJob) -> str:
        """Return the line that says which job is resumed."""
        label = Label.read(job)
        run_id = label.run_id if label else ""
        by = f"run {run_id}" if run_id else f"correlation id {job.correlation_id}"
        return f"resuming job {job.id} of {by}, {age_of(job)}: it exports the same request"

    def _may_resume(self, job: ListedJob) -> bool:
        """Return whether a job still runs, is not too old, and belongs to no attempt."""
        if job.age is not None and job.age > RESUME_WITHIN.total_seconds():
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
        return self.exports.judge(status) is Verdict.PENDING

    def _warn_unread(self, listing: JobListing) -> None:
        """Warn, once in a run, about jobs that may export the same request."""
        if listing.unread and self.running.is_first("warning: listing"):
            self._warn(
                f"could not look for running jobs, one may export the same: {listing.unread}"
            )
        for job in listing.running:
            if job.unread and self.running.is_first(f"warning: {job.id}"):
                self._warn(
                    f"job {job.id}, {age_of(job)}, may export the same request; "
                    f"its correlation id cannot be read: {job.unread}"
                )

    def _warn(self, message: str) -> None:
        if message not in self.progress.warnings:
            self.progress.warnings.append(message)
            self.progress.changed("job.ignored", message)


def running_targets(listing: JobListing, requests: Mapping[str, Request]) -> set[str]:
    """Return the targets whose requests, or parts of them, a tenant is running."""
    running = {label.whole for each in listing.running if (label := Label.read(each))}
    labels = {name: Label.read(each) for name, each in requests.items()} if running else {}
    return {name for name, label in labels.items() if label and label.whole in running}
