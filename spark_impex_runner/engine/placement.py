"""Where a worker has left the files of a target, and whether the run can see them there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spark_impex_runner import digests
from spark_impex_runner.machine import host
from spark_impex_runner.models import RECEIPT, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spark_impex_runner.hooks.registry import StepOffer
    from spark_impex_runner.models import TargetResult

# Stands for the packages of an unchanged target, whose result does not name them.
_UNKNOWN = "package.zip"


@dataclass(frozen=True, slots=True)
class Placement:
    """The output of one target on a worker.

    Attributes:
        host: The name of the worker's machine.
        output: The output.
        receipt: The digest of the receipt in it; empty without one.
        delivered: Whether steps have copied all packages to where other machines reach them.
    """

    host: str
    output: str
    receipt: str
    delivered: bool

    @classmethod
    def of(cls, result: TargetResult, offers: Mapping[str, StepOffer]) -> Placement:
        """Return where this process has left the files of a target."""
        output, gone = result.target.output, result.host
        seen = "" if gone else _receipt(output)
        return cls(gone or host(), str(output), seen, _is_delivered(result, offers))

    def is_visible(self) -> bool:
        """Return whether this process sees the very receipt that the worker has left."""
        return bool(self.receipt) and _receipt(Path(self.output)) == self.receipt

    def problem(self) -> str:
        """Return why the target is no success if its packages cannot be seen; empty if it is."""
        if self.delivered or self.is_visible():
            return ""
        return (
            f"its packages are in {self.output} on {self.host}, which this machine cannot see; add "
            "a step that delivers them, such as upload to s3://, or put output on a shared folder"
        )


def _is_delivered(result: TargetResult, offers: Mapping[str, StepOffer]) -> bool:
    steps = result.target.steps
    if result.outcome is not Outcome.UNCHANGED:  # then an earlier run has done all steps
        pairs = zip(steps, result.steps, strict=False)
        steps = tuple(step for step, done in pairs if done.outcome == "succeeded")
    used = [(offers[step.uses], step.options) for step in steps if step.uses in offers]
    packages = [each.name for each in result.artifacts if each.is_package] or [_UNKNOWN]
    return all(
        any(offer.delivers_elsewhere(options, name) for offer, options in used) for name in packages
    )


def _receipt(output: Path) -> str:
    try:
        return digests.sha256(output / RECEIPT)
    except OSError:
        return ""
