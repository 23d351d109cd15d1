"""Rehearse a manifest: run all of it on stand-ins, in a scratch folder, on this machine alone."""

from __future__ import annotations

import logging
import secrets
import tempfile
import threading
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_impex_runner.clock import Clock
from spark_impex_runner.confinement import Caller, Confinement
from spark_impex_runner.delivery.context import Context
from spark_impex_runner.engine.notifications import notify
from spark_impex_runner.engine.progress import RunProgress
from spark_impex_runner.engine.rehearsal_summary import Summary
from spark_impex_runner.engine.reports import write_reports
from spark_impex_runner.engine.scheduler import Scheduler
from spark_impex_runner.hooks.manager import Plugins
from spark_impex_runner.models import Outcome, RunOptions, RunResult, TargetResult
from spark_impex_runner.planning.load import load
from spark_impex_runner.planning.plan import make_plan
from spark_impex_runner.planning.prepare import new_run
from spark_impex_runner.planning.rehearsal import Scratch, stage
from spark_impex_runner.planning.stages import Prepared
from spark_impex_runner.planning.survey import survey
from spark_impex_runner.report.masked import masked
from spark_impex_runner.state.opening import open_state
from spark_impex_runner.state.runs import PastRun
from spark_impex_runner.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spark_impex_runner.masking import Masker
    from spark_impex_runner.models import Manifest
    from spark_impex_runner.planning.rehearsal import Staging
    from spark_impex_runner.planning.stages import Loaded
    from spark_impex_runner.planning.survey import Contents
    from spark_impex_runner.report.rehearsal import Rehearsal

_log = logging.getLogger(__name__)
# What no rehearsal shows, whatever the manifest says.
_NEVER = (
    "the tenants: their permissions, package contents and sizes, durations, other jobs",
    "this folder: files in the outputs, and what earlier runs have left in the state",
)
_NOT_CALLED = ("impex_run_started", "impex_job_changed", "impex_run_finished", "impex_run_job")


class _SkippingClock(Clock):
    """A clock whose waits take no time: they only advance it."""

    def __init__(self) -> None:
        super().__init__()
        self._skipped = 0.0
        self._lock = threading.Lock()

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self._skipped)

    def monotonic(self) -> float:
        return super().monotonic() + self._skipped

    def wait(self, seconds: float) -> None:
        with self._lock:
            self._skipped += max(min(seconds, self.left()), 0.0)
        self.check()


@dataclass
class _Quiet(Plugins):
    """The plugins of a run without those that act on the outside: observers and wrappers."""

    def notify(self, hook: str, **arguments: Any) -> None:
        """Call no observer."""

    def call(self, hook: str, **arguments: Any) -> Any:
        """Call a hook; ``impex_run_job`` without the plugins that wrap or replace it."""
        if hook != "impex_run_job":
            return super().call(hook, **arguments)
        others = {each for each in self.manager.get_plugins() if not each.ref.essential}
        return self.manager.subset_hook_caller(hook, others)(**arguments)

    def caller(self) -> Caller:
        """Return the calls of plugins that code on this thread may belong to."""
        calls = self.manager.monitor.in_progress()
        names = " or ".join(each.describe() for each in calls)
        return Caller(names or "the runner", frozenset(each.target for each in calls) - {""})


@dataclass
class Simulation:
    """A manifest that is loaded and whose tenants were asked, ready to be rehearsed."""

    loaded: Loaded
    contents: dict[str, Contents]
    placeholders: dict[str, str]
    masker: Masker

    @classmethod
    def of(
        cls, path: Path, options: RunOptions, masker: Masker, clock: Clock | None = None
    ) -> Simulation:
        """Load a manifest, and ask its tenants for their listings where they can be asked.

        Raises ``ManifestError``, ``UsageError`` or ``PluginError`` for what a run would refuse.
        """
        placeholders: dict[str, str] = {}
        clock = clock or Clock()
        loaded = load(path, options, clock, masker, placeholders)
        for warning in loaded.warnings:
            _log.warning("%s", warning)
        return cls(loaded, survey(loaded, clock, masker), placeholders, masker)

    def run(self) -> Rehearsal:
        """Rehearse all targets and notifications; nothing leaves the machine meanwhile."""
        began = time.monotonic()
        with _scratch() as scratch, ExitStack() as stack:
            plugins, ports = self.loaded.opened.plugins, set[int]()
            quiet = _Quiet(
                plugins.manager, plugins.registry, plugins.infos, plugins.offers, plugins.choice
            )
            # Before the stand-ins are there: plugins are asked what to put in their place.
            with Confinement(ports, quiet.caller) as confinement:
                staging = stage(self.loaded, self.contents, scratch, ports, stack)
                result, approvals = _Rounds(self, staging, scratch, quiet, stack).run()
        summary = Summary(self.loaded, self.contents, staging, scratch, confinement.refused)
        left_out = tuple(self._left_out())
        return summary.rehearsal(result, approvals, left_out, time.monotonic() - began)

    def _left_out(self) -> Iterator[str]:
        """Yield what is not rehearsed, besides what the stand-ins replace."""
        yield from _NEVER
        if self.placeholders:
            names = ", ".join(self.placeholders)
            yield f"references without a value here, which a run needs: {names}"
        for info in self.loaded.opened.plugins.infos:
            hooks = [each for each in _NOT_CALLED if each in info.hooks]
            if hooks and not info.error:
                yield f"plugin {info.name}: {', '.join(hooks)} not called"


