"""Import the packages of a backup to a tenant: forecast, approve, and import each once."""

from __future__ import annotations

import hashlib
import json
import secrets
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from spark_impex_runner.comparison.exported import read_exported
from spark_impex_runner.comparison.places import opened
from spark_impex_runner.delivery.context import Context
from spark_impex_runner.delivery.progress import outcome_of
from spark_impex_runner.delivery.step_store import StepStore
from spark_impex_runner.engine.restore_plan import PlannedImport, RestorePlan
from spark_impex_runner.errors import ImpexError, PluginError, UsageError
from spark_impex_runner.hooks.specs import StepOutput
from spark_impex_runner.models import (
    Approval,
    ExportedVersions,
    Imported,
    Job,
    KeyValueStore,
    Request,
    Status,
    Step,
    Target,
)
from spark_impex_runner.planning.approvals import DIGITS
from spark_impex_runner.planning.locations import state_place
from spark_impex_runner.spark.destination import list_destination
from spark_impex_runner.spark.import_forecast import forecast_import
from spark_impex_runner.state.holds import Hold
from spark_impex_runner.state.keys import target_key
from spark_impex_runner.state.models import Intent
from spark_impex_runner.state.opening import open_state
from spark_impex_runner.state.runs import PastRun, PastTarget

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from spark_impex_runner.engine.restore_plan import Backup
    from spark_impex_runner.models import Artifact, RunOptions
    from spark_impex_runner.planning.stages import Prepared
    from spark_impex_runner.spark.client import Spark
    from spark_impex_runner.state.models import Attempt
    from spark_impex_runner.user import User

_SYSTEM = "spark-impex-runner restore"


@dataclass(frozen=True, slots=True)
class Restore:
    """The restore of one backup to one connection.

    With ``first_only``, a service in several packages is restored from the first one alone; else
    there may be none, unless all versions are added.
    """

    prepared: Prepared
    options: RunOptions
    to: str
    backup: Backup
    first_only: bool = False

    @property
    def client(self) -> Spark:
        """The client of the destination."""
        return self.prepared.connections.client(self.to)

    def plan(self, if_present: str) -> RestorePlan:
        """Ask the destination, and return what the import would do; send nothing else.

        Raises ``UsageError`` for a package that cannot be read or names no services.
        """
        imports: list[PlannedImport] = []
        for each in self.backup.packages:
            earlier = {one.target for done in imports for one in done.services}
            left_out = earlier if self.first_only else set()
            imports.append(self._forecast(each, if_present, left_out))
        plan = RestorePlan(if_present, tuple(imports))
        if plan.repeated and if_present != "add_version":
            raise UsageError(
                f"{plan.repeated} is in several packages; only --if-present add_version imports "
                "all of its versions"
            )
        return plan

    @contextmanager
    def session(self) -> Iterator[RestoreSession]:
        """Open the state, and lock this restore for the block."""
        run, clock = self.prepared.run, self.prepared.connections.clock
        with closing(open_state(state_place(run.manifest.path, self.options), clock)) as state:
            session = RestoreSession(self, Context.of(self.prepared, state, self.options))
            with state.storage.lease(session.key, clock.now()):
                session.find()
                yield session

    def _forecast(
        self, package: Artifact, if_present: str, left_out: Collection[str]
    ) -> PlannedImport:
        with opened(package.path) as reader:
            try:
                exported = read_exported(reader)
            except ValueError as error:
                raise UsageError(f"{package.name}: the package is broken: {error}") from error
        if not exported.versions:
            exported = ExportedVersions(self.backup.reported)
        services = dict.fromkeys(f"{each.folder}/{each.service}" for each in exported.versions)
        if not services:
            raise UsageError(f"{package.name}: neither the package nor its receipt lists services")
        mappings = [{"source": each, "target": each} for each in services if each not in left_out]
        listed = list_destination(self.client, exported, mappings)
        forecasts = forecast_import(exported, mappings, if_present, listed)
        wanted = tuple(each.target for each in forecasts if each.outcome != "identical")
        return PlannedImport(package, wanted, forecasts)


