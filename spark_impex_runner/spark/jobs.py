"""The jobs of one kind on one tenant: their listing, their statuses, and a free slot for one."""

from __future__ import annotations

import logging
import math
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from spark_impex_runner.errors import (
    RetryTimeoutError,
    SparkApiError,
    SparkError,
    SparkSdkError,
)
from spark_impex_runner.fields import count, mapping, name, objects
from spark_impex_runner.spark.failures import is_transient, is_unknown_job
from spark_impex_runner.spark.http import limits
from spark_impex_runner.spark.http.response import retry_after, server_time
from spark_impex_runner.spark.http.retry import accepted_wait
from spark_impex_runner.spark.http.urls import job_id_of, secrets_of
from spark_impex_runner.spark.status import parse_status
from spark_impex_runner.spark.waiting import DEADLINE, INTERVAL, JobWaiter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from spark_impex_runner.models import Status, Verdict
    from spark_impex_runner.spark.http.response import HttpResponse
    from spark_impex_runner.spark.http.session import Session

T = TypeVar("T")
_log = logging.getLogger(__name__)

# A tenant that is busy with other jobs is asked again after so many seconds.
BUSY_PAUSE = 5.0
# How exact ages are, in seconds, and the highest that is no mistake: ended jobs stay listed for an
# hour (documented).
_SLACK = 600.0
_LONGEST_LISTED = 43_200.0
_ADVICE = "; it may still run: raise max_retries or retry_interval, or cancel it"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MENTIONS_JOBS = re.compile(r"job|export|import", re.IGNORECASE)
_MENTIONS_LIMIT = re.compile(r"limit|progress|running|concurrent|parallel", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ListedJob:
    """One job of the tenant's listing; ``age`` is in seconds by the tenant's own clock."""

    id: str
    created: datetime | None = None
    age: float | None = None

    def is_older(self, seconds: float) -> bool:
        """Return whether the job was certainly created more than so many seconds ago.

        Where a clock cannot be right, as with a negative time, this is not certain.
        """
        return (
            self.age is not None and seconds >= 0 and seconds + _SLACK < self.age <= _LONGEST_LISTED
        )


@dataclass(frozen=True, slots=True)
class Jobs(ABC):
    """Jobs of the ``kind`` export or import of one tenant.

    The listing is documented for exports; that of imports has the same form, by symmetry
    (inferred). ``retries`` and ``interval`` (seconds) are what ``get_status`` uses where its
    caller gives none.
    """

    kind: ClassVar[str]
    session: Session
    retries: int | None = None
    interval: float = INTERVAL

    @abstractmethod
    def judge(self, status: Status) -> Verdict:
        """Return whether a status is that of a finished job, and how it ended."""

    @abstractmethod
    def is_doubtful(self, status: Status) -> bool:
        """Return whether the status of a job that is done may be a mistake."""

    def get_status(
        self,
        job_id: str | None = None,
        *,
        url: str | None = None,
        max_retries: int | None = None,
        retry_interval: float | None = None,
    ) -> HttpResponse:
        """Wait until the job is done; the ``data`` of the reply is its status.

        An export's ``data['outputs']['files']`` holds the links. ``max_retries`` is the number of
        status checks, ``retry_interval`` the seconds between them; without the first, half an
        hour is the limit, and ten minutes without any answer. Of ``url`` only the job id is used.
        Raises ``JobError`` as soon as the job has failed, ``RetryTimeoutError`` at the limit.
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
        """Return a wait for a job, with the ``settings`` of ``JobWaiter``."""
        name = f"{self.kind} job {job_id} on {self.session.url.base}"
        check = check or (lambda: self.status(job_id, once=True))
        return JobWaiter(name, self.session.http, check, self.judge, self.is_doubtful, **settings)

    def status(self, job_id: str, *, once: bool = False) -> Status:
        """Return a job's status. The links that it offers are masked everywhere from here on.

        With ``once`` a request that fails is not repeated: the caller has a budget of its own.
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
        """Return the tenant's listing of its jobs and its job limit."""
        return self.session.get("api", "v4", self.kind, "status")

    def require_job_id(self, reply: HttpResponse) -> HttpResponse:
        """Return the reply to a create call; raise where it does not say which job that made."""
        if not parse_status(reply.data).id:
            raise SparkSdkError(
                f"POST {self.kind} on {self.session.url.base}: HTTP {reply.status}, but the reply "
                "has no job id; the job may run: look for it on the tenant before you start another"
            )
        return reply

    def job_limit(self) -> int:
        """Return how many jobs the tenant runs at a time; 1, the default, if unsaid."""
        return self._limit(self.describe().data)

    def listed(self) -> tuple[ListedJob, ...]:
        """Return the jobs that the tenant still lists, running ones first, then newest first.

        Documented: active jobs and those that ended within the last hour, of this user. The
        listing shows no correlation ids; ``status`` does.

        Raises ``SparkSdkError`` if the reply is no listing; a list in it may be null.
        """
        return self._listed((list, type(None)))

    def listed_strict(self) -> tuple[ListedJob, ...]:
        """Return what ``listed`` does; raise also where a list is null."""
        return self._listed((list,))

    def is_busy(self, error: SparkApiError) -> bool:
        """Return whether a job was refused because the tenant runs another one.

        How the API says so is not documented. The words decide; where a 400, 409 or 429 has no
        clear words, the tenant's own count does. The count cannot decide about a 500, after
        which the running job may be the one that was asked for.
        """
        text = f"{error.code} {error.details}"
        of_a_job = _MENTIONS_JOBS.search(text) and "size" not in text.lower()
        if of_a_job and _MENTIONS_LIMIT.search(text):
            return True
        return error.status in {400, 409, 429} and not self.has_free_slot()

    def has_free_slot(self) -> bool:
        """Return whether the tenant's count leaves room for a job; so does one that is not told."""
        try:
            data = self.describe().data
        except SparkError:
            return True
        running = _count(data, "status", f"{self.kind}_api_jobs_in_progress")
        return running < self._limit(data)

    def run_when_free(self, start: Callable[[], T], within: float) -> T:
        """Call ``start`` until the tenant has room for a job; return what it returns.

        After a refusal it is called again when the tenant's count leaves room, as it may send a
        whole package. Raises ``RetryTimeoutError`` when the tenant is busy for more than ``within``
        seconds, and at once what ``start`` raises for any other reason.
        """
        clock = self.session.http.clock
        end = clock.monotonic() + within
        while True:
            try:
                return start()
            except SparkApiError as error:
                if not self.is_busy(error):
                    raise
                _log.info("%s runs another job, waiting for it", self.session.url.base)
                refused = error
            free = False
            while not free:
                left = end - clock.monotonic()
                if left <= 0:
                    raise RetryTimeoutError(
                        f"{self.session.url.base} was busy with other jobs for {within:g} s; "
                        "no job was created, try again later"
                    ) from refused
                clock.wait(min(max(BUSY_PAUSE, accepted_wait(refused.retry_after)), left))
                with clock.until(end + limits.LAST_CHECK):
                    free = self.has_free_slot()

    def _limit(self, described: Any) -> int:
        return _count(described, "configuration", f"{self.kind}_api_job_limit") or 1

    def _list_keys(self) -> tuple[str, str]:
        return f"in_progress_{self.kind}s", f"recent_{self.kind}s"

    def _listed(self, kinds: tuple[type, ...]) -> tuple[ListedJob, ...]:
        """Read the listing; entries without an id, or listed twice, are left out."""
        reply = self.describe()
        data = mapping(reply.data)
        lists = [data.get(key, ...) for key in self._list_keys()]
        if not all(isinstance(each, kinds) for each in lists):
            raise SparkSdkError(
                f"{self.session.url.base} lists its {self.kind} jobs in a form that is not known"
            )
        now, found = server_time(reply.headers), dict[str, ListedJob]()
        for jobs in lists:
            entries = [(name(job.get("id")), job) for job in objects(jobs)]
            read = [ListedJob(id_, *_created(job, now)) for id_, job in entries if id_]
            for each in sorted(read, key=lambda job: job.created or _EPOCH, reverse=True):
                found.setdefault(each.id, each)
        return tuple(found.values())


def _count(described: Any, part: str, key: str) -> int:
    """Return a number below ``tenant`` in the listing, 0 where it is absent or no number."""
    for each in ("tenant", part, key):
        described = mapping(described).get(each)
    return count(described)


def _created(job: Mapping[str, Any], now: datetime | None) -> tuple[datetime | None, float | None]:
    """Return when a listed job was created, and its age at ``now``; None for what is not known."""
    text = mapping(job.get("data")).get("created_timestamp")
    try:
        # Python 3.10 does not read the Z that the documented form ends with.
        when = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
        when = when.replace(tzinfo=when.tzinfo or timezone.utc).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None, None
    return when, (now - when).total_seconds() if now else None


def is_gone(error: SparkError, job_id: str, list_jobs: Callable[[], Iterable[ListedJob]]) -> bool:
    """Return whether a job no longer exists: its status says so, and the tenant's listing agrees.

    One wrong answer would otherwise cost a second job. A job whose listing fails counts as there.
    """
    try:
        return is_unknown_job(error) and all(each.id != job_id for each in list_jobs())
    except SparkError:
        return False
