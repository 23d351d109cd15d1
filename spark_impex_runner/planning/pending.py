"""What is pending before a run begins, and whether the given approvals match it."""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_impex_runner.errors import UsageError
from spark_impex_runner.planning.approvals import DIGITS, Approvals
from spark_impex_runner.spelling import did_you_mean
from spark_impex_runner.state.keys import target_key_for
from spark_impex_runner.state.opening import existing_state
from spark_impex_runner.state.storage import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spark_impex_runner.hooks.registry import StepOffer
    from spark_impex_runner.models import Manifest, RunOptions, Step, Target
    from spark_impex_runner.state.place import StatePlace

_BUILT_IN = "spark-impex-runner"


@dataclass(frozen=True, slots=True)
class Pending:
    """The pending targets of a manifest, each with the connection to approve and its digests."""

    manifest: Manifest
    approvals: Approvals
    held: Mapping[str, tuple[str, tuple[str, ...]]]
    fresh: bool

    @classmethod
    def of(cls, manifest: Manifest, options: RunOptions, place: StatePlace) -> Pending:
        """Read what is pending from the state; skipped for a run without approvals."""
        approvals = Approvals.of(options.approved)
        held: dict[str, tuple[str, tuple[str, ...]]] = {}
        if approvals.connections and (opened := existing_state(place)):
            keys = {target.name: target_key_for(manifest, target) for target in manifest.targets}
            with closing(opened) as state:
                state.storage.prefetch([*keys.values()])
                for name, key in keys.items():
                    with suppress(UnreadableError):  # the target meets it itself
                        attempt = state.unfinished(key)
                        if attempt and attempt.held:
                            hold = state.holds.of(attempt)
                            held[name] = (attempt.held, hold.digests if hold else ())
        return cls(manifest, approvals, held, options.fresh)

    def delivered(self) -> frozenset[str]:
        """Return the targets whose packages are pending: their needs were delivered before."""
        if self.fresh:
            return frozenset()
        named = (each.name for each in self.manifest.targets if self.approvals.for_target(each))
        return frozenset({*self.held, *named})

    def check(self, chosen: Sequence[Target], offers: Mapping[str, StepOffer]) -> None:
        """Raise ``UsageError`` for an approval that no chosen target can wait for."""
        connections = self.manifest.connections
        waiting = {self.held[each.name][0] for each in chosen if each.name in self.held}
        for name in sorted(self.approvals.connections):
            if name not in connections:
                hint = did_you_mean(name, connections)
                raise UsageError(
                    f"--approve {name} names no connection of {self.manifest.path}{hint}"
                    f"; {self._describe()}"
                )
            steps = [step for target in chosen for step in target.steps]
            if name not in waiting and not any(_may_hold(each, name, offers) for each in steps):
                raise UsageError(
                    f"--approve {name}: no step of the chosen targets can wait for {name}"
                    f"; {self._describe()}"
                )

    def _describe(self) -> str:
        waiting = [
            f"{target} for {name} ({', '.join(each[:DIGITS] for each in digests) or 'no digest'})"
            for target, (name, digests) in self.held.items()
        ]
        return f"waiting: {', '.join(waiting)}" if waiting else "nothing waits for an approval here"


def _may_hold(step: Step, name: str, offers: Mapping[str, StepOffer]) -> bool:
    """Return whether a step may wait for a connection's approval; True for plugins that do not say.

    A step with an option ``gate`` waits for the connections that its options name.
    """
    offer = offers.get(step.uses)
    options = offer.options.get("properties", {}) if offer else {}
    if "gate" not in options:
        return offer is not None and offer.provider != _BUILT_IN
    named = [key for key, schema in options.items() if schema.get("x-connection") is True]
    gated = step.options.get("gate", "none") != "none"
    return gated and name in [step.options.get(key) for key in named]
