"""Carry out a restore under a lock: its plan is stored, and each package is imported once."""

from __future__ import annotations

import hashlib
import json
import secrets
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from spark_impex_runner.delivery.context import Context
from spark_impex_runner.delivery.progress import outcome_of
from spark_impex_runner.delivery.records import signer_of
from spark_impex_runner.delivery.step_store import StepStore
from spark_impex_runner.engine.restore_plan import PlannedImport, RestorePlan
from spark_impex_runner.engine.restore_record import RestoreRecord
from spark_impex_runner.errors import DeliveryError, ImpexError, PluginError
from spark_impex_runner.hooks.specs import StepOutput
from spark_impex_runner.models import (
    Approval,
    Imported,
    Job,
    KeyValueStore,
    Request,
    Status,
    Step,
    StepResult,
    Target,
)
from spark_impex_runner.planning.approvals import DIGITS
from spark_impex_runner.planning.locations import state_place
from spark_impex_runner.state.holds import Hold
from spark_impex_runner.state.keys import target_key
from spark_impex_runner.state.models import Intent
from spark_impex_runner.state.opening import existing_state, open_state
from spark_impex_runner.state.runs import PastRun, PastTarget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from spark_impex_runner.engine.restore import Restore
    from spark_impex_runner.engine.restore_plan import GivenApproval
    from spark_impex_runner.state.models import Attempt

_SYSTEM = "spark-impex-runner restore"
# The folder of signed records, beside the manifest.
_RECORDS = "restores"


@contextmanager
def open_session(restore: Restore) -> Iterator[RestoreSession]:
    """Open the state, and lock this restore for the block."""
    run, clock = restore.prepared.run, restore.prepared.connections.clock
    # Before the state: a key that cannot sign is refused before anything is stored.
    signer = signer_of(run.manifest)
    with closing(open_state(state_place(run.manifest.path, restore.options), clock)) as state:
        context = Context.of(restore.prepared, state, restore.options, signer=signer)
        session = RestoreSession(restore, context)
        with state.storage.lease(session.key, clock.now()):
            session.find()
            yield session


def preview(restore: Restore, if_present: str) -> RestorePlan:
    """Return the plan that a restore would carry out, also one that has not ended.

    The state is read without a lock, and not changed. Raises as ``plan`` does.
    """
    run, clock = restore.prepared.run, restore.prepared.connections.clock
    found = existing_state(state_place(run.manifest.path, restore.options), clock)
    if found is None:
        return restore.plan(if_present)
    with closing(found) as state:
        session = RestoreSession(restore, Context.of(restore.prepared, state, restore.options))
        session.find()
        return session.make_plan(if_present)