@dataclass
class RestoreSession:
    """A locked restore; ``plan`` is that of an earlier one that has not ended, if there is one."""

    restore: Restore
    context: Context
    plan: RestorePlan | None = None
    attempt: Attempt | None = None
    imported: list[Imported] = field(default_factory=list)

    @property
    def key(self) -> str:
        """The key of the restore in the state: the tenant and the bytes."""
        return target_key(self._job())

    def find(self) -> None:
        """Find what an earlier restore of the same bytes to the same tenant has left open."""
        state, now = self.context.state, self.context.clock.now()
        attempt = state.unfinished(self.key)
        stored = state.value(self._value(attempt)) if attempt else ""
        if attempt and (self.context.fresh or not stored):
            state.finish(attempt, "abandoned", "--fresh", now)
        elif attempt:
            self.attempt, data = attempt, json.loads(stored)
            packages = {each.sha256: each for each in self.restore.backup.packages}
            self.plan = RestorePlan(
                data["if_present"],
                tuple(
                    PlannedImport(packages[sha256], tuple(services))
                    for sha256, services in data["services"].items()
                ),
                f"{attempt.intended:%Y-%m-%d %H:%M}Z",
            )

    def run(
        self, plan: RestorePlan, report: Callable[[str], None], approver: User | None = None
    ) -> None:
        """Import what the plan wants, each package once; call ``report`` with a line for each.

        ``approver`` is who approved it at a gate. Raises what the step ``import`` raises; the same
        command then resumes it.
        """
        state, run, now = self.context.state, self.restore.prepared.run, self.context.clock.now()
        by = self.context.actors.initiator.name
        state.begin_run(PastRun(run.id, str(run.manifest.path), now, started_by=by), [self.key])
        attempt = self._begin(plan, by)
        if approver:
            self._record_approval(attempt, plan, approver)
        memory = _Memory(StepStore(self.context, self.key, f"import {attempt.correlation_id}"))
        try:
            for each in plan.wanted:
                report(self._import(each, plan, memory))
        except ImpexError as error:
            # What was sent stays open, so that the same command asks the tenant for it.
            unsent = not (plan.resumed or memory.sent)
            self._end(attempt, error, closed=unsent)
            raise
        self._end(attempt, None, closed=True)

    def _begin(self, plan: RestorePlan, by: str) -> Attempt:
        """Store what is about to be imported, before anything is sent."""
        if self.attempt:
            return self.attempt
        state, restore = self.context.state, self.restore
        run = restore.prepared.run
        identity = str(restore.client.identity)
        label = f"{run.id}-{secrets.token_hex(4)}"
        intent = Intent(run.id, self.key, identity, self.key, label, "restore", started_by=by)
        # The plan first: an attempt without one has sent nothing.
        services = {each.package.sha256: each.wanted for each in plan.wanted}
        data = {"if_present": plan.if_present, "services": services}
        state.store_value((self.key, "restore", label), json.dumps(data))
        return state.intend(intent, self.context.clock.now())

    def _record_approval(self, attempt: Attempt, plan: RestorePlan, by: User) -> None:
        """Store who approved the packages, for the history; it covers this restore alone."""
        state, to, run_id = self.context.state, self.restore.to, self.restore.prepared.run.id
        digests = {each.package.name: each.package.sha256 for each in plan.wanted}
        packages = {name: {"to": to, "sha256": sha256} for name, sha256 in digests.items()}
        now = self.context.clock.now()
        state.holds.put(attempt, Hold(0, attempt.id, run_id, now, to, {"packages": packages}, ""))
        covers = tuple(f"{to}@{sha256}" for sha256 in digests.values())
        name = self.context.masker.mask(by.name)
        given = Approval(covers, name, by.named_by, now.isoformat(), run_id)
        state.holds.approve(attempt, given)
        state.holds.use(attempt)

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

    def _import(self, planned: PlannedImport, plan: RestorePlan, memory: _Memory) -> str:
        """Import one package by the step ``import``, which sends nothing twice."""
        self.context.clock.check()
        hooks, package, options = self.context.hooks, planned.package, {"to": self.restore.to}
        does: dict[str, Any] = {**options, "services": planned.wanted}
        does |= {"if_present": plan.if_present, "source_system": _SYSTEM}
        job = replace(self._job(), artifacts=(package,), memory=memory)
        step = Step("import", does)
        answer = hooks.call("impex_run_step", job=job, step=step, artifact=package)
        if not isinstance(answer, StepOutput):
            raise PluginError("no loaded plugin runs the step 'import'")
        self.imported += answer.imports
        return self.context.masker.mask(answer.message)

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
