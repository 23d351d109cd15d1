"""Record an approval of what an earlier run holds, without a run and without credentials."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_impex_runner.delivery.records import Records
from spark_impex_runner.errors import HeldError, UsageError
from spark_impex_runner.four_eyes import refusal
from spark_impex_runner.models import Approval
from spark_impex_runner.planning.approvals import DIGITS, Approvals, command
from spark_impex_runner.planning.load import read_without_secrets
from spark_impex_runner.planning.locations import state_place
from spark_impex_runner.state.keys import target_key_for
from spark_impex_runner.state.opening import existing_state
from spark_impex_runner.user import Actors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.evidence.dsse import Signer
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.models import Manifest, RunOptions, Target
    from spark_impex_runner.state.holds import Hold
    from spark_impex_runner.state.models import Attempt
    from spark_impex_runner.state.store import State
    from spark_impex_runner.user import User


@dataclass(frozen=True, slots=True)
class RecordedApproval:
    """An approval that was recorded; ``command`` is the line of the run that imports."""

    target: str
    approval: Approval
    command: str


def record_approvals(
    path: Path, options: RunOptions, clock: Clock, masker: Masker, signer: Signer | None = None
) -> list[RecordedApproval]:
    """Approve what the chosen targets hold, and sign that if there is a signer.

    Raises ``UsageError`` if nothing that waits is approved, and ``HeldError`` under ``four_eyes``
    for an approver who has started what waits. Then no approval is recorded.
    """
    approvals = Approvals.of(options.approved)
    if not approvals.connections:
        raise UsageError("name what you approve: --approve CONNECTION, or CONNECTION@SHA256")
    manifest, targets = read_without_secrets(path, options, clock, masker)
    state = existing_state(state_place(path, options))
    if state is None:
        raise UsageError(f"nothing waits here: no state in {state_place(path, options)}")
    with closing(state):
        recorder = _Recorder(state, manifest, options, clock, masker)
        waiting = [each for each in targets if recorder.hold_of(each)]
        recorder.check(approvals, waiting)
        records = Records(state, signer, masker) if signer else None
        return [recorder.record(each, records) for each in recorder.covered(approvals, waiting)]


@dataclass(frozen=True, slots=True)
class _Recorder:
    state: State
    manifest: Manifest
    options: RunOptions
    clock: Clock
    masker: Masker

    def hold_of(self, target: Target) -> tuple[Attempt, Hold] | None:
        """Return what a target holds, None if it holds nothing."""
        attempt = self.state.unfinished(target_key_for(self.manifest, target))
        hold = self.state.holds.of(attempt) if attempt else None
        return (attempt, hold) if attempt and hold else None

    def covered(self, approvals: Approvals, waiting: list[Target]) -> Iterator[Target]:
        """Yield the targets whose packages are all approved."""
        for target in waiting:
            if (found := self.hold_of(target)) and _covers(approvals, found[1]):
                yield target

    def check(self, approvals: Approvals, waiting: list[Target]) -> None:
        """Raise unless every approval covers what a target holds, and may be given."""
        holds = [found[1] for each in waiting if (found := self.hold_of(each))]
        for name in sorted(approvals.connections):
            own = Approvals(
                approvals.names & {name}, {name: approvals.digests.get(name, frozenset())}
            )
            if not any(_covers(own, each) for each in holds if each.name == name):
                raise UsageError(f"--approve {name}: {_describe(holds)}")
        by = self._approver()
        for each in (each for each in holds if _covers(approvals, each)):
            if each.work["options"].get("four_eyes") and (why := refusal(each.initiators, by.name)):
                raise HeldError(why, each.name, digests=each.digests)

    def record(self, target: Target, records: Records | None) -> RecordedApproval:
        """Store an approval of what a target holds."""
        key, by = target_key_for(self.manifest, target), self._approver()
        with self.state.storage.lease(key, self.clock.now()):
            # Read again under the lock: a run may have held something else since.
            found = self.hold_of(target)
            if found is None:
                raise UsageError(f"{target.name}: nothing waits any more")
            attempt, hold = found
            packages = hold.work["packages"].values()
            covers = tuple(f"{each['to']}@{each['sha256']}" for each in packages)
            at = self.clock.now().isoformat()
            given = Approval(covers, by.name, by.named_by, at)
            self.state.holds.approve(attempt, given)
            if records:
                records.add_approval(attempt, hold, given)
        run = command(self.manifest.path, self.options, [target.name], ())
        return RecordedApproval(target.name, given, run)

    def _approver(self) -> User:
        return Actors.here(self.options.approved_by).masked(self.masker.mask).approver


def _covers(approvals: Approvals, hold: Hold) -> bool:
    """Return whether the approvals cover all packages that a target holds."""
    packages = hold.work["packages"]
    named = {each["to"] for each in packages.values()} <= approvals.names
    return named or (bool(approvals.digests) and not approvals.uncovered(packages))


def _describe(holds: list[Hold]) -> str:
    waiting = [
        f"{each.name} ({', '.join(digest[:DIGITS] for digest in each.digests)})" for each in holds
    ]
    if waiting:
        return f"does not cover what waits: {', '.join(waiting)}"
    return "nothing waits for an approval here; a run holds it first, and impex status lists it"
