"""Read the tenant's listing of its export or import jobs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import SparkSdkError
from spark_impex_runner.fields import count, mapping, name, objects, text
from spark_impex_runner.spark.http.response import server_time
from spark_impex_runner.spark.status import is_running
from spark_impex_runner.text import counted, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from spark_impex_runner.spark.http.response import HttpResponse

# The error of an age in seconds, and the highest plausible age: ended jobs stay listed for an hour
# (documented), so that a much older one means a wrong clock.
_SLACK = 600.0
_LONGEST_LISTED = 43_200.0
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_LABEL_LENGTH = 200
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class ListedJob:
    """One job of the tenant's listing; ``age`` is in seconds by the tenant's clock.

    ``correlation_id`` and ``source_system`` are empty if the listing has none: documented are only
    the other fields. ``unread`` says why they could not be read from the job's status either.
    """

    id: str
    created: datetime | None = None
    age: float | None = None
    running: bool = False
    status: str = ""
    created_by: str = ""
    correlation_id: str = ""
    source_system: str = ""
    unread: str = ""

    @property
    def with_creator(self) -> str:
        """The job as a message names it: its id, who created it, and when."""
        when = f", created at {self.created:%H:%M:%S}Z" if self.created else ""
        return f"job {self.id} of {self.created_by or 'an unknown user'}{when}"

    def is_older(self, seconds: float) -> bool:
        """Return whether the job was certainly created more than so many seconds ago.

        False if a clock must be wrong, as with negative ``seconds``.
        """
        return (
            self.age is not None and seconds >= 0 and seconds + _SLACK < self.age <= _LONGEST_LISTED
        )


@dataclass(frozen=True, slots=True)
class JobListing:
    """The jobs that a tenant lists for some credentials, and what it counts for all of them.

    ``jobs`` has the running ones first, then the newest. ``limit`` is the number of jobs at a time;
    1, the documented default, if unknown. ``in_progress`` counts the jobs of all credentials.
    ``unread`` says why the jobs could not be read.
    """

    jobs: tuple[ListedJob, ...]
    limit: int
    in_progress: int
    unread: str = ""

    @property
    def running(self) -> tuple[ListedJob, ...]:
        """The listed jobs that have not ended."""
        return tuple(each for each in self.jobs if each.running)

    @property
    def unlisted(self) -> int:
        """How many running jobs the tenant counts without listing them for these credentials."""
        return max(self.in_progress - len(self.running), 0)

    @property
    def unlisted_note(self) -> str:
        """How many running jobs are not listed, as a sentence; empty without any."""
        jobs = counted(self.unlisted, "running job")
        verb = "is" if self.unlisted == 1 else "are"
        return f"{jobs} {verb} not listed for these credentials" if self.unlisted else ""

    @property
    def blockers(self) -> str:
        """The running jobs with who created them, as messages name them; empty without any."""
        named = [each.with_creator for each in self.running[:_SHOWN]]
        return "; ".join(filter(None, [*named, self.unlisted_note]))


def read_counts(kind: str, described: Any) -> tuple[int, int]:
    """Return a tenant's job limit, and how many jobs it is running; tolerate any reply."""
    limit = _count(described, "configuration", f"{kind}_api_job_limit") or 1
    return limit, _count(described, "status", f"{kind}_api_jobs_in_progress")


def read_listing(kind: str, reply: HttpResponse, base: str, *, strict: bool = False) -> JobListing:
    """Return the listing in a reply; skip entries without an id and repeated ones.

    Raises ``SparkSdkError`` if the reply is no listing, or, if ``strict``, if a list is null.
    """
    data, kinds = mapping(reply.data), (list,) if strict else (list, type(None))
    lists = [data.get(key, ...) for key in (f"in_progress_{kind}s", f"recent_{kind}s")]
    if not all(isinstance(each, kinds) for each in lists):
        raise SparkSdkError(f"{base} lists its {kind} jobs in an unknown form")
    now, found = server_time(reply.headers), dict[str, ListedJob]()
    for number_, jobs in enumerate(lists):
        read = _read(kind, jobs, now, running=number_ == 0)
        for each in sorted(read, key=lambda job: job.created or _EPOCH, reverse=True):
            found.setdefault(each.id, each)
    jobs_ = sorted(found.values(), key=lambda job: not job.running)
    return JobListing(tuple(jobs_), *read_counts(kind, reply.data))


def _read(kind: str, jobs: Any, now: datetime | None, *, running: bool) -> Iterator[ListedJob]:
    for job in objects(jobs):
        if not (id_ := name(job.get("id"))):
            continue
        data = mapping(job.get("data"))
        status = one_line(text(data.get(f"{kind}_status")), limit=_LABEL_LENGTH)
        yield ListedJob(
            id_,
            *_created(data, now),
            running=running or is_running(status),
            status=status,
            created_by=one_line(text(data.get("created_by")), limit=_LABEL_LENGTH),
            # Not documented; a status always has it.
            correlation_id=text(data.get("correlation_id")) or text(job.get("correlation_id")),
            source_system=text(data.get("source_system")) or text(job.get("source_system")),
        )


def _count(described: Any, part: str, key: str) -> int:
    """Return a number below ``tenant`` in the listing, 0 if it is absent or no number."""
    for each in ("tenant", part, key):
        described = mapping(described).get(each)
    return count(described)


def _created(data: Mapping[str, Any], now: datetime | None) -> tuple[datetime | None, float | None]:
    """Return when a listed job was created, and its age at ``now``; None for an unknown value."""
    try:
        # Python 3.10 does not read the Z that the documented form ends with.
        when = datetime.fromisoformat(str(data.get("created_timestamp")).replace("Z", "+00:00"))
        when = when.replace(tzinfo=when.tzinfo or timezone.utc).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None, None
    return when, (now - when).total_seconds() if now else None
