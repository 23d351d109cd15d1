"""The running export jobs of one tenant, each with its correlation id."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING

from spark_impex_runner.errors import SparkError, TransportError
from spark_impex_runner.spark.job_listing import JobListing, read_counts, read_listing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spark_impex_runner.spark.exports import Exports
    from spark_impex_runner.spark.job_listing import ListedJob

_log = logging.getLogger(__name__)
# The status of so many jobs is read for their correlation ids; a tenant runs one or a few.
_MAX_STATUSES = 50


class RunningJobs:
    """What a tenant lists for one connection; safe to share by all targets of a run."""

    def __init__(self, exports: Exports) -> None:
        self._exports = exports
        self._labels: dict[str, str] = {}
        self._claimed: set[str] = set()
        self._first: Future[JobListing] | None = None
        self._lock = threading.Lock()

    def first(self) -> JobListing:
        """Return the listing of the first call; all targets of a run share its requests.

        It is empty, with a job limit of 1, if the tenant does not answer. Raises
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
        """Return the listing of this moment, without retries. Raises ``SparkError``."""
        return self._labelled(self._exports.listing(once=True))

    def label(self, job: ListedJob) -> ListedJob:
        """Return a listed job with its correlation id; without, if its status has none.

        Raises ``SparkError`` if the status cannot be read.
        """
        found = job.correlation_id or self._labels.get(job.id, "")
        if not found:
            found = self._exports.status(job.id, once=True).correlation_id or ""
            self._labels[job.id] = found
        return replace(job, correlation_id=found)

    def claim(self, job_id: str) -> bool:
        """Return whether no other target of this run has claimed the job."""
        with self._lock:
            is_free = job_id not in self._claimed
            self._claimed.add(job_id)
            return is_free

    def _read_tolerantly(self) -> JobListing:
        exports = self._exports
        try:
            reply = exports.describe()
        except SparkError as error:
            if isinstance(error, TransportError) and error.permanent:
                raise
            # The create call, which follows, reports the same failure with the target's name.
            _log.debug("cannot list the jobs of %s: %s", exports.session.url.base, error)
            return JobListing((), 1, 0)
        try:
            return self._labelled(read_listing(exports.kind, reply, exports.session.url.base))
        except SparkError as error:
            _log.debug("cannot read the jobs of %s: %s", exports.session.url.base, error)
            return JobListing((), *read_counts(exports.kind, reply.data))

    def _labelled(self, listing: JobListing) -> JobListing:
        """Return a listing whose running jobs have their correlation ids, where readable."""
        running = listing.running
        labelled = self._with_labels(running[:_MAX_STATUSES])
        return replace(listing, jobs=(*labelled, *listing.jobs[len(labelled) :]))

    def _with_labels(self, jobs: Iterable[ListedJob]) -> tuple[ListedJob, ...]:
        labelled = []
        for job in jobs:
            try:
                labelled.append(self.label(job))
            except SparkError as error:
                _log.debug("cannot read the status of job %s: %s", job.id, error)
                labelled.append(job)
        return tuple(labelled)
