"""A plugin in one file: its step hands each job to the test that waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.hooks.specs import hookimpl
from spark_impex_runner.testing.live_jobs import HELD, HOLDERS

if TYPE_CHECKING:
    from spark_impex_runner.hooks.registry import Registry
    from spark_impex_runner.models import Artifact, Job, Step


@hookimpl
def impex_register(registry: Registry) -> None:
    """Offer the step."""
    registry.step(HELD, "holds a job for a test")


@hookimpl
def impex_run_step(job: Job, step: Step) -> list[Artifact] | None:
    """Hand the job over; the holder returns when the test is done with it."""
    if step.uses != HELD:
        return None
    HOLDERS[str(job.run.manifest.path.parent)](job)
    return []
