"""The steps of one target, in the manifest's order, once per package."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spark_impex_runner.delivery.attempt import step_digest, still_holds, tenants_of
from spark_impex_runner.delivery.gate import approved, check_gate
from spark_impex_runner.delivery.progress import Phase
from spark_impex_runner.delivery.step_store import StepStore
from spark_impex_runner.errors import (
    HeldError,
    ImpexError,
    Interrupted,
    PluginError,
    RetryTimeoutError,
    StepError,
)
from spark_impex_runner.hooks.specs import StepOutput as Made
from spark_impex_runner.models import Artifact, StepResult
from spark_impex_runner.planning.placed import require_same_output
from spark_impex_runner.state.keys import target_key
from spark_impex_runner.state.store import BEGUN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from spark_impex_runner.delivery.context import Context
    from spark_impex_runner.delivery.progress import TargetProgress
    from spark_impex_runner.models import Job, Step
    from spark_impex_runner.state.models import Attempt


@dataclass
class Steps:
    """The steps of one job as they go: the job grows by what each step makes.

    What an earlier run of the same attempt finished, and what still lies there, is not repeated.
    """

    progress: TargetProgress

    @property
    def job(self) -> Job:
        """The job, with what the steps have made so far."""
        return self.progress.job

    @property
    def context(self) -> Context:
        """The engine's surroundings."""
        return self.progress.context

    @property
    def attempt(self) -> Attempt:
        """The attempt that the steps belong to."""
        return self.progress.attempt

    def run(self) -> None:
        """Run all steps, up to the first that fails and may not, or that holds the target.

        Raises ``StepError`` or ``HeldError`` there.
        """
        finished = self.context.state.steps(self.attempt)
        for position, step in enumerate(self.job.target.steps):
            tenants = tenants_of(step, self.job)
            does = step_digest(step, self.job.packages, self.context.masker, tenants)
            place = (position, does)
            earlier = self._earlier(step, place, finished)
            if earlier is None or earlier.outcome == BEGUN or not self._reused(earlier):
                self._run_one(step, place, earlier)

    def _earlier(
        self, step: Step, place: tuple[int, str], finished: Mapping[tuple[int, str], StepResult]
    ) -> StepResult | None:
        """Return what an earlier run of the attempt knows of a step."""
        if self._once(step):  # wherever it stood in the manifest then
            return next((each for (_, does), each in finished.items() if does == place[1]), None)
        offer = self.context.hooks.registry.steps.get(step.uses)
        return None if offer and offer.always else finished.get(place)

    def _once(self, step: Step) -> bool:
        """Tell whether a step does harm when it is done twice for one package."""
        offer = self.context.hooks.registry.steps.get(step.uses)
        return offer is not None and not offer.idempotent

    def _reused(self, result: StepResult) -> bool:
        """Take over an earlier result whose artifacts still hold."""
        known = {each.name: each for each in self.context.state.artifacts(self.attempt)}
        made = [known[name] for name in result.artifacts if name in known]
        if len(made) < len(result.artifacts) or not still_holds(self.job, made):
            return False
        self._add(made)
        self.progress.steps.append(result)
        message = f"step {result.uses} was done by an earlier run"
        self.progress.changed("step.reused", message, uses=result.uses)
        return True

    def _run_one(self, step: Step, place: tuple[int, str], earlier: StepResult | None) -> None:
        self.progress.enter(Phase.STEPS, step.uses)
        began, noted = self.context.clock.monotonic(), False
        try:
            noted = self._begin(step, place, earlier)
            made = self._attempt(step)
        except Interrupted:
            raise
        except HeldError as error:
            if noted:  # a step that is held has done nothing
                self.context.state.forget_step(self.attempt, place[1])
            message = self.context.masker.mask(str(error))
            self._record(StepResult(step.uses, "held", self._since(began), message))
            raise
        except ImpexError as error:
            # A step's own error tells that it did nothing; of a bug, nobody knows what it has done.
            if noted and not isinstance(error, PluginError):
                self.context.state.forget_step(self.attempt, place[1])
            outcome = "warned" if step.on_failure == "warn" else "failed"
            message = self.context.masker.mask(str(error))
            self._record(StepResult(step.uses, outcome, self._since(began), message))
            if outcome == "failed":
                raise _of_step(step, error) from error
        else:
            names = tuple(artifact.name for artifact in made.artifacts)
            message = self.context.masker.mask(made.message)
            result = StepResult(step.uses, "succeeded", self._since(began), message, names)
            self.context.state.note_step(self.attempt, place, result, made.artifacts)
            self._record(result)

    def _begin(self, step: Step, place: tuple[int, str], earlier: StepResult | None) -> bool:
        """Note that a step begins which may be done once only; refuse to do it again."""
        if not self._once(step):
            return False
        if earlier:
            done = "was done by an earlier run, and what it made is gone"
            perhaps = "was begun by an earlier run, which ended before it did; it may be done"
            raise StepError(
                f"it {perhaps if earlier.outcome == BEGUN else done}, and it is not done twice: "
                "see what there is of it; then leave it out of this run if it is done, or use "
                "--fresh, which exports anew and does it for the new package"
            )
        self.context.clock.check()  # before it is noted: a run that is stopped has begun nothing
        self.context.state.begin_step(self.attempt, place[1], step.uses)
        return True

    def _attempt(self, step: Step) -> Made:
        """Run a step for every package, as often as its ``retry`` allows."""
        for attempt in range(1, step.attempts + 1):
            self.progress.attempts = attempt
            try:
                return self._every_package(step)
            except StepError as error:
                if attempt == step.attempts:
                    raise
                message = f"step {step.uses} failed, attempt {attempt} of {step.attempts}: {error}"
                self.progress.changed("step.retry", message, uses=step.uses)
            self.context.clock.wait(step.interval)
        raise StepError("retry.attempts is 0")

    def _every_package(self, step: Step) -> Made:
        answers = self._answers(step)
        made = {artifact.name: artifact for each in answers for artifact in each.artifacts}
        self._add(list(made.values()))
        message = "; ".join(each.message for each in answers if each.message)
        return Made(tuple(made.values()), message)

    def _answers(self, step: Step) -> list[Made]:
        """Call a step for every package, first without an approval of what it holds."""
        check_gate(step, self.attempt, self.context)
        # Nothing is approved before it is known what it is.
        job = replace(self.job, run=replace(self.job.run, approved=frozenset()), approval={})
        answers: dict[str, Made] = {}
        held: dict[str, HeldError] = {}
        for package in job.packages:
            try:
                answers[package.name] = self._call(job, step, package)
            except HeldError as error:
                held[package.name] = error
        if held:
            answers |= self._approved(job, step, held)
        return [answers[package.name] for package in job.packages]

    def _approved(
        self, job: Job, step: Step, held: Mapping[str, HeldError]
    ) -> Iterator[tuple[str, Made]]:
        """Call a step once more for the packages that it holds, where that was approved.

        Raises ``HeldError`` where it was not, and where the step then holds something else.
        """
        job, hold = approved(job, step, held, self.attempt, self.context)
        self.progress.approvals += [f"{hold.name}@{digest}" for digest in hold.digests]
        for package in job.packages:
            if package.name in held:
                yield package.name, self._call(job, step, package)
        self.context.state.holds.use(hold)

    def _add(self, made: Sequence[Artifact]) -> None:
        kept = {artifact.name: artifact for artifact in (*self.job.artifacts, *made)}
        self.progress.job = replace(self.job, artifacts=tuple(kept.values()))

    def _call(self, job: Job, step: Step, package: Artifact) -> Made:
        """Run a step for one package."""
        self.context.clock.check()
        require_same_output(self.job)
        hooks = self.context.hooks
        job = replace(job, memory=StepStore(self.context, target_key(job), step.uses))
        answer = hooks.call("impex_run_step", job=job, step=step, artifact=package)
        self.progress.check_abandoned()
        if answer is None:
            raise PluginError(f"no loaded plugin runs the step '{step.uses}'")
        made = answer if isinstance(answer, Made) else Made(answer)
        if not isinstance(made.artifacts, (list, tuple)) or not all(
            isinstance(item, Artifact) for item in made.artifacts
        ):
            raise hooks.invalid_answer("impex_run_step", answer, "a list of Artifact")
        packages = {each.name for each in self.job.packages}
        artifacts = [
            replace(item, made_by="download" if item.name in packages else step.uses)
            for item in made.artifacts
        ]
        return Made(artifacts, made.message)

    def _record(self, result: StepResult) -> None:
        self.progress.steps.append(result)
        message = f"step {result.uses} {result.outcome}"
        message += f": {result.message}" if result.message else ""
        self.progress.changed(f"step.{result.outcome}", message, uses=result.uses)

    def _since(self, began: float) -> float:
        return round(self.context.clock.monotonic() - began, 3)


def _of_step(step: Step, error: ImpexError) -> ImpexError:
    """Return the error of a step as its target's: what ran out of time may go on."""
    message = f"step {step.uses}: {error}"
    if isinstance(error, RetryTimeoutError):
        return RetryTimeoutError(message, retries=error.retries, interval=error.interval)
    return StepError(message)
