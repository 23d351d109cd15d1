"""The running export jobs of one tenant, each with its correlation id."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING

from spark_impex_runner.errors import SparkError, TransportError
from spark_impex_runner.spark.failures import is_unknown_job
from spark_impex_runner.spark.http.retry import confirmed
from spark_impex_runner.spark.job_listing import JobListing, read_counts, read_listing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spark_impex_runner.spark.exports import Exports
    from spark_impex_runner.spark.job_listing import ListedJob

# The status of so many jobs is read for their labels; a tenant runs one or a few.
_MAX_STATUSES = 50


class RunningJobs:
    """What a tenant lists for one connection; safe to share by all targets of a run."""

    def __init__(self, exports: Exports) -> None:
        self._exports = exports
        self._labels: dict[str, tuple[str, str]] = {}
        self._claimed: set[str] = set()
        self._begun: set[str] = set()
        self._counts = 1, 0
        self._first: Future[JobListing] | None = None
        self._lock = threading.Lock()

    def first(self) -> JobListing:
        """Return the listing of the first call; all targets of a run share its requests.

        It is ``unread``, with a job limit of 1, if the tenant does not answer twice. Raises
        ``TransportError`` if the tenant cannot be reached at all.
        """
        with self._lock:
            is_new, self._first = self._first is None, self._first or Future()
        if is_new:
            try:
                self._first.set_result(self._read_tolerantly())
            except BaseException as error:  # noqa: BLE001 - every waiting thread raises it
                self._first.set_exception(error)
        return self._first.result()

    def now(self) -> JobListing:
        """Return the listing of this moment; its request is not retried. Raises ``SparkError``."""
        return self._labelled(self._exports.listing(once=True))

    def labelled(self, jobs: Sequence[ListedJob]) -> tuple[ListedJob, ...]:
        """Return jobs, the first fifty with their labels, where readable."""
        return (*map(self._with_label, jobs[:_MAX_STATUSES]), *jobs[_MAX_STATUSES:])

    def _with_label(self, job: ListedJob) -> ListedJob:
        """Return a listed job with the labels of its status; ``unread`` if that cannot be read."""
        if job.correlation_id and job.source_system:
            return job
        if job.id not in self._labels:
            try:
                status = self._exports.status(job.id)
            except SparkError as error:
                # A job that left the listing a moment ago does not run.
                return job if is_unknown_job(error) else replace(job, unread=str(error))
            self._labels[job.id] = status.correlation_id or "", status.source_system or ""
        correlation_id, source_system = self._labels[job.id]
        return replace(
            job,
            correlation_id=job.correlation_id or correlation_id,
            source_system=job.source_system or source_system,
        )

    def claim(self, job_id: str) -> bool:
        """Return whether no other target of this run has claimed the job."""
        with self._lock:
            is_free = job_id not in self._claimed
            self._claimed.add(job_id)
            return is_free

    def is_first(self, task: str) -> bool:
        """Return whether no other target of this run has begun a task that one does for all."""
        with self._lock:
            is_first = task not in self._begun
            self._begun.add(task)
            return is_first

    def _read_tolerantly(self) -> JobListing:
        # A second answer decides: without a listing the run may create a second job.
        unread = ""

        def read() -> JobListing | None:
            nonlocal unread
            listing = self._read()
            unread = listing.unread
            return None if unread else listing

        listing = confirmed(read, self._exports.session.http.clock)
        return self._labelled(listing) if listing else JobListing((), *self._counts, unread)

    def _read(self) -> JobListing:
        exports = self._exports
        try:
            reply = exports.describe()
            self._counts = read_counts(exports.kind, reply.data)
            return read_listing(exports.kind, reply, exports.session.url.base)
        except SparkError as error:
            if isinstance(error, TransportError) and error.permanent:
                raise
            return JobListing((), *self._counts, str(error))

    def _labelled(self, listing: JobListing) -> JobListing:
        """Return a listing whose running jobs, which come first, have their labels."""
        running = listing.running
        jobs = (*self.labelled(running), *listing.jobs[len(running) :])
        return replace(listing, jobs=jobs)
