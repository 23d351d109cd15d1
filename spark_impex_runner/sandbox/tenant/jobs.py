"""Export and import jobs, and the JSON of their status."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from spark_impex_runner.sandbox.http.messages import v4_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from spark_impex_runner.sandbox.http.messages import Request

RECENT_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ends: its status, its outputs (computed for each reply) and its errors."""

    status: str
    outputs: Callable[[], Any]
    errors: Any = None


@dataclass(slots=True)
class Job:
    """One job. ``outcome`` is None until its work is done; times are the clock's."""

    created: float
    source_system: str | None
    correlation_id: str | None
    user: str = ""
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    outcome: Outcome | None = None
    cancelled: float | None = None


class Jobs:
    """All jobs of one kind (``export`` or ``import``) on one tenant."""

    def __init__(
        self, kind: str, base_url: str, limits: Limits, user_of: Callable[[Request], str]
    ) -> None:
        self.kind = kind
        self._user_of = user_of
        self._base_url = base_url
        self._limits = limits
        self._calendar_offset = time.time() - limits.clock()
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    def run(self, request: Request, body: dict[str, Any], work: Callable[[Job], Outcome]) -> Job:
        """Create a job with the tags in ``body``, and do its work at once.

        The job is in progress until its work and its seconds are over. Raises the HTTP error for
        too many jobs in progress. If the work raises, the job is removed.
        """
        tags = body.get("source_system"), body.get("correlation_id")
        job = Job(self._limits.clock(), *tags, self._user_of(request))
        with self._lock:
            if self._in_progress() >= self._limits.jobs:
                raise self._busy()
            self._jobs[job.id] = job
        # Outside of the lock: packing takes long, and status requests must be answered meanwhile.
        try:
            job.outcome = work(job)
        except BaseException:
            with self._lock:
                del self._jobs[job.id]
            raise
        return job

    def __len__(self) -> int:
        """Return how many jobs were created."""
        with self._lock:
            return len(self._jobs)

    def get(self, job_id: str) -> Job:
        """Return a job; raise 500 for an unknown id, as documented for imports."""
        with self._lock:
            job = self._jobs.get(job_id)
        if job is None:
            raise v4_error(500, "INVALID_JOB_ID", "Please Provide valid job id")
        return job

    def cancel(self, job: Job) -> None:
        """Cancel a job that is in progress; one that has ended keeps its status (assumed)."""
        snapshot = self._snapshot(job)
        if snapshot.ended is None:
            job.cancelled = snapshot.now

    def created(self, job: Job) -> dict[str, Any]:
        """Return the reply to the request that created the job (documented)."""
        return {"object": self.kind, "id": job.id, "status_url": self._status_url(job)}

    def status(self, job: Job) -> dict[str, Any]:
        """Return the status of one job; ``process_time`` is in milliseconds (assumed)."""
        snapshot = self._snapshot(job)
        return {
            "object": self.kind,
            "id": job.id,
            "response_timestamp": self._date(snapshot.now),
            "status": snapshot.status,
            "status_url": self._status_url(job),
            "process_time": snapshot.milliseconds(job),
            "outputs": snapshot.outcome.outputs() if snapshot.outcome else None,
            "errors": snapshot.outcome.errors if snapshot.outcome else None,
            "warnings": [],
            "source_system": job.source_system,
            "correlation_id": job.correlation_id,
        }

    def describe(self, request: Request) -> dict[str, Any]:
        """Return the jobs in progress and those that ended within the last hour (documented).

        With ``hide_jobs`` these are the user's own (documented); the count is that of all users
        (inferred).
        """
        with self._lock:
            looks = [(job, self._snapshot(job)) for job in self._jobs.values()]
        in_progress = sum(snapshot.ended is None for _, snapshot in looks)
        if self._limits.hide_jobs:
            user = self._user_of(request)
            looks = [(job, snapshot) for job, snapshot in looks if job.user == user]
        running = [self._entry(job, snapshot) for job, snapshot in looks if snapshot.ended is None]
        recent = [self._entry(job, snapshot) for job, snapshot in looks if snapshot.recent]
        return {
            f"in_progress_{self.kind}s": running,
            f"recent_{self.kind}s": recent,
            "tenant": {
                "configuration": {f"{self.kind}_api_job_limit": self._limits.jobs},
                "status": {f"{self.kind}_api_jobs_in_progress": in_progress},
            },
        }

    def _entry(self, job: Job, snapshot: _Snapshot) -> dict[str, Any]:
        data = {
            f"{self.kind}_status": snapshot.status,
            "response_timestamp": self._date(snapshot.now),
            "created_by": f"{job.user}@sandbox.invalid",
            "created_timestamp": self._date(job.created),
            "updated_timestamp": self._date(
                snapshot.now if snapshot.ended is None else snapshot.ended
            ),
            "process_time": snapshot.milliseconds(job),
        }
        if self._limits.listed_labels:
            data["correlation_id"] = job.correlation_id
            data["source_system"] = job.source_system
        return {"object": self.kind, "id": job.id, "data": data}

    def _snapshot(self, job: Job) -> _Snapshot:
        # One reading of the clock for the whole reply: a job that ended between two readings
        # would be reported as closed, but without outputs.
        now, cancelled, outcome = self._limits.clock(), job.cancelled, job.outcome
        if cancelled is not None:
            return _Snapshot(now, "cancelled", cancelled)
        due = job.created + self._limits.seconds
        if outcome is None or now < due:
            return _Snapshot(now, "in_progress")
        return _Snapshot(now, outcome.status, due, outcome)

    def _in_progress(self) -> int:
        return sum(self._snapshot(job).ended is None for job in self._jobs.values())

    def _busy(self) -> Exception:
        return v4_error(
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
    """How many jobs at one time, how long each takes in seconds, how one too many is answered.

    ``hide_jobs`` and ``listed_labels`` are those of the sandbox's settings.
    """

    jobs: int
    seconds: float
    busy_status: int
    clock: Callable[[], float]
    hide_jobs: bool = False
    listed_labels: bool = False


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """A job at one moment; ``ended`` is None while it is in progress."""

    now: float
    status: str
    ended: float | None = None
    outcome: Outcome | None = None

    @property
    def recent(self) -> bool:
        return self.ended is not None and self.ended >= self.now - RECENT_SECONDS

    def milliseconds(self, job: Job) -> int:
        return round(1000 * ((self.now if self.ended is None else self.ended) - job.created))
