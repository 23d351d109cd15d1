"""A plugin with a step that passes each job to the test that waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.hooks.specs import hookimpl
from spark_impex_runner.testing.real_jobs import CAPTURE_STEP, CAPTURES

if TYPE_CHECKING:
    from spark_impex_runner.hooks.registry import Registry
    from spark_impex_runner.models import Artifact, Job, Step


@hookimpl
def impex_register(registry: Registry) -> None:
    """Offer the step."""
    registry.step(CAPTURE_STEP, "captures a job for a test")


@hookimpl
def impex_run_step(job: Job, step: Step) -> list[Artifact] | None:
    """Pass the job to the test, which returns when it is done with it."""
    if step.uses != CAPTURE_STEP:
        return None
    CAPTURES[str(job.run.manifest.path.parent)](job)
    return []
