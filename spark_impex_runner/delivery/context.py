"""What every stage of a delivery gets: hooks, clock, state, and the reporting of events."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spark_impex_runner.delivery.records import Records
from spark_impex_runner.errors import cause_of
from spark_impex_runner.models import Change, Outcome, RunOptions
from spark_impex_runner.planning.approvals import Approvals
from spark_impex_runner.report.causes import cause_key
from spark_impex_runner.report.data import phase_seconds, seconds
from spark_impex_runner.user import Actors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.errors import ImpexError
    from spark_impex_runner.evidence.dsse import Signer
    from spark_impex_runner.hooks.manager import Plugins
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.models import Job, Request, Run, TargetResult
    from spark_impex_runner.planning.stages import Prepared
    from spark_impex_runner.state.store import State

_log = logging.getLogger("spark_impex_runner.events")

# Last parts of event names that are logged as warnings, so that --quiet shows them.
_WARNINGS = {
    "failed",
    "create_failed",
    "look_failed",
    "unknown_status",
    "timed_out",
    "cancelled",
    "skipped",
    "held",
    "warned",
    "refused",
}


@dataclass(frozen=True, slots=True)
class Context:
    """What all targets of a run share.

    ``until`` is ``"download"`` if no steps run. ``fresh`` resumes no earlier attempt; ``job`` is
    the id of the job to resume, or empty. ``approvals`` are those of ``options``, and ``actors``
    who gives them. ``records`` signs what is delivered; None if nothing is signed. ``causes`` has
    the first target of each cause of a failure.
    """

    hooks: Plugins
    clock: Clock
    state: State
    masker: Masker
    until: str = ""
    fresh: bool = False
    job: str = ""
    options: RunOptions = field(default_factory=RunOptions)
    approvals: Approvals = field(default_factory=Approvals)
    actors: Actors = field(default_factory=Actors)
    records: Records | None = None
    causes: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        prepared: Prepared,
        state: State,
        options: RunOptions,
        actors: Actors | None = None,
        signer: Signer | None = None,
    ) -> Context:
        """Return the context of a prepared run, by default with the actors of this process."""
        masker = prepared.connections.masker
        return cls(
            hooks=prepared.hooks,
            clock=prepared.connections.clock,
            state=state,
            masker=masker,
            until=options.until,
            fresh=options.fresh,
            job=options.job,
            options=options,
            approvals=Approvals.of(options.approved),
            actors=(actors or Actors.here(options.approved_by)).masked(masker.mask),
            records=Records(state, signer, masker) if signer else None,
        )

    def ended(self, job: Job, result: TargetResult, error: ImpexError | None = None) -> None:
        """Report the end of a target, and which earlier one failed for the same cause."""
        event, message, detail = _end(result)
        if error:
            detail["cause"] = cause_of(error)
        if error and result.outcome in (Outcome.FAILED, Outcome.TIMED_OUT):
            name, key = job.target.name, f"{result.outcome.value}: {cause_key(result.error)}"
            # setdefault is atomic: of two threads one is the first.
            first = self.causes.setdefault(key, name)
            detail |= {"same_as": first} if first != name else {}
        self.changed(job, event, message, **detail)

    def cancelled(
        self, run: Run, results: Iterable[TargetResult], job_of: Callable[[str], Job]
    ) -> None:
        """Report targets that a stop kept from starting: they may be ten thousand.

        ``job_of`` returns a target's job, which only observers need.
        """
        changes = {}
        for each in results:
            name, request = each.target.name, each.request
            changes[name] = self._log(_ids(run, name, "", request), *_end(each))
        if self.hooks.has("impex_job_changed"):
            for name, change in changes.items():
                self.hooks.notify("impex_job_changed", job=job_of(name), change=change)

    def changed(self, job: Job, event: str, message: str, **detail: Any) -> None:
        """Report an event: log it, then call every observer."""
        # The log first: an observer may hang.
        change = self.logged(job, event, message, **detail)
        self.hooks.notify("impex_job_changed", job=job, change=change)

    def logged(self, job: Job, event: str, message: str, **detail: Any) -> Change:
        """Log an event without calling observers, which may hang."""
        ids = _ids(job.run, job.target.name, job.id, job.request)
        return self._log(ids, event, message, detail)

    def _log(
        self, ids: Mapping[str, str | None], event: str, message: str, detail: Mapping[str, Any]
    ) -> Change:
        message = self.masker.mask(message)
        detail = {
            name: self.masker.mask(value) if isinstance(value, str) else value
            for name, value in detail.items()
        }
        fields = {"event": event, **ids, "detail": detail}
        level = logging.WARNING if event.rpartition(".")[2] in _WARNINGS else logging.INFO
        _log.log(level, "%s", message, extra=fields)
        return Change(event, self.clock.now(), message, detail)


def _ids(run: Run, target: str, job_id: str, request: Request | None) -> dict[str, str | None]:
    """Return the names and ids that every event of a target has."""
    return {
        "run_id": run.id,
        "target": target,
        "job_id": job_id,
        "correlation_id": request.correlation_id if request else None,
    }


def _end(result: TargetResult) -> tuple[str, str, dict[str, Any]]:
    """Return the event of a target's end, its message, and how long target and phases took."""
    outcome = result.outcome.value
    message = f"{outcome}: {result.error}" if result.error else outcome
    lengths = {
        "seconds": seconds(result.started, result.finished),
        "phases": phase_seconds(result),
    }
    return f"target.{outcome}", message, lengths
