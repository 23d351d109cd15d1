"""The jobs of one kind on one tenant: what its listing says, and waiting for room."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypeVar

from spark_impex_runner.errors import (
    RetryTimeoutError,
    SparkApiError,
    SparkError,
    SparkSdkError,
)
from spark_impex_runner.fields import count, mapping, name, objects
from spark_impex_runner.spark import limits
from spark_impex_runner.spark.reply import server_time
from spark_impex_runner.spark.retry import granted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spark_impex_runner.spark.reply import HttpResponse
    from spark_impex_runner.spark.session import Session

T = TypeVar("T")
_log = logging.getLogger(__name__)

_BUSY_INTERVAL = 5.0
# How exact ages are, in seconds, and the highest that is no mistake: ended jobs stay listed for an
# hour (documented).
_SLACK = 600.0
_LONGEST_LISTED = 43_200.0
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_SPEAKS_OF_JOBS = re.compile(r"job|export|import", re.IGNORECASE)
_SPEAKS_OF_A_LIMIT = re.compile(r"limit|progress|running|concurrent|parallel", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Listed:
    """One job of the tenant's listing; ``age`` is in seconds by the tenant's own clock."""

    id: str
    created: datetime | None = None
    age: float | None = None

    def is_older(self, seconds: float) -> bool:
        """Tell whether the job was certainly created more than so many seconds ago.

        Where a clock cannot be right, as with a negative time, this is not certain.
        """
        return (
            self.age is not None and seconds >= 0 and seconds + _SLACK < self.age <= _LONGEST_LISTED
        )


@dataclass(frozen=True, slots=True)
class Queue:
    """Jobs of the ``kind`` export or import.

    The listing is documented for exports; that of imports has the same form, by symmetry
    (inferred).
    """

    session: Session
    kind: str

    def describe(self) -> HttpResponse:
        """Return the tenant's listing of its jobs and its job limit."""
        return self.session.get("api", "v4", self.kind, "status")

    def job_limit(self) -> int:
        """Return how many jobs the tenant runs at a time; 1, the default, if unsaid."""
        return self._limit(self.describe().data)

    def listed(self) -> tuple[Listed, ...]:
        """Return the jobs that the tenant still lists, running ones first, then newest first.

        Raises ``SparkSdkError`` where the reply has not the form of a listing; a list may be null.
        """
        return self._listed((list, type(None)))

    def listed_for_certain(self) -> tuple[Listed, ...]:
        """Return what ``listed`` does; raise also where a list is null."""
        return self._listed((list,))

    def is_busy(self, error: SparkApiError) -> bool:
        """Tell whether a job was refused because the tenant runs another one.

        How the API says so is not documented. The words decide; where a 400, 409 or 429 has no
        clear words, the tenant's own count does. The count cannot decide about a 500, after
        which the running job may be the one that was asked for.
        """
        said = f"{error.code} {error.details}"
        of_a_job = _SPEAKS_OF_JOBS.search(said) and "size" not in said.lower()
        if of_a_job and _SPEAKS_OF_A_LIMIT.search(said):
            return True
        return error.status in {400, 409, 429} and not self.has_room()

    def has_room(self) -> bool:
        """Tell whether the tenant's count leaves room for a job; so does one that is not told."""
        try:
            data = self.describe().data
        except SparkError:
            return True
        running = _count(data, "status", f"{self.kind}_api_jobs_in_progress")
        return running < self._limit(data)

    def when_free(self, start: Callable[[], T], within: float) -> T:
        """Call ``start`` until the tenant has room for a job; return what it returns.

        After a refusal it is called again when the tenant's count leaves room, as it may send a
        whole package. Raises ``RetryTimeoutError`` when the tenant is busy for more than ``within``
        seconds, and at once what ``start`` raises for any other reason.
        """
        clock = self.session.wire.clock
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
                clock.wait(min(max(_BUSY_INTERVAL, granted(refused.retry_after)), left))
                with clock.until(end + limits.LAST_LOOK):
                    free = self.has_room()

    def _limit(self, described: Any) -> int:
        return _count(described, "configuration", f"{self.kind}_api_job_limit") or 1

    def _lists(self) -> tuple[str, str]:
        return f"in_progress_{self.kind}s", f"recent_{self.kind}s"

    def _listed(self, kinds: tuple[type, ...]) -> tuple[Listed, ...]:
        """Read the listing; entries without an id, or listed twice, are left out."""
        reply = self.describe()
        data = mapping(reply.data)
        lists = [data.get(key, ...) for key in self._lists()]
        if not all(isinstance(each, kinds) for each in lists):
            raise SparkSdkError(
                f"{self.session.url.base} lists its {self.kind} jobs in a form that is not known"
            )
        now, found = server_time(reply.headers), dict[str, Listed]()
        for jobs in lists:
            entries = [(name(job.get("id")), job) for job in objects(jobs)]
            read = [Listed(id_, *_created(job, now)) for id_, job in entries if id_]
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
