"""The hooks: what a plugin may implement, when it is called, and who wins.

A run calls them in this order::

    impex_register                      once per plugin, before the manifest is validated
      impex_resolve_uri                 planning, once per selected service URI
      impex_plan_step                   impex plan only, once per step that offers dry_run
    impex_run_started
      impex_unchanged                 targets with skip_unchanged that were delivered before
      impex_run_job                     around one job; the default does what follows
        impex_job_changed               after each change, to everybody
        impex_poll_delay                before each status request
        impex_poll_verdict              after each status payload
        impex_split_job                 where its package is too large
        impex_download_path             before a download
        impex_check_download            bytes complete, file not yet named
        impex_run_step                  per step and package, in the manifest's order
    impex_run_finished

Write an implementation with ``@hookimpl`` (``from spark_impex_runner import hookimpl``) and
take only the arguments you need, without default values. Hooks may run on worker threads.
In a *first result* hook the first answer that is not None wins; plugins are asked before the
built-in default, so returning None means "not mine".
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spark_impex_runner.errors import ImpexError
    from spark_impex_runner.hooks.registry import Registry
    from spark_impex_runner.models import (
        Artifact,
        Change,
        Job,
        Poll,
        Request,
        Run,
        RunResult,
        Status,
        Step,
        Target,
        TargetResult,
        Verdict,
    )

PROJECT = "impex_runner"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True, slots=True)
class StepOutput:
    """What a step made of one package.

    Attributes:
        artifacts: The files and folders that the step made, possibly none.
        message: One line about the success, for log, reports and receipt; secrets are masked.
    """

    artifacts: Sequence[Artifact] = ()
    message: str = ""


def __getattr__(name: str) -> Any:
    if name != "Made":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn("Made is now called StepOutput", DeprecationWarning, stacklevel=2)
    return StepOutput


@hookspec
def impex_register(registry: Registry) -> None:
    """Offer steps, polling strategies, sources, resolvers, reports and notifiers by name.

    Called once per plugin, before the manifest is validated, so that the option schemas
    given here join the manifest's own.
    """


@hookspec(firstresult=True)
def impex_resolve_uri(uri: str, target: Target, run: Run) -> Sequence[str] | None:
    """Turn one entry of a target's ``services`` into service URIs.

    First result. ``uri`` is the manifest's text after references; the default takes it as it
    stands. Entries that are no service URIs are refused when the manifest is validated, unless
    ``registry.resolver`` says that they are yours. An empty answer adds nothing; raise
    ``UriError`` where that is a mistake. ``run.connect(target.connection)`` gives the tenant's
    client, with ``list_services()`` and ``list_versions(folder, service)``.
    """


@hookspec(firstresult=True)
def impex_plan_step(job: Job, step: Step) -> str | None:
    """Tell in one line what a step would do, as ``impex plan`` shows it. First result.

    Answer only when ``step.uses`` is yours; only steps registered with ``dry_run=True`` are asked
    about. Write nothing and send nothing. Raise ``StepError`` where the options cannot work.
    """


@hookspec(firstresult=True)
def impex_poll_delay(job: Job, poll: Poll) -> float | None:
    """Return the seconds to wait before the next status request, 0 or more.

    First result. Answer only when ``poll.strategy`` is yours.
    """


@hookspec(firstresult=True)
def impex_poll_verdict(job: Job, status: Status) -> Verdict | None:
    """Judge one status payload: PENDING, DONE or FAILED. First result."""


@hookspec(firstresult=True)
def impex_split_job(job: Job, error: ImpexError) -> Sequence[Request] | None:
    """Divide the request of a job whose package is too large into two or more requests.

    First result. ``error`` is how the tenant refused or ended the job, ``job.request`` is what was
    asked for: the whole request of the target, or, where ``job.part`` names one, a part that is
    still too large. Of the answer ``folders``, ``services``, ``version_ids`` and
    ``version_filter`` count. Raise ``JobError`` where the request cannot be divided, with the
    reason; where nobody answers, ``error`` stands.
    """


@hookspec(firstresult=True)
def impex_download_path(job: Job, artifact: Artifact) -> str | None:
    """Return where a package goes, relative to the target's output. First result.

    ``artifact.name`` is the default: the file name that the tenant's URL ends with, and for a
    part of a request that was divided its name, too: ``package-2.zip``.
    """


@hookspec
def impex_check_download(job: Job, artifact: Artifact) -> None:
    """Check a complete download; raise ``IntegrityError`` to refuse it.

    All are called. ``artifact.path`` is the partial file: it gets its name only when every
    check is content.
    """


@hookspec(firstresult=True)
def impex_run_step(
    job: Job, step: Step, artifact: Artifact
) -> Sequence[Artifact] | StepOutput | None:
    """Run one step for one package; return the artifacts it made, possibly none.

    First result: answer only when ``step.uses`` is yours. Raise ``StepError`` to fail. A step
    that has a line to tell about its success returns ``StepOutput(artifacts, message)``. Write only
    below ``job.target.output`` and where the step's own options point. ``job.artifacts`` holds
    everything so far. Called once per downloaded package; keep no state between calls.
    """


@hookspec(firstresult=True)
def impex_unchanged(job: Job) -> str | None:
    """Say in one line why nothing is to be done for a job; None where it is to be done.

    First result. Asked for a target with ``skip_unchanged``, by a run before the job waits for
    the tenant's slot, and by ``impex plan``: ask the tenant, but change nothing. ``job.last`` is
    what the same request, with the same steps, delivered last, and what still lies there. Return
    None on any doubt, and log a warning that tells of it.
    """


@hookspec(firstresult=True)
def impex_run_job(job: Job) -> TargetResult | None:
    """Do one whole job: create, wait, download, step. First result.

    Meant for wrappers (``@hookimpl(wrapper=True)``), which see every job's beginning and end. Both
    halves of a wrapper, and all steps of the target, run on one thread: context variables,
    thread-locals and spans of the wrapper hold in them. Where a wrapper fails after the delivery,
    the target fails, and what was delivered stays in its result. A plain implementation that
    answers takes the place of the job.
    """


@hookspec
def impex_job_changed(job: Job, change: Change) -> None:
    """Hear of a change after it is certain. All are called; an error here is only logged."""


@hookspec
def impex_run_started(run: Run) -> None:
    """Hear that the plan is known and work begins. All are called; an error is only logged."""


@hookspec
def impex_run_finished(run: Run, report: RunResult) -> None:
    """Hear how the run ended. All are called; an error here is only logged."""