@dataclass
class RestoreSession:
    """A locked restore; ``plan`` is that of an earlier one that it finishes, if there is one.

    ``attempt`` is the earlier one, also if it is given up. ``record`` is the folder of the signed
    record, None without one.
    """

    restore: Restore
    context: Context
    plan: RestorePlan | None = None
    attempt: Attempt | None = None
    imported: list[Imported] = field(default_factory=list)
    record: Path | None = None

    @property
    def key(self) -> str:
        """The key of the restore in the state: the tenant and the bytes."""
        return target_key(self._job())

    def find(self) -> None:
        """Find what an earlier restore of the same bytes to the same tenant has left open."""
        state = self.context.state
        self.attempt = attempt = state.unfinished(self.key)
        stored = state.value(self._value(attempt)) if attempt else ""
        if attempt and stored and not self.context.fresh:
            data = json.loads(stored)
            packages = {each.sha256: each for each in self.restore.backup.packages}
            self.plan = RestorePlan(
                data["if_present"],
                tuple(
                    PlannedImport(packages[sha256], tuple(services))
                    for sha256, services in data["services"].items()
                ),
                _moment(attempt),
            )

    def make_plan(self, if_present: str) -> RestorePlan:
        """Return the stored plan, or a new one, which gives up an earlier restore."""
        if self.plan:
            return self.plan
        plan = self.restore.plan(if_present)
        return replace(plan, given_up=_moment(self.attempt)) if self.attempt else plan

    def give_up(self) -> None:
        """Close an earlier restore that this one does not finish."""
        if self.attempt and not self.plan:
            now = self.context.clock.now()
            self.context.state.finish(self.attempt, "abandoned", "--fresh", now)
            self.attempt = None

    def run(
        self,
        plan: RestorePlan,
        report: Callable[[str], None],
        given: GivenApproval | None = None,
        *,
        command: str = "",
    ) -> None:
        """Import what the plan wants, each package once; call ``report`` with a line for each.

        ``given`` is the approval at a gate. Raises what the step ``import`` raises; the same
        ``command``, which the state shows, then resumes it.
        """
        state, run, now = self.context.state, self.restore.prepared.run, self.context.clock.now()
        record = self._record()
        by = self.context.actors.initiator.name
        state.begin_run(PastRun(run.id, str(run.manifest.path), now, started_by=by), [self.key])
        attempt = self._begin(plan, by, command)
        if record:
            record.begin(attempt, self.restore.backup)
        approvals = [self._record_approval(attempt, plan, given, record)] if given else []
        memory = _Memory(StepStore(self.context, self.key, f"import {attempt.correlation_id}"))
        steps: list[StepResult] = []
        try:
            for each in plan.wanted:
                known = len(self.imported)
                steps.append(self._import(each, plan, memory))
                if record:
                    record.imported(attempt, self.imported[known:])
                report(steps[-1].message)
            if record:
                record.write(attempt, None, (self.imported, steps, approvals))
        except ImpexError as error:
            # What was sent stays open, so that the same command asks the tenant for it.
            unsent = not (plan.resumed or memory.sent)
            self._end(attempt, error, closed=unsent)
            if record:
                # Its records are in the state: the same command writes them.
                with suppress(DeliveryError):
                    record.write(attempt, error, (self.imported, steps, approvals))
            raise
        self._end(attempt, None, closed=True)

    def _record(self) -> RestoreRecord | None:
        """Return what writes the signed record, None if the manifest does not sign."""
        if not self.context.records:
            return None
        run, options = self.restore.prepared.run, self.restore.options
        first = self.attempt.run_id if self.attempt and self.plan else run.id
        base = options.output or run.manifest.path.absolute().parent
        self.record = base / _RECORDS / f"{self.restore.to}-{first}"
        record = RestoreRecord(self.record, self._job(), self.context, self.context.records)
        record.prepare()
        return record

    def _begin(self, plan: RestorePlan, by: str, command: str) -> Attempt:
        """Store what is about to be imported, before anything is sent."""
        self.give_up()
        if self.attempt:
            return self.attempt
        state, restore = self.context.state, self.restore
        run = restore.prepared.run
        identity = str(restore.client.identity)
        label = f"{run.id}-{secrets.token_hex(4)}"
        intent = Intent(run.id, self.key, identity, self.key, label, "restore", started_by=by)
        # The plan first: an attempt without one has sent nothing.
        services = {each.package.sha256: each.wanted for each in plan.wanted}
        line = self.context.masker.mask(command)
        data = {"if_present": plan.if_present, "services": services, "command": line}
        state.store_value((self.key, "restore", label), json.dumps(data))
        return state.intend(intent, self.context.clock.now())

    def _record_approval(
        self,
        attempt: Attempt,
        plan: RestorePlan,
        given: GivenApproval,
        record: RestoreRecord | None,
    ) -> Approval:
        """Store who approved the packages, for the history; it covers this restore alone."""
        state, to, run_id = self.context.state, self.restore.to, self.restore.prepared.run.id
        tenant, mask = str(self.restore.client.identity), self.context.masker.mask
        packages = {
            each.package.name: {"to": to, "tenant": tenant, "sha256": each.package.sha256}
            for each in plan.wanted
        }
        options = {"to": to, "if_present": plan.if_present, "four_eyes": given.four_eyes}
        work = {"step": "import", "options": options, "packages": packages}
        now, people = self.context.clock.now(), tuple(map(mask, given.initiators))
        hold = Hold(0, attempt.id, run_id, now, to, work, "", initiators=people)
        hold = state.holds.put(attempt, hold)
        covers = tuple(f"{to}@{each}" for each in hold.digests)
        approval = Approval(covers, mask(given.by.name), given.by.named_by, now.isoformat(), run_id)
        state.holds.approve(attempt, approval)
        state.holds.use(attempt)
        if record:
            record.approved(attempt, hold, approval)
        return approval

    def _end(self, attempt: Attempt, error: ImpexError | None, *, closed: bool) -> None:
        """Record how the restore ended; unless ``closed``, the next one resumes it."""
        state, run, now = self.context.state, self.restore.prepared.run, self.context.clock.now()
        message = self.context.masker.mask(str(error)) if error else ""
        outcome = outcome_of(error)
        if closed:
            state.finish(attempt, outcome.value, message, now)
        jobs = tuple(each.job_id for each in self.imported)
        past = PastTarget(self.key, outcome.value, message, jobs, run.started, now)
        state.end_run(run.id, error.exit_code if error else 0, now, [past])

    def _import(self, planned: PlannedImport, plan: RestorePlan, memory: _Memory) -> StepResult:
        """Import one package by the step ``import``, which sends nothing twice."""
        clock = self.context.clock
        clock.check()
        started, since = clock.now(), clock.monotonic()
        hooks, package, options = self.context.hooks, planned.package, {"to": self.restore.to}
        does: dict[str, Any] = {**options, "services": planned.wanted}
        does |= {"if_present": plan.if_present, "source_system": _SYSTEM}
        job = replace(self._job(), artifacts=(package,), memory=memory)
        step = Step("import", does)
        answer = hooks.call("impex_run_step", job=job, step=step, artifact=package)
        if not isinstance(answer, StepOutput):
            raise PluginError("no loaded plugin runs the step 'import'")
        self.imported += answer.imports
        seconds = round(clock.monotonic() - since, 3)
        message = self.context.masker.mask(answer.message)
        return StepResult("import", "succeeded", seconds, message, started=started)

    def _job(self) -> Job:
        """Return the job by which the step sees the packages."""
        restore, clock = self.restore, self.context.clock
        run, spark = restore.prepared.run, restore.client
        digest = hashlib.sha256(str(spark.identity).encode())
        for each in restore.backup.packages:
            digest.update(each.sha256.encode())
        folder = restore.backup.packages[0].path.parent
        # No name in a manifest has a plus.
        target = Target(f"restore+{restore.to}-{digest.hexdigest()[:DIGITS]}", restore.to, folder)
        status = Status("", "", service_versions=restore.backup.reported)
        return Job(
            run=run,
            target=target,
            request=Request(),
            tenant=spark.url,
            started=run.started,
            stopping=clock.stopping,
            status=status,
            wait=clock.wait,
        )

    def _value(self, attempt: Attempt) -> tuple[str, str, str]:
        return self.key, "restore", attempt.correlation_id


def _moment(attempt: Attempt) -> str:
    """Return when an attempt began, for people."""
    return f"{attempt.intended:%Y-%m-%d %H:%M}Z"


@dataclass(frozen=True, slots=True)
class _Memory(KeyValueStore):
    """The values of one restore's imports; ``sent`` has the keys of those that may be sent."""

    store: StepStore
    sent: set[str] = field(default_factory=set)

    def get(self, key: str) -> str:
        """Return the value that any run of the restore stored under a key."""
        return self.store.get(key)

    def put(self, key: str, value: str) -> None:
        """Write a value to disk."""
        self.store.put(key, value)
        (self.sent.add if value else self.sent.discard)(key)