@contextmanager
def _scratch() -> Iterator[Scratch]:
    with tempfile.TemporaryDirectory(prefix="impex-rehearsal-", ignore_cleanup_errors=True) as root:
        yield Scratch(Path(root).resolve())


@dataclass
class _Rounds:
    """The runs of one rehearsal: the first one, and one more for each approval that is awaited."""

    simulation: Simulation
    staging: Staging
    scratch: Scratch
    plugins: _Quiet
    stack: ExitStack
    clock: Clock = field(default_factory=_SkippingClock)
    approvals: dict[str, list[str]] = field(default_factory=dict)

    def run(self) -> tuple[RunResult, dict[str, list[str]]]:
        """Return the merged result, and what each target waited for before it was approved."""
        from spark_impex_runner.planning.connections import Connections  # noqa: PLC0415 - HTTP

        manifest, masker = self.staging.manifest, self.simulation.masker
        connections = Connections(manifest.connections, self.clock, masker)
        self.stack.callback(connections.close)
        run = new_run(replace(self.simulation.loaded, manifest=manifest), connections)
        run = replace(run, targets=manifest.targets)
        # Entries of services name files beside the manifest, which are not in the scratch folder.
        outside = replace(manifest, path=self.simulation.loaded.manifest.path.absolute())
        results: dict[str, TargetResult] = {}
        held: dict[str, tuple[str, int]] = {}
        names, approved = {each.name for each in manifest.targets}, frozenset[str]()
        while names:
            targets = tuple(each for each in manifest.targets if each.name in names)
            now = replace(run, id=f"{run.id}-{secrets.token_hex(2)}", targets=targets)
            plan = make_plan(replace(now, manifest=outside), self.plugins)
            found = self._deliver(Prepared(now, self.plugins, connections, plan), approved)
            # A later round resumes the one before, which is no warning about the manifest.
            warnings = {name: each.warnings for name, each in results.items()}
            results |= {
                name: replace(each, warnings=warnings.get(name, each.warnings))
                for name, each in found.items()
            }
            # By the number of steps, too: one connection may be waited for more than once.
            before, held = held, _held(results)
            if held == before:
                break
            for name, (connection, _) in held.items():
                self.approvals.setdefault(name, []).append(connection)
            approved |= {connection for connection, _ in held.values()}
            names = _waiting(results)
        return self._finish(run.id, run.started, manifest, tuple(results.values())), self.approvals

    def _deliver(self, prepared: Prepared, approved: frozenset[str]) -> dict[str, TargetResult]:
        options = RunOptions(state=self.scratch.state, approved=approved)
        with closing(open_state(self.scratch.state)) as state:
            run = prepared.run
            state.begin_run(PastRun(run.id, str(run.manifest.path), run.started))
            context = Context.of(prepared, state, options)
            return Scheduler(prepared, context, options, RunProgress()).deliver()

    def _finish(
        self, run_id: str, started: datetime, manifest: Manifest, results: tuple[TargetResult, ...]
    ) -> RunResult:
        """Write the reports and send the notifications, to their stand-ins."""
        registry, masker = self.plugins.registry, self.simulation.masker
        result = RunResult(run_id, manifest, started, self.clock.now(), results, __version__)
        shown = masked(result, masker)
        _, problems = write_reports(shown, registry.reports, self.clock)
        shown = replace(shown, problems=tuple(map(masker.mask, problems)))
        self.staging.unsent += notify(
            manifest.notify, shown, registry.notifiers, self.clock, masker
        )
        # Not the masked one: the summary finds targets by their names. What prints it masks.
        return replace(result, problems=shown.problems)


def _held(results: dict[str, TargetResult]) -> dict[str, tuple[str, int]]:
    """Return what each held target waits for, and after how many steps."""
    return {name: (each.approve, len(each.steps)) for name, each in results.items() if each.approve}


def _waiting(results: dict[str, TargetResult]) -> set[str]:
    """Return the held targets, and those that were skipped because they need them."""
    names = {name for name, each in results.items() if each.outcome is Outcome.HELD}
    before = 0
    while len(names) > before:
        before = len(names)
        names |= {
            name
            for name, each in results.items()
            if each.outcome is Outcome.SKIPPED and names & set(each.target.needs)
        }
    return names
