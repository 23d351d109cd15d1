"""List the jobs of one tenant, read their statuses, and wait for a free slot."""

from __future__ import annotations

import logging
import math
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from spark_impex_runner.errors import (
    RetryTimeoutError,
    SparkApiError,
    SparkError,
    SparkSdkError,
)
from spark_impex_runner.spark.failures import is_transient, is_unknown_job
from spark_impex_runner.spark.http import limits
from spark_impex_runner.spark.http.response import retry_after
from spark_impex_runner.spark.http.retry import accepted_wait, retry_hint
from spark_impex_runner.spark.http.urls import job_id_of, secrets_of
from spark_impex_runner.spark.job_listing import ListedJob, read_counts, read_listing
from spark_impex_runner.spark.status import parse_status
from spark_impex_runner.spark.waiting import DEADLINE, INTERVAL, JobWaiter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from spark_impex_runner.models import Status, Verdict
    from spark_impex_runner.spark.http.response import HttpResponse
    from spark_impex_runner.spark.http.session import Session
    from spark_impex_runner.spark.job_listing import JobListing

T = TypeVar("T")
_log = logging.getLogger(__name__)

# Seconds between two checks of a busy tenant; its jobs take from seconds to minutes (observed).
BUSY_PAUSE = 5.0
_ADVICE = "; it may still run: raise max_retries or retry_interval, or cancel it"
_MENTIONS_JOBS = re.compile(r"job|export|import", re.IGNORECASE)
_MENTIONS_LIMIT = re.compile(r"limit|progress|running|concurrent|parallel", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Jobs(ABC):
    """Jobs of the ``kind`` export or import of one tenant.

    The listing is documented for exports; that of imports has the same form (inferred).
    ``retries`` and ``interval`` (seconds) are the defaults of ``get_status``.
    """

    kind: ClassVar[str]
    session: Session
    retries: int | None = None
    interval: float = INTERVAL

    @abstractmethod
    def judge(self, status: Status) -> Verdict:
        """Return whether a job is finished, and how it ended."""

    @abstractmethod
    def is_doubtful(self, status: Status) -> bool:
        """Return whether the status of a successful job must be confirmed by a second one."""

    def get_status(
        self,
        job_id: str | None = None,
        *,
        url: str | None = None,
        max_retries: int | None = None,
        retry_interval: float | None = None,
    ) -> HttpResponse:
        """Wait until the job is done; the ``data`` of the reply is its status.

        An export's ``data['outputs']['files']`` is a list of ``{"file": link, "file_hash": hash}``
        (seen in the official TypeScript SDK). ``max_retries`` is the number of status requests,
        ``retry_interval`` the seconds between them. Without ``max_retries`` the limits are half an
        hour, since the server ends its jobs after 20 minutes (observed), and ten minutes without a
        valid reply. Only the job id of ``url`` is used.

        Raises:
            JobError: the tenant ended the job without success.
            RetryTimeoutError: a limit was reached; the job may still run.
            SparkError: a request failed permanently, or for ten minutes.
        """
        job = job_id_of(job_id, url)
        retries = self.retries if max_retries is None else max_retries
        last: HttpResponse

        def check() -> Status:
            nonlocal last
            last, status = self._get_status(job)
            return status

        waiter = self.waiter(
            job,
            check,
            interval=self.interval if retry_interval is None else retry_interval,
            max_checks=retries,
            deadline=DEADLINE if retries is None else math.inf,
            tolerates=is_transient if retries is None else lambda _: False,
            advice=_ADVICE,
        )
        waiter.until_done()
        return last

    def waiter(
        self, job_id: str, check: Callable[[], Status] | None = None, **settings: Any
    ) -> JobWaiter:
        """Return a ``JobWaiter`` for a job, with its ``settings``."""
        name = f"{self.kind} job {job_id} on {self.session.url.base}"
        check = check or (lambda: self.status(job_id, once=True))
        return JobWaiter(name, self.session.http, check, self.judge, self.is_doubtful, **settings)

    def status(self, job_id: str, *, once: bool = False) -> Status:
        """Return a job's status, and mask its download links in all output from now on.

        With ``once`` a failed request is not retried, for callers with limits of their own. Raises
        ``SparkError``; see ``failures.is_unknown_job`` for a job that does not exist.
        """
        return self._get_status(job_id, once=once)[1]

    def _get_status(self, job_id: str, *, once: bool = False) -> tuple[HttpResponse, Status]:
        http = self.session.http
        reply = self.session.get("api", "v4", self.kind, job_id, "status", once=once)
        status = parse_status(reply.data, retry_after(reply.headers, http.clock.now()))
        for file in status.files:
            for secret in secrets_of(file.url):
                http.masker.add(secret, announce=False)
        return reply, status

    def describe(self) -> HttpResponse:
        """Return the tenant's listing: active and recent jobs, its job limit and job count.

        ``data`` has ``in_progress_exports``, ``recent_exports`` and ``tenant`` (documented for
        exports; imports inferred). Raises ``SparkError``.
        """
        return self.session.get("api", "v4", self.kind, "status")

    def require_job_id(self, reply: HttpResponse) -> HttpResponse:
        """Return the reply to a create call; raise ``SparkSdkError`` if it has no job id."""
        if not parse_status(reply.data).id:
            raise SparkSdkError(
                f"POST {self.kind} on {self.session.url.base}: HTTP {reply.status}, but the reply "
                "has no job id; the job may run: look for it on the tenant before you start another"
            )
        return reply

    def job_limit(self) -> int:
        """Return how many jobs the tenant runs at a time; 1, the documented default, if unknown."""
        return read_counts(self.kind, self.describe().data)[0]

    def listing(self, *, once: bool = False) -> JobListing:
        """Return the tenant's listing with its counts; retry the request unless ``once``.

        Raises ``SparkSdkError`` if the reply is no listing; a list in it may be null.
        """
        reply = self.session.get("api", "v4", self.kind, "status", once=once)
        return read_listing(self.kind, reply, self.session.url.base)

    def listed(self) -> tuple[ListedJob, ...]:
        """Return the jobs that the tenant lists, active ones first, then newest first.

        Documented: active jobs and those that ended within the last hour, of this user only. As
        documented, the listing has no correlation ids; ``status`` has.

        Raises ``SparkSdkError`` if the reply is no listing; a list in it may be null.
        """
        return self.listing().jobs

    def listed_strict(self) -> tuple[ListedJob, ...]:
        """Return what ``listed`` does; raise also if a list is null."""
        reply, base = self.describe(), self.session.url.base
        return read_listing(self.kind, reply, base, strict=True).jobs

    def is_busy(self, error: SparkApiError) -> bool:
        """Return whether a job was refused because the tenant runs another one.

        The API's reply is not published. The error's code and message decide; after a 400, 409 or
        429 without a clear message the tenant's job count does. The count cannot decide about a
        500, after which the running job may be the requested one.
        """
        text = f"{error.code} {error.details}"
        of_a_job = _MENTIONS_JOBS.search(text) and "size" not in text.lower()
        if of_a_job and _MENTIONS_LIMIT.search(text):
            return True
        return error.status in {400, 409, 429} and not self.has_free_slot()

    def has_free_slot(self) -> bool:
        """Return whether the tenant's job count is below its limit, or unknown."""
        try:
            data = self.describe().data
        except SparkError:
            return True
        limit, running = read_counts(self.kind, data)
        return running < limit

    def run_when_free(self, start: Callable[[], T], within: float) -> T:
        """Call ``start`` until the tenant accepts the job; return its result.

        After a refusal it is called again only when the job count allows, since ``start`` may
        upload a whole package. Raises ``RetryTimeoutError`` if the tenant stays busy for more than
        ``within`` seconds, and at once any other error of ``start``.
        """
        clock = self.session.http.clock
        end, attempt = clock.monotonic() + within, 1
        while True:
            try:
                return start()
            except SparkApiError as error:
                if not self.is_busy(error):
                    raise
                refused, attempt = error, attempt + 1
                pause = max(BUSY_PAUSE, accepted_wait(refused.retry_after))
                hint = retry_hint(clock, pause, attempt, end - clock.monotonic())
                blockers = self._blockers()
                base, named = self.session.url.base, f" ({blockers})" if blockers else ""
                _log.info("%s is busy with another job%s, %s", base, named, hint)
            free = False
            while not free:
                left = end - clock.monotonic()
                if left <= 0:
                    raise RetryTimeoutError(
                        f"{self.session.url.base} was busy with other jobs{named} for "
                        f"{within:g} s; no job was created, try again later"
                    ) from refused
                clock.wait(min(pause, left))
                with clock.until(end + limits.LAST_CHECK):
                    free = self.has_free_slot()

    def _blockers(self) -> str:
        """Return which jobs hold the tenant's slots; empty if it does not say."""
        try:
            return self.listing(once=True).blockers
        except SparkError:
            return ""


def is_gone(error: SparkError, job_id: str, list_jobs: Callable[[], Iterable[ListedJob]]) -> bool:
    """Return whether a job no longer exists by its status request and by the tenant's listing.

    One wrong reply would otherwise cause a second job. If the listing fails, the job exists.
    """
    try:
        return is_unknown_job(error) and all(each.id != job_id for each in list_jobs())
    except SparkError:
        return False
