"""The jobs of one kind on one tenant: what its listing says, and waiting for room."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypeVar

from spark_impex_runner.errors import (
    RetryTimeoutError,
    SparkApiError,
    SparkError,
    SparkSdkError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from spark_impex_runner.spark.reply import HttpResponse
    from spark_impex_runner.spark.session import Session

T = TypeVar("T")
_log = logging.getLogger(__name__)

_BUSY_INTERVAL = 5.0
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_SPEAKS_OF_JOBS = re.compile(r"job|export|import", re.IGNORECASE)
_SPEAKS_OF_A_LIMIT = re.compile(r"limit|progress|running|concurrent|parallel", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Listed:
    """One job of the tenant's listing."""

    id: str
    created: datetime | None = None


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
        """Return the jobs that the tenant still lists, running ones first, then newest first."""
        return self._listed(self.describe().data)

    def listed_for_certain(self) -> tuple[Listed, ...]:
        """Return what ``listed`` does, for a caller to whom it matters what is not in it.

        Raises ``SparkSdkError`` where the reply has not the form of a listing.
        """
        data = self.describe().data
        lists = [data.get(key) for key in self._lists()] if isinstance(data, Mapping) else []
        if not lists or not all(isinstance(each, list) for each in lists):
            raise SparkSdkError(
                f"{self.session.url.base} lists its {self.kind} jobs in a form that is not known"
            )
        return self._listed(data)

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
                clock.wait(min(_BUSY_INTERVAL, left))
                free = self.has_room()

    def _limit(self, described: Any) -> int:
        return _count(described, "configuration", f"{self.kind}_api_job_limit") or 1

    def _lists(self) -> tuple[str, str]:
        return f"in_progress_{self.kind}s", f"recent_{self.kind}s"

    def _listed(self, described: Any) -> tuple[Listed, ...]:
        """Read the listing; entries without an id, or listed twice, are left out."""
        found: dict[str, Listed] = {}
        for key in self._lists():
            jobs = described.get(key) if isinstance(described, Mapping) else None
            entries = [job for job in jobs or () if isinstance(job, Mapping) and job.get("id")]
            read = [Listed(str(job["id"]), _created(job)) for job in entries]
            for each in sorted(read, key=lambda job: job.created or _EPOCH, reverse=True):
                found.setdefault(each.id, each)
        return tuple(found.values())


def _count(described: Any, part: str, name: str) -> int:
    """Return a number below ``tenant`` in the listing, 0 where it is absent or no number."""
    for key in ("tenant", part, name):
        described = described.get(key) if isinstance(described, Mapping) else None
    return int(described) if str(described).isdecimal() else 0


def _created(job: Mapping[str, Any]) -> datetime | None:
    """Return when a listed job was created, None where that cannot be read."""
    data = job.get("data")
    text = data.get("created_timestamp") if isinstance(data, Mapping) else None
    try:
        # Python 3.10 does not read the Z that the documented form ends with.
        when = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=timezone.utc)
