"""The progress of one target: the one record that its stages write."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import HeldError, ImpexError, Interrupted, RetryTimeoutError
from spark_impex_runner.models import Outcome, PhaseTime, TargetResult

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from spark_impex_runner.delivery.attempt import OpenedAttempt
    from spark_impex_runner.delivery.context import Context
    from spark_impex_runner.models import (
        Approval,
        Artifact,
        Job,
        ServiceVersion,
        Status,
        StepResult,
    )
    from spark_impex_runner.state.models import Attempt


class Phase(Enum):
    """What a target is doing."""

    STARTING = "starting"
    QUEUED = "queued"
    CREATING = "creating"
    RUNNING = "running"
    DOWNLOADING = "downloading"
    STEPS = "steps"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class DeliveredPackages:
    """The packages of one or several exports, and what the tenant says they contain."""

    artifacts: tuple[Artifact, ...] = ()
    services: tuple[ServiceVersion, ...] = ()
    versions: tuple[ServiceVersion, ...] = ()

    @classmethod
    def merged(cls, delivered: Sequence[DeliveredPackages]) -> DeliveredPackages:
        """Return the packages of several exports, with each service and version once."""
        return cls(
            tuple(chain.from_iterable(each.artifacts for each in delivered)),
            tuple(dict.fromkeys(chain.from_iterable(each.services for each in delivered))),
            tuple(dict.fromkeys(chain.from_iterable(each.versions for each in delivered))),
        )


@dataclass
class TargetProgress:
    """One target, or one part of a split request, as far as it has come.

    Only the thread that delivers the target writes it; any thread may read it. ``may_have_job``:
    the tenant may have a job whose id is unknown. ``attempts`` counts the create calls, status
    checks or runs of a step in this ``phase``, which began at ``since`` (of ``Clock.monotonic``),
    ``began`` by the wall clock; ``phases`` are those that have ended. ``usual``: the seconds that
    such a job usually runs, 0 if unknown. ``busy``: the tenant is, with a
    job of ``blocker``, if known. ``files``: the
    partial files of the download, with their final sizes, 0 while unknown. ``abandoned``: the run
    has ended without it. ``failure`` is the error of the last ``result``; ``ended`` is the result
    once it is known.
    """

    job: Job
    context: Context
    opened: Attempt | None = None
    adopted: bool = False
    may_have_job: bool = False
    cancelled: bool = False
    opened_at: float = 0.0
    delivered: DeliveredPackages = field(default_factory=DeliveredPackages)
    parts: dict[str, TargetProgress] = field(default_factory=dict)
    steps: list[StepResult] = field(default_factory=list)
    approvals: list[str] = field(default_factory=list)
    used: tuple[Approval, ...] = ()
    warnings: list[str] = field(default_factory=list)
    phase: Phase = Phase.STARTING
    since: float = 0.0
    began: datetime | None = None
    phases: list[PhaseTime] = field(default_factory=list)
    attempts: int = 0
    step: str = ""
    usual: float = 0.0
    busy: bool = False
    blocker: str = ""
    files: dict[Path, int] = field(default_factory=dict)
    abandoned: bool = False
    failure: ImpexError | None = None
    ended: TargetResult | None = None

    @property
    def attempt(self) -> Attempt:
        """The open attempt."""
        if self.opened is None:
            raise RuntimeError("no attempt was opened")
        return self.opened

    def open(self, opened: OpenedAttempt) -> None:
        """Set the attempt to work on."""
        # A resumed attempt without a job id may have a job whose create reply was lost.
        self.adopted = self.may_have_job = opened.adopted
        self.opened_at = self.context.clock.monotonic()
        if opened.warning:
            self.warnings.append(opened.warning)
        self.record_attempt(opened.attempt)
        self.used = self.context.state.holds.used(opened.attempt)

    def record_attempt(self, attempt: Attempt) -> Job:
        """Store an attempt's correlation id and job id in the job, and return the job."""
        self.opened = attempt
        request = replace(self.job.request, correlation_id=attempt.correlation_id)
        self.job = replace(self.job, id=attempt.job_id, request=request)
        return self.job

    def record_status(self, status: Status) -> Job:
        """Store the final status in the job, and return the job."""
        self.job = replace(self.job, status=status)
        self.delivered = DeliveredPackages((), status.services, status.service_versions)
        return self.job

    def record_packages(self, delivered: DeliveredPackages) -> None:
        """Store the packages that are in the output folder."""
        self.delivered = delivered
        self.job = replace(self.job, artifacts=delivered.artifacts)

    def merge_parts(self) -> None:
        """Store what the parts of a split request have delivered so far."""
        parts = list(self.parts.values())
        if not parts:
            return
        # Packages that an earlier run delivered are recorded for the whole target already.
        if not self.delivered.artifacts:
            self.delivered = DeliveredPackages.merged([each.delivered for each in parts])
        ids = tuple(each.job.id for each in parts if each.job.id)
        artifacts = self.delivered.artifacts
        self.job = replace(self.job, id=next(iter(ids), ""), parts=ids, artifacts=artifacts)

    def enter_queue(self, began: datetime, since: float) -> None:
        """Record that the target has been waiting for its limits since then."""
        self.enter(Phase.QUEUED)
        self.began, self.since = began, since

    def enter(self, phase: Phase, step: str = "") -> None:
        """Begin a phase, or the next step in the phase of the steps."""
        if phase is not self.phase:
            self.phases, self.began = self.phases_until_now(), self.context.clock.now()
        self.phase, self.step, self.attempts, self.busy, self.blocker = phase, step, 0, False, ""
        self.since = self.context.clock.monotonic()

    def phases_until_now(self) -> list[PhaseTime]:
        """Return the phases so far; the current one, if any, ends now."""
        if self.began is None or self.phase in (Phase.STARTING, Phase.ENDED):
            return self.phases
        finished = max(self.began, self.context.clock.now())
        current = PhaseTime(self.phase.value, self.began, finished, self.job.id)
        return [*self.phases, current]

    def transferred(self) -> tuple[int, int]:
        """Return how many bytes are downloaded, and of how many; 0 if a size is not known yet."""
        files = self.files.copy()
        received = sum(_size(path, size) for path, size in files.items())
        return received, sum(files.values()) if all(files.values()) else 0

    def changed(self, event: str, message: str, **detail: Any) -> None:
        """Log an event of the job and call the observers."""
        self.context.changed(self.job, event, message, **detail)

    def check(self) -> None:
        """Raise if nothing more may be done for the target.

        ``Interrupted`` if the run has ended without it, ``StateError`` if another runner took it.
        """
        if self.abandoned:
            raise Interrupted(self.context.clock.signum)
        self.context.state.storage.check()

    def result(self, error: ImpexError | None = None) -> TargetResult:
        """Return the result of the target, as far as it has come."""
        # Errors and warnings may quote a server or a plugin.
        mask, job, self.failure = self.context.masker.mask, self.job, error
        phases = chain(
            self.phases_until_now(), *(part.phases_until_now() for part in self.parts.values())
        )
        return TargetResult(
            target=job.target,
            outcome=outcome_of(error),
            started=job.started,
            finished=self.context.clock.now(),
            tenant=job.tenant,
            job_id=job.id,
            request=job.request,
            services=self.delivered.services,
            service_versions=self.delivered.versions,
            artifacts=job.artifacts,
            steps=tuple(self.steps),
            warnings=tuple(map(mask, self.warnings)),
            error=mask(str(error)) if error else "",
            exit_code=error.exit_code if error else 0,
            job_ids=job.parts,
            approve=error.approve if isinstance(error, HeldError) else "",
            digests=error.digests if isinstance(error, HeldError) else (),
            approved=tuple(self.approvals),
            approvals=self.used,
            started_by=self.opened.started_by if self.opened else "",
            phases=tuple(sorted(phases, key=attrgetter("started"))),
        )


def _size(partial: Path, size: int) -> int:
    """Return the bytes in a partial file; ``size`` if it has got its final name."""
    try:
        return partial.stat().st_size
    except OSError:
        return size


def outcome_of(error: ImpexError | None) -> Outcome:
    """Return the outcome of a target that ended with an error, or without one."""
    if error is None:
        return Outcome.SUCCEEDED
    if isinstance(error, RetryTimeoutError):
        return Outcome.TIMED_OUT
    if isinstance(error, HeldError):
        return Outcome.HELD
    return Outcome.CANCELLED if isinstance(error, Interrupted) else Outcome.FAILED
