"""The results of runs, targets and steps, and the exit code."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from spark_impex_runner.models.manifest import Manifest, Target
    from spark_impex_runner.models.wire import Request, ServiceVersion
    from spark_impex_runner.models.work import Approval, Artifact


class Outcome(str, Enum):
    """The outcome of a target.

    ``unchanged``: an earlier delivery still equals what the tenant has. ``held``: it waits for an
    approval. ``skipped``: a target that it needs did not succeed.
    """

    SUCCEEDED = "succeeded"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    HELD = "held"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"

    @property
    def good(self) -> bool:
        """True if everything that was requested is delivered."""
        return self in {Outcome.SUCCEEDED, Outcome.UNCHANGED}


@dataclass(frozen=True, slots=True)
class StepResult:
    """The result of one step.

    Attributes:
        uses: The name of the step.
        outcome: ``succeeded``, ``warned`` (a failure with ``on_failure: warn``), ``failed`` or
            ``held``.
        seconds: How long it took, in seconds.
        message: One line: the error, or what the step reports about its success.
        artifacts: The names of what it made, relative to the target's output.
        started: When it began, in UTC; None for a step that an earlier run completed.
    """

    uses: str
    outcome: str
    seconds: float
    message: str = ""
    artifacts: tuple[str, ...] = ()
    started: datetime | None = None


@dataclass(frozen=True, slots=True)
class PhaseTime:
    """When a target was in one phase.

    Attributes:
        name: ``queued`` (for a slot of its tenant), ``creating`` (the job), ``running`` (the job,
            on the tenant), ``downloading`` or ``steps``.
        started: When the phase began, in UTC.
        finished: When it ended, in UTC; never before ``started``.
        job_id: The job that it belongs to; empty if there was none.
    """

    name: str
    started: datetime
    finished: datetime
    job_id: str = ""


@dataclass(frozen=True, slots=True)
class HttpCall:
    """One HTTP request and its reply; see ``Notifier.http_calls``.

    Attributes:
        method: The method: ``GET``, ``POST`` …
        url: Scheme, host and port, and the path if that cannot hold a secret, as that of a download
            link does. Never the query.
        started: When it began, in UTC.
        seconds: How long it took, until the last byte of the reply, in seconds.
        status: The HTTP status of the reply; 0 without one.
        error: One line: why there was no complete reply; empty if there was one.
    """

    method: str
    url: str
    started: datetime
    seconds: float
    status: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class TargetResult:
    """The result of one target, with all that an audit needs.

    Attributes:
        target: The target.
        outcome: The outcome.
        started: When work on it began, in UTC.
        finished: When work on it ended, in UTC.
        tenant: The tenant's base URL; empty if it was never known.
        job_id: The id of the job, the first one if the request was split.
        request: The request, with patterns resolved.
        services: The services that the tenant reported as delivered.
        service_versions: The versions that the tenant reported as delivered.
        artifacts: The packages, and what steps made.
        steps: The results of the steps, in their order.
        warnings: Problems that did not fail the target, one line each.
        error: One line: the error, or why nothing was done; empty after a delivery.
        exit_code: The exit code of that error; 0 without one.
        job_ids: The ids of all jobs that made its packages.
        approve: The name to approve (``--approve``) for a target that is held.
        digests: The SHA-256 of the packages that wait for the approval.
        approved: The approvals that this run was given, each as ``NAME@SHA256``.
        approvals: All approvals by which its packages went on, also in earlier runs.
        started_by: The name of the person or CI user who started the export; empty if unknown.
        phases: Its phases, in the order in which they began; those of parts one after the other.
        host: The machine on which its output is, if this one does not see it there; else empty.
        http_calls: The newest 1,000 HTTP calls, in the order in which they began; empty unless a
            notifier of the manifest asks for them.
        http_calls_omitted: The number of earlier ones.
    """

    target: Target
    outcome: Outcome
    started: datetime
    finished: datetime
    tenant: str = ""
    job_id: str = ""
    request: Request | None = None
    services: tuple[ServiceVersion, ...] = ()
    service_versions: tuple[ServiceVersion, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    steps: tuple[StepResult, ...] = ()
    warnings: tuple[str, ...] = ()
    error: str = ""
    exit_code: int = 0
    job_ids: tuple[str, ...] = ()
    approve: str = ""
    digests: tuple[str, ...] = ()
    approved: tuple[str, ...] = ()
    approvals: tuple[Approval, ...] = ()
    started_by: str = ""
    phases: tuple[PhaseTime, ...] = ()
    host: str = ""
    http_calls: tuple[HttpCall, ...] = ()
    http_calls_omitted: int = 0

    @property
    def good(self) -> bool:
        """True if everything that was requested is delivered."""
        return self.outcome.good


@dataclass(frozen=True, slots=True)
class RunResult:
    """A finished run: what ``run_manifest`` returns and every report reads.

    Attributes:
        run_id: The id of the run.
        manifest: The manifest that was run.
        started: When the run began, in UTC.
        finished: When the run ended, in UTC.
        results: The results of the selected targets; empty if the run could not begin.
        runner_version: The version of the runner.
        signal: The number of the signal that interrupted the run; 0 without one.
        problems: Problems outside of all targets, such as a report that was not written.
        refusal: The error that kept the run from beginning, one line; else empty.
        refused_with: The exit code of that error.
        command: The command line that repeats the run, without targets and approvals; empty if the
            run could not begin.
        http_calls: The newest 1,000 HTTP calls of the planning, as in ``TargetResult``.
        http_calls_omitted: The number of earlier ones.
    """

    run_id: str
    manifest: Manifest
    started: datetime
    finished: datetime
    results: tuple[TargetResult, ...]
    runner_version: str
    signal: int = 0
    problems: tuple[str, ...] = ()
    refusal: str = ""
    refused_with: int = 0
    command: str = ""
    http_calls: tuple[HttpCall, ...] = ()
    http_calls_omitted: int = 0

    @property
    def exit_code(self) -> int:
        """The process exit code of this run alone."""
        return self.refused_with or exit_code([self])


def exit_code(runs: Sequence[RunResult]) -> int:
    """Return the process exit code of one or more runs; the most specific code wins.

    The order: a signal, a bug (1), a timeout (5), some (3) or no targets (4) succeeded. It is 6 if
    credentials were the only cause and nothing succeeded, 9 if targets are held and all is well
    otherwise.
    """
    results = [result for run in runs for result in run.results]
    bad = [result for result in results if not result.good]
    causes = {result.exit_code for result in bad if result.outcome is not Outcome.SKIPPED}
    if signals := [run.signal for run in runs if run.signal]:
        return 128 + signals[0]
    for specific in (1, 5):
        if specific in causes:
            return specific
    problems = any(run.problems for run in runs)
    if causes == {9} and not problems:
        return 9
    if bad:
        return 3 if len(bad) < len(results) else 6 if causes - {9} == {6} else 4
    return 4 if problems else 0
