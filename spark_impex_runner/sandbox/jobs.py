"""The life of export and import jobs, and the JSON in which the service speaks of them."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from spark_impex_runner.sandbox.wire import v4_refusal

if TYPE_CHECKING:
    from collections.abc import Callable

RECENT_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ends: the status word, what it puts out (asked at each look), its errors."""

    word: str
    outputs: Callable[[], Any]
    errors: Any = None


@dataclass(slots=True)
class Job:
    """One job. ``outcome`` is None until its work is done; times are those of the clock."""

    created: float
    source_system: str | None
    correlation_id: str | None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    outcome: Outcome | None = None
    cancelled: float | None = None


class Jobs:
    """All jobs of one kind (``export`` or ``import``) on one tenant."""

    def __init__(self, kind: str, base_url: str, limits: Limits) -> None:
        self.kind = kind
        self._base_url = base_url
        self._limits = limits
        self._calendar_offset = time.time() - limits.clock()
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    def run(self, body: dict[str, Any], work: Callable[[Job], Outcome]) -> Job:
        """Begin a job with the tags in ``body`` and do its work at once.

        The job is in progress until the work is done and its seconds are over. It is refused
        where too many are in progress, and forgotten where the work raises.
        """
        job = Job(self._limits.clock(), body.get("source_system"), body.get("correlation_id"))
        with self._lock:
            if self._in_progress() >= self._limits.jobs:
                raise self._busy()
            self._jobs[job.id] = job
        try:
            job.outcome = work(job)
        except BaseException:
            with self._lock:
                del self._jobs[job.id]
            raise
        return job

    def __len__(self) -> int:
        """Return how many jobs there have been."""
        with self._lock:
            return len(self._jobs)

    def get(self, job_id: str) -> Job:
        """Return a job; an unknown id is answered as documented for imports, with 500."""
        with self._lock:
            job = self._jobs.get(job_id)
        if job is None:
            raise v4_refusal(500, "INVALID_JOB_ID", "Please Provide valid job id")
        return job

    def cancel(self, job: Job) -> None:
        """Cancel a job that is in progress; one that has ended stays as it is (assumed)."""
        look = self._look(job)
        if look.ended is None:
            job.cancelled = look.now

    def created(self, job: Job) -> dict[str, Any]:
        """Return the answer to the request that made the job (documented)."""
        return {"object": self.kind, "id": job.id, "status_url": self._status_url(job)}

    def status(self, job: Job) -> dict[str, Any]:
        """Return the status of one job; ``process_time`` is in milliseconds (assumed)."""
        look = self._look(job)
        return {
            "object": self.kind,
            "id": job.id,
            "response_timestamp": self._date(look.now),
            "status": look.word,
            "status_url": self._status_url(job),
            "process_time": look.milliseconds(job),
            "outputs": look.outcome.outputs() if look.outcome else None,
            "errors": look.outcome.errors if look.outcome else None,
            "warnings": [],
            "source_system": job.source_system,
            "correlation_id": job.correlation_id,
        }

    def describe(self) -> dict[str, Any]:
        """Return the jobs in progress and those that ended within the last hour (documented)."""
        with self._lock:
            looks = [(job, self._look(job)) for job in self._jobs.values()]
        running = [self._entry(job, look) for job, look in looks if look.ended is None]
        recent = [self._entry(job, look) for job, look in looks if look.recent]
        return {
            f"in_progress_{self.kind}s": running,
            f"recent_{self.kind}s": recent,
            "tenant": {
                "configuration": {f"{self.kind}_api_job_limit": self._limits.jobs},
                "status": {f"{self.kind}_api_jobs_in_progress": len(running)},
            },
        }

    def _entry(self, job: Job, look: _Look) -> dict[str, Any]:
        data = {
            f"{self.kind}_status": look.word,
            "response_timestamp": self._date(look.now),
            "created_by": "sandbox@sandbox.invalid",
            "created_timestamp": self._date(job.created),
            "updated_timestamp": self._date(look.now if look.ended is None else look.ended),
            "process_time": look.milliseconds(job),
        }
        return {"object": self.kind, "id": job.id, "data": data}

    def _look(self, job: Job) -> _Look:
        # Everything that is said of a job must come from one reading of the clock: a job that
        # ended between two readings would be told as closed, but with nothing in it.
        now, cancelled, outcome = self._limits.clock(), job.cancelled, job.outcome
        if cancelled is not None:
            return _Look(now, "cancelled", cancelled)
        due = job.created + self._limits.seconds
        if outcome is None or now < due:
            return _Look(now, "in_progress")
        return _Look(now, outcome.word, due, outcome)

    def _in_progress(self) -> int:
        return sum(self._look(job).ended is None for job in self._jobs.values())

    def _busy(self) -> Exception:
        return v4_refusal(
            self._limits.busy_status,
            f"{self.kind.upper()}_JOB_LIMIT_REACHED",
            f"another {self.kind} job is in progress; the limit is {self._limits.jobs}",
        )

    def _date(self, moment: float) -> str:
        date = datetime.fromtimestamp(moment + self._calendar_offset, timezone.utc)
        return date.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _status_url(self, job: Job) -> str:
        return f"{self._base_url}/api/v4/{self.kind}/{job.id}/status"


@dataclass(frozen=True, slots=True)
class Limits:
    """How many jobs at one time, how long each takes in seconds, how one too many is answered."""

    jobs: int
    seconds: float
    busy_status: int
    clock: Callable[[], float]


@dataclass(frozen=True, slots=True)
class _Look:
    """A job at one moment; ``ended`` is None while it is in progress."""

    now: float
    word: str
    ended: float | None = None
    outcome: Outcome | None = None

    @property
    def recent(self) -> bool:
        return self.ended is not None and self.ended >= self.now - RECENT_SECONDS

    def milliseconds(self, job: Job) -> int:
        return round(1000 * ((self.now if self.ended is None else self.ended) - job.created))
