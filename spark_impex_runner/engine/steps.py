"""The steps of one target, in the manifest's order, once per package."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from spark_impex_runner.errors import ImpexError, Interrupted, PluginError, StepError
from spark_impex_runner.models import Artifact, StepResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spark_impex_runner.engine.context import Context
    from spark_impex_runner.models import Job, Step


@dataclass
class Steps:
    """The steps of one job as they go: the job grows by what each step makes."""

    job: Job
    context: Context
    results: list[StepResult] = field(default_factory=list)

    def run(self) -> None:
        """Run all steps; raise ``StepError`` at the first that fails and may not."""
        for step in self.job.target.steps:
            self._run_one(step)

    def _run_one(self, step: Step) -> None:
        began = self.context.clock.monotonic()
        try:
            made = self._attempt(step)
        except Interrupted:
            raise
        except ImpexError as error:
            outcome = "warned" if step.on_failure == "warn" else "failed"
            self._record(StepResult(step.uses, outcome, self._since(began), str(error)))
            if outcome == "failed":
                raise StepError(f"step {step.uses}: {error}") from error
        else:
            names = tuple(artifact.name for artifact in made)
            seconds = self._since(began)
            self._record(StepResult(step.uses, "succeeded", seconds, artifacts=names))

    def _attempt(self, step: Step) -> list[Artifact]:
        """Run a step for every package, as often as its ``retry`` allows."""
        for attempt in range(1, step.attempts + 1):
            try:
                return self._every_package(step)
            except StepError as error:
                if attempt == step.attempts:
                    raise
                told = f"step {step.uses} failed, attempt {attempt} of {step.attempts}: {error}"
                self.context.changed(self.job, "step.retry", told, uses=step.uses)
            self.context.clock.wait(step.interval)
        raise StepError("retry.attempts is 0")

    def _every_package(self, step: Step) -> list[Artifact]:
        made: list[Artifact] = []
        for package in self.job.artifacts:
            if package.made_by == "download":
                made += self._call(step, package)
        kept = {artifact.name: artifact for artifact in (*self.job.artifacts, *made)}
        self.job = replace(self.job, artifacts=tuple(kept.values()))
        return list({artifact.name: artifact for artifact in made}.values())

    def _call(self, step: Step, package: Artifact) -> Sequence[Artifact]:
        self.context.clock.check()
        hooks = self.context.hooks
        answer = hooks.decide("impex_run_step", job=self.job, step=step, artifact=package)
        if answer is None:
            raise PluginError(f"no loaded plugin runs the step '{step.uses}'")
        if not isinstance(answer, (list, tuple)) or not all(
            isinstance(item, Artifact) for item in answer
        ):
            raise hooks.refuse("impex_run_step", answer, "a list of Artifact")
        return [replace(item, made_by=step.uses) for item in answer]

    def _record(self, result: StepResult) -> None:
        self.results.append(result)
        told = f"step {result.uses} {result.outcome}"
        told += f": {result.message}" if result.message else ""
        self.context.changed(self.job, f"step.{result.outcome}", told, uses=result.uses)

    def _since(self, began: float) -> float:
        return round(self.context.clock.monotonic() - began, 3)
