"""The hooks that a plugin may implement: when the runner calls them, and whose answer counts.

A run calls them in this order::

    impex_register                      once per plugin, before the manifest is validated
      impex_resolve_uri                 planning, once per selected service URI
      impex_plan_step                   impex plan only, once per step that offers dry_run
    impex_run_started
      impex_unchanged                 targets with skip_unchanged that were delivered before
      impex_run_job                     around one job; the default does what follows
        impex_job_changed               after each change, all plugins
        impex_poll_delay                before each status request
        impex_poll_verdict              after each status payload
        impex_split_job                 where its package is too large
        impex_download_path             before a download
        impex_check_download            download complete, file not yet at its final name
        impex_run_step                  per step and package, in the manifest's order
    impex_run_finished

Write an implementation with ``@hookimpl`` (``from spark_impex_runner import hookimpl``) and
take only the arguments that you need, without default values. Hooks may run on worker threads.
In a *first result* hook the first answer that is not None wins. Plugins are called before the
built-in default, so return None for anything that is not yours.
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
        Imported,
        Job,
        PlannedStep,
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
    """The result of a step for one package.

    Attributes:
        artifacts: The files and folders that the step created, possibly none.
        message: One line about the success, for log, reports and receipt; secrets are masked.
        imports: The packages that the step has imported to a tenant, for the signed records.
    """

    artifacts: Sequence[Artifact] = ()
    message: str = ""
    imports: Sequence[Imported] = ()


def __getattr__(name: str) -> Any:
    if name != "Made":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn("Made is now called StepOutput", DeprecationWarning, stacklevel=2)
    return StepOutput


@hookspec
def impex_register(registry: Registry) -> None:
    """Offer steps, polling strategies, sources, resolvers, reports and notifiers by name.

    Called once per plugin, before the manifest is validated: the option schemas become part of the
    manifest's schema.
    """


@hookspec(firstresult=True)
def impex_resolve_uri(uri: str, target: Target, run: Run) -> Sequence[str] | None:
    """Turn one entry of a target's ``services`` into service URIs.

    First result. ``uri`` is the manifest's text with references replaced; the default returns it
    unchanged. Validation refuses entries that are no service URIs, unless your
    ``registry.resolver`` accepts them. An empty answer adds nothing; raise ``UriError`` if that is
    an error. ``run.connect(target.connection)`` returns the tenant's client, with
    ``list_services()`` and ``list_versions(folder, service)``.
    """


@hookspec(firstresult=True)
def impex_plan_step(job: Job, step: Step) -> str | PlannedStep | None:
    """Return one line that describes what a step would do, for ``impex plan``. First result.

    Answer only when ``step.uses`` is yours; called only for steps registered with
    ``dry_run=True``. Return a ``PlannedStep`` to add forecasts of services. Write
    nothing, and send nothing but questions: a tenant that does not answer is said in the line, and
    is no error. ``job.artifacts`` are what an earlier run has delivered, if a run would resume
    that. Raise ``StepError`` if the options cannot work.
    """


@hookspec(firstresult=True)
def impex_poll_delay(job: Job, poll: Poll) -> float | None:
    """Return the seconds to wait before the next status request, 0 or more.

    First result. Answer only when ``poll.strategy`` is yours.
    """


@hookspec(firstresult=True)
def impex_poll_verdict(job: Job, status: Status) -> Verdict | None:
    """Return the verdict on one status reply: PENDING, DONE or FAILED. First result."""


@hookspec(firstresult=True)
def impex_split_job(job: Job, error: ImpexError) -> Sequence[Request] | None:
    """Split the request of a job whose package is too large into two or more requests.

    First result. ``error`` is the tenant's error, ``job.request`` the request that failed: that of
    the target or, if ``job.part`` is set, a part that is still too large. Of the answer, the fields
    ``folders``, ``services``, ``version_ids`` and ``version_filter`` are used. Raise ``JobError``
    with the reason if the request cannot be split; without an answer, the target fails with
    ``error``.
    """


@hookspec(firstresult=True)
def impex_download_path(job: Job, artifact: Artifact) -> str | None:
    """Return the path of a package, relative to the target's output. First result.

    ``artifact.name`` is the default: the file name at the end of the tenant's URL, with the part's
    name if the request was split: ``package-2.zip``.
    """


@hookspec
def impex_check_download(job: Job, artifact: Artifact) -> None:
    """Check a complete download; raise ``IntegrityError`` to refuse it.

    All are called. ``artifact.path`` is the partial file: it gets its final name only after all
    checks have passed.
    """


@hookspec(firstresult=True)
def impex_run_step(
    job: Job, step: Step, artifact: Artifact
) -> Sequence[Artifact] | StepOutput | None:
    """Run one step for one package; return the artifacts that it created, possibly none.

    First result: answer only when ``step.uses`` is yours. Raise ``StepError`` to fail. Return
    ``StepOutput(artifacts, message)`` to add a line to log and reports. Write only below
    ``job.target.output`` and to the paths of the step's own options. ``job.artifacts`` holds all
    artifacts so far. Called once per downloaded package; keep no state between calls.
    """


@hookspec(firstresult=True)
def impex_unchanged(job: Job) -> str | None:
    """Return one line that says why a job can be skipped; None if it must run.

    First result. Called for a target with ``skip_unchanged``, by a run before the job waits for one
    of the tenant's slots, and by ``impex plan``: you may read from the tenant, but change nothing.
    ``job.last`` is the last delivery of the same request with the same steps, with the files that
    still exist. In case of doubt, return None and log a warning.
    """


@hookspec(firstresult=True)
def impex_run_job(job: Job) -> TargetResult | None:
    """Run a whole job: create, wait, download, steps. First result.

    Meant for wrappers (``@hookimpl(wrapper=True)``) that act before and after each job. Both halves
    of a wrapper, and all steps of the target, run on one thread: context variables, thread-locals
    and spans that the wrapper sets are valid in the steps. If a wrapper fails after the delivery,
    the target fails, and its result keeps what was delivered. A plain implementation that answers
    replaces the job.
    """


@hookspec
def impex_job_changed(job: Job, change: Change) -> None:
    """Observe a change after it happened. All are called; an error is only logged."""


@hookspec
def impex_run_started(run: Run) -> None:
    """Observe the start of a run, with its plan. All are called; an error is only logged."""


@hookspec
def impex_run_finished(run: Run, report: RunResult) -> None:
    """Observe the end of a run, with its result. All are called; an error is only logged."""
