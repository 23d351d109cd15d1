"""The steps of one target, in the manifest's order, once per package."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spark_impex_runner.delivery.attempt import are_intact, step_digest, tenants_of
from spark_impex_runner.delivery.gate import EarlierSteps, approved, check_gate
from spark_impex_runner.delivery.progress import Phase
from spark_impex_runner.delivery.step_store import StepStore
from spark_impex_runner.disk import full_disk
from spark_impex_runner.errors import (
    HeldError,
    ImpexError,
    Interrupted,
    PluginError,
    RetryTimeoutError,
    StateError,
    StepError,
)
from spark_impex_runner.hooks.specs import StepOutput
from spark_impex_runner.models import Artifact, StepResult
from spark_impex_runner.planning.locations import cache_folder
from spark_impex_runner.planning.placed import require_same_output
from spark_impex_runner.spark.http.retry import retry_hint
from spark_impex_runner.state.keys import target_key
from spark_impex_runner.state.store import BEGUN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from spark_impex_runner.delivery.context import Context
    from spark_impex_runner.delivery.progress import TargetProgress
    from spark_impex_runner.models import Job, Step
    from spark_impex_runner.state.models import Attempt

# Seconds: a step that took less is run again after a kill rather than stored at once, which is a
# request where the state is in an object store.
_SHORT = 5.0


@dataclass
class Steps:
    """The steps of one job; what each step makes is added to the job.

    A step that an earlier run of the attempt finished runs again only if its files have changed.
    ``begun`` is the digest of the current step's work where that must be done only once,
    ``leave_receipt`` writes the receipt of what is done so far, and ``backup`` is ``Job.backup``.
    """

    progress: TargetProgress
    leave_receipt: Callable[[], object]
    backup: Callable[[str, Sequence[str], str], Path]
    begun: str = ""

    @property
    def job(self) -> Job:
        """The job, with what the steps have made so far."""
        return self.progress.job

    @property
    def context(self) -> Context:
        """The context of the run."""
        return self.progress.context

    @property
    def attempt(self) -> Attempt:
        """The attempt that the steps belong to."""
        return self.progress.attempt

    def run(self) -> None:
        """Run all steps; raise ``StepError`` or ``HeldError`` at the first that ends the target."""
        finished = self.context.state.steps(self.attempt)
        for position, step in enumerate(self.job.target.steps):
            tenants = tenants_of(step, self.job)
            digest = step_digest(step, self.job.packages, self.context.masker, tenants)
            key = (position, digest)
            earlier = self._earlier(step, key, finished)
            if earlier is None or earlier.outcome == BEGUN or not self._reuse(earlier):
                self._run_one(step, key, earlier)

    def _earlier(
        self, step: Step, key: tuple[int, str], finished: Mapping[tuple[int, str], StepResult]
    ) -> StepResult | None:
        """Return the result of a step in an earlier run of the attempt, None if it must run."""
        if self._runs_once(step):  # whatever its position in the manifest was then
            return next((each for (_, work), each in finished.items() if work == key[1]), None)
        offer = self.context.hooks.registry.steps.get(step.uses)
        return None if offer and offer.always else finished.get(key)

    def _runs_once(self, step: Step) -> bool:
        """Return True if a step must not run twice for one package."""
        offer = self.context.hooks.registry.steps.get(step.uses)
        return offer is not None and not offer.idempotent

    def _reuse(self, result: StepResult) -> bool:
        """Return True, with the earlier result recorded, if its artifacts are intact."""
        known = {each.name: each for each in self.context.state.artifacts(self.attempt)}
        made = [known[name] for name in result.artifacts if name in known]
        if len(made) < len(result.artifacts) or not are_intact(self.job, made):
            return False
        self._add(made)
        self.progress.steps.append(result)
        message = f"an earlier run completed step {result.uses}"
        self.progress.changed("step.reused", message, uses=result.uses)
        return True

    def _run_one(self, step: Step, key: tuple[int, str], earlier: StepResult | None) -> None:
        self.progress.enter(Phase.STEPS, step.uses)
        started, self.begun = self.context.clock.now(), ""
        self._record_delivery(step)
        try:
            self._begin(step, key, earlier)
            made = self._attempt(step)
        except Interrupted:
            raise  # what an interrupted step has done is unknown: its record stays
        except HeldError as error:
            self._forget()  # a step that is held has done nothing yet
            self._record(self._result("held", str(error), started))
            raise
        except ImpexError as error:
            # A StepError says that the step did nothing. After a bug that is unknown, and an error
            # of the state may have come after the work.
            if not isinstance(error, (PluginError, StateError)):
                self._forget()
            outcome = "warned" if step.on_failure == "warn" else "failed"
            message = f"{error}{full_disk(error)}"
            self._record(self._result(outcome, message, started))
            if outcome == "failed":
                raise _as_target_error(step, error, message) from error
        else:
            self._sign_imports(made)
            result = self._result("succeeded", made.message, started, made.artifacts)
            later = result.seconds < _SHORT and not self._runs_once(step)
            self.context.state.note_step(self.attempt, key, result, made.artifacts, later=later)
            self._record(result)

    def _record_delivery(self, step: Step) -> None:
        """Write the receipt before a step takes the delivery elsewhere, signed unless it is."""
        records = self.context.records
        offer = self.context.hooks.registry.steps.get(step.uses)
        signed = records and records.ends_with_delivery(self.attempt)
        if offer and offer.delivers and not signed:
            self.leave_receipt()

    def _sign_imports(self, made: StepOutput) -> None:
        """Sign the imports of a step, before it is stored as done.

        A run that is killed in between calls the step again, which says the same.
        """
        if records := self.context.records:
            for each in made.imports:
                by = self.context.actors.initiator.name
                records.add_import(self.attempt, each, self.job.run.id, by)

    def _begin(self, step: Step, key: tuple[int, str], earlier: StepResult | None) -> None:
        """Store that a step begins if it must run only once.

        Raises ``StepError`` if such a step has begun before.
        """
        if not self._runs_once(step):
            return
        if earlier:
            done = "an earlier run completed it, and its files are gone"
            perhaps = "an earlier run began it and did not finish it, so that it may be complete"
            raise StepError(
                f"{perhaps if earlier.outcome == BEGUN else done}; it is not run twice: check what "
                "it did, then remove it from this run if it is complete, or use --fresh, which "
                "exports again and runs it for the new package"
            )
        self.context.clock.check()  # a run that is stopped must not store that it has begun
        self.begun = key[1]
        self._store_begun(step)

    def _store_begun(self, step: Step) -> None:
        if not self.begun:
            return
        try:
            self.context.state.begin_step(self.attempt, self.begun, step.uses)
        except StateError:
            # It has not begun; the end of the lease may still write what could not be written here.
            with suppress(StateError):
                self._forget()
            raise

    def _forget(self) -> None:
        """Delete the record that the step began: it is known to have done nothing."""
        if self.begun:
            self.context.state.forget_step(self.attempt, self.begun)

    def _attempt(self, step: Step) -> StepOutput:
        """Run a step for every package, with the retries that its ``retry`` allows."""
        for attempt in range(1, step.attempts + 1):
            self.progress.attempts = attempt
            try:
                return self._run_for_packages(step)
            except StepError as error:
                if attempt == step.attempts:
                    raise
                hint = retry_hint(self.context.clock, step.interval, attempt + 1, 0, step.attempts)
                message = f"step {step.uses} failed, {hint}: {error}"
                self.progress.changed("step.retry", message, uses=step.uses)
            self.context.clock.wait(step.interval)
        raise StepError("retry.attempts is 0")

    def _run_for_packages(self, step: Step) -> StepOutput:
        answers = self._call_for_packages(step)
        made = {artifact.name: artifact for each in answers for artifact in each.artifacts}
        self._add(list(made.values()))
        message = "; ".join(each.message for each in answers if each.message)
        imports = [record for each in answers for record in each.imports]
        return StepOutput(tuple(made.values()), message, imports)

    def _call_for_packages(self, step: Step) -> list[StepOutput]:
        """Call a step for every package, and again with an approval for packages that it holds."""
        check_gate(step, self.attempt, self.context)
        # Without an approval first: the approval covers what the step then says it would do.
        job = replace(self.job, run=replace(self.job.run, approved=frozenset()), approval={})
        answers: dict[str, StepOutput] = {}
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
    ) -> Iterator[tuple[str, StepOutput]]:
        """Call a step again for the packages that it holds, if that was approved.

        Raises ``HeldError`` if it was not, or if the step then holds something else.
        """
        done_nothing = len(held) == len(job.packages)
        if done_nothing:
            self._forget()  # written with the hold, so that no kill leaves both
        job, hold = approved(job, step, held, self._earlier_steps(), self.context)
        if done_nothing:
            self._store_begun(step)
        self.progress.approvals += [f"{hold.name}@{digest}" for digest in hold.digests]
        for package in job.packages:
            if package.name in held:
                yield package.name, self._call(job, step, package)
        self.context.state.holds.use(self.attempt)
        self.progress.used = self.context.state.holds.used(self.attempt)

    def _earlier_steps(self) -> EarlierSteps:
        """Return what the steps so far report, as far as an approval covers it."""
        offers = self.context.hooks.registry.steps
        reported = (
            f"step {each.uses} {each.outcome}: {each.message}"
            for each in self.progress.steps
            if (offer := offers.get(each.uses)) and offer.covered_by_approval and each.message
        )
        return EarlierSteps(self.attempt, tuple(reported))

    def _add(self, made: Sequence[Artifact]) -> None:
        kept = {artifact.name: artifact for artifact in (*self.job.artifacts, *made)}
        self.progress.job = replace(self.job, artifacts=tuple(kept.values()))

    def _call(self, job: Job, step: Step, package: Artifact) -> StepOutput:
        """Run a step for one package."""
        self.context.clock.check()
        self.progress.check()
        require_same_output(self.job)
        hooks = self.context.hooks
        job = replace(
            job,
            memory=StepStore(self.context, target_key(job), step.uses),
            cache=cache_folder(job.run.manifest.path, self.context.options),
            backup=self.backup,
        )
        answer = hooks.call("impex_run_step", job=job, step=step, artifact=package)
        self.progress.check()
        if answer is None:
            raise PluginError(f"no loaded plugin runs the step '{step.uses}'")
        made = answer if isinstance(answer, StepOutput) else StepOutput(answer)
        if not isinstance(made.artifacts, (list, tuple)) or not all(
            isinstance(item, Artifact) for item in made.artifacts
        ):
            raise hooks.invalid_answer("impex_run_step", answer, "a list of Artifact")
        packages = {each.name for each in self.job.packages}
        artifacts = [
            replace(item, made_by="download" if item.name in packages else step.uses)
            for item in made.artifacts
        ]
        return StepOutput(artifacts, made.message, made.imports)

    def _record(self, result: StepResult) -> None:
        self.progress.steps.append(result)
        message = f"step {result.uses} {result.outcome}"
        message += f": {result.message}" if result.message else ""
        self.progress.changed(f"step.{result.outcome}", message, uses=result.uses)

    def _result(
        self, outcome: str, message: str, started: datetime, made: Sequence[Artifact] = ()
    ) -> StepResult:
        """Return the result of the current step, which ends now."""
        progress = self.progress
        return StepResult(
            progress.step,
            outcome,
            round(self.context.clock.monotonic() - progress.since, 3),
            self.context.masker.mask(message),
            tuple(artifact.name for artifact in made),
            started,
        )


def _as_target_error(step: Step, error: ImpexError, text: str) -> ImpexError:
    """Return the error of a step as its target's; a timeout stays one, since it can be resumed."""
    message = f"step {step.uses}: {text}"
    if isinstance(error, RetryTimeoutError):
        return error.with_message(message)
    return StepError(message)
