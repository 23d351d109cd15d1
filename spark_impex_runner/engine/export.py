"""One export from its intent to its packages: that of a whole target, or of a part of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from spark_impex_runner.engine import compare
from spark_impex_runner.engine.attempt import differing, still_holds
from spark_impex_runner.engine.fetch import Fetch
from spark_impex_runner.errors import (
    HeldError,
    ImpexError,
    IntegrityError,
    Interrupted,
    JobError,
    MissingError,
    RetryTimeoutError,
    SparkError,
)
from spark_impex_runner.models import Outcome

if TYPE_CHECKING:
    from spark_impex_runner.engine.course import Course, Gate, Permits
    from spark_impex_runner.engine.remote import Remote
    from spark_impex_runner.engine.tenants import Lane
    from spark_impex_runner.models import Artifact, Job, Request, ServiceVersion, Status
    from spark_impex_runner.state.store import Attempt

# The tenant's last word on a job: the next run asks anew instead of going on.
FINAL = (JobError, IntegrityError, MissingError)


@dataclass(frozen=True, slots=True)
class Way:
    """The gates before a job, and those that it is inside of."""

    lane: Lane
    stepping: Gate
    permits: Permits


@dataclass(frozen=True, slots=True)
class Delivered:
    """What one export brought, or several together, and what the tenant says is in it."""

    artifacts: tuple[Artifact, ...] = ()
    services: tuple[ServiceVersion, ...] = ()
    versions: tuple[ServiceVersion, ...] = ()


@dataclass
class Export:
    """One job as it goes; ``delivered`` is as far as it came, even on failure.

    The tenant's slot goes to the next job as soon as the server has finished with this one.
    """

    remote: Remote
    way: Way
    delivered: Delivered = field(default_factory=Delivered)

    @property
    def job(self) -> Job:
        """The job as far as it has come."""
        return self.remote.job

    @property
    def attempt(self) -> Attempt:
        """The attempt that it works on."""
        return self.remote.opening.attempt

    def run(self) -> Course[None]:
        """Create, wait, compare, download: whatever of it is left to do."""
        if self.reuse():
            return
        lane, permits, context = self.way.lane, self.way.permits, self.remote.context
        yield from permits.enter(lane.slots)
        context.clock.check()
        lane.learn(self.remote.spark)
        status = yield from self.remote.run()
        self.delivered = Delivered((), status.services, status.service_versions)
        check_missing(self.job.request, status, self.remote)
        yield from permits.move(lane.arrivals, out_of=lane.slots)
        fetch = Fetch(self.job, self.remote.spark, context, lane.downloads)
        artifacts = yield from fetch.run(status)
        self.delivered = replace(self.delivered, artifacts=artifacts)
        note(self.delivered, self.remote)

    def reuse(self) -> bool:
        """Take over packages that an earlier run delivered and that still hold."""
        state, attempt = self.remote.context.state, self.attempt
        packages = tuple(each for each in state.artifacts(attempt) if each.is_package)
        if not attempt.delivered or not packages or not still_holds(self.job, packages):
            if attempt.held:
                raise HeldError(
                    f"the packages in {self.job.target.output} are not those that wait for "
                    f"--approve {attempt.held}; put them back, or export anew with --fresh "
                    f"({differing(self.job, packages)})",
                    attempt.held,
                    digests=[each.sha256 for each in packages],
                )
            return False
        self.delivered = Delivered(packages, attempt.services, attempt.service_versions)
        told = "the packages are here already, from an earlier run"
        self.remote.context.changed(self.job, "package.reused", told)
        return True


def check_missing(request: Request, said: Status, remote: Remote) -> None:
    """Hold a request against what was delivered for it, as ``missing`` says."""
    if compare.silent(said):
        remote.warnings.append("the tenant did not say which services it delivered")
        return
    lost = compare.missing(request, said)
    if not lost:
        return
    told = f"asked for but not delivered: {', '.join(lost)}"
    if remote.job.target.missing == "fail":
        raise MissingError(told)
    remote.warnings.append(told)


def note(delivered: Delivered, remote: Remote) -> None:
    """Remember a delivery: the next run of the same attempt does not repeat it."""
    said = (delivered.services, delivered.versions)
    remote.context.state.note_delivered(remote.opening.attempt, delivered.artifacts, said)


def is_final(error: ImpexError | None, remote: Remote) -> bool:
    """Tell whether a failure leaves nothing to resume."""
    return has_no_job(error, remote) or isinstance(error, FINAL)


def has_no_job(error: ImpexError | None, remote: Remote) -> bool:
    """Tell whether an attempt failed before any request of it can have created a job."""
    failed = isinstance(error, (SparkError, Interrupted))
    return failed and not remote.job.id and not remote.unclear


def outcome(error: ImpexError | None) -> Outcome:
    """Return the word for how a job ended."""
    if error is None:
        return Outcome.SUCCEEDED
    if isinstance(error, RetryTimeoutError):
        return Outcome.TIMED_OUT
    if isinstance(error, HeldError):
        return Outcome.HELD
    return Outcome.CANCELLED if isinstance(error, Interrupted) else Outcome.FAILED
