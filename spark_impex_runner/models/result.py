"""How it ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from spark_impex_runner.models.manifest import Manifest, Target
    from spark_impex_runner.models.wire import Request, ServiceVersion
    from spark_impex_runner.models.work import Artifact


class Outcome(str, Enum):
    """How a target ended."""

    SUCCEEDED = "succeeded"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    HELD = "held"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class StepResult:
    """How one step ended: ``outcome`` is succeeded, warned (on_failure: warn), failed or held.

    ``message`` is what went wrong, or what a step that succeeded has to tell.
    """

    uses: str
    outcome: str
    seconds: float
    message: str = ""
    artifacts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TargetResult:
    """How one target ended, with all that an auditor asks for.

    ``error`` is the one-line message of what went wrong (``exit_code`` is that error's own), or
    why nothing was to be done; it is empty where the target was delivered. ``job_ids`` are the
    jobs that made its packages, ``job_id`` the first, where the request had to be divided.
    ``approve`` is the name that lets a held target go on, ``digests`` are the SHA-256 of the
    packages that wait. ``approved`` are those that this run was given an approval for, each as
    ``NAME@SHA256``.
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

    @property
    def good(self) -> bool:
        """Whether the target holds what was asked for."""
        return self.outcome in (Outcome.SUCCEEDED, Outcome.UNCHANGED)


@dataclass(frozen=True, slots=True)
class RunResult:
    """A finished run: what ``run_manifest`` returns and every report is a reader of.

    ``problems`` are those of no target, such as a report that could not be written. A run that
    could not begin has no results but a ``refusal``, the error, and that error's exit code.
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

    @property
    def exit_code(self) -> int:
        """The process exit code of this run alone."""
        return self.refused_with or exit_code([self])


def exit_code(runs: Sequence[RunResult]) -> int:
    """Return the process exit code of one or more runs; the most specific answer wins.

    Signal, then a bug, then a passed deadline, then some/none succeeded; a refusal is told as 6
    where nothing succeeded and nothing else was wrong, a target that is held as 9 where nothing
    was wrong at all.
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
