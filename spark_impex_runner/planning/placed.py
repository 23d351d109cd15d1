"""The records of the files that earlier runs wrote to a target's output."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import DeliveryError
from spark_impex_runner.models import RECEIPT, KeyValueStore, base_name
from spark_impex_runner.ownership import Ownership, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spark_impex_runner.hooks.manager import Plugins
    from spark_impex_runner.models import Job, Target
    from spark_impex_runner.state.store import State


class PlacedFiles(KeyValueStore):
    """The records of one target's output, by path.

    Versions before these records existed left artifacts in the state and a receipt in the output;
    both are read as records. Without a state nothing is recorded.
    """

    def __init__(self, state: State | None, key: str, target: Target) -> None:
        super().__init__()
        self._records = state.placed(key) if state else None
        self._owner = key
        self._target = target
        self._receipt = _read(target.output)
        self._older: dict[str, Record] | None = None  # read on first use
        self.resolved_output = os.path.realpath(target.output)

    def get(self, key: str) -> str:
        """Return the record of a path, an empty text if there is none."""
        if self._records and (text := self._records.get(key)):
            return text
        if self._older is None:
            self._older = self._read_older()
        return self._older[key].text() if key in self._older else ""

    def put(self, key: str, value: str) -> None:
        """Write a record to the state. Not masked: it holds names and digests of files only."""
        if self._records:
            self._records.put(key, value)

    def put_later(self, key: str, value: str) -> None:
        """Write a record with the next one, where that is cheaper."""
        if self._records:
            self._records.put_later(key, value)

    def adopt_receipt(self) -> None:
        """Record what the receipt alone lists, before a new delivery removes it.

        Raises ``DeliveryError`` if the receipt is of another target.
        """
        if problem := self.conflict():
            raise DeliveryError(problem)
        records, found = self._records, self._read_receipt()
        missing = [each for each in found if records and not records.get(each[0])]
        for path, record in missing[:-1]:
            self.put_later(path, record.text())
        for path, record in missing[-1:]:  # this one writes them all
            self.put(path, record.text())

    def conflict(self) -> str:
        """Return the message for an output of another target, an empty text if there is none."""
        owner, output = self._receipt.get("target"), self._target.output
        if not isinstance(owner, str) or self._is_own():
            return ""
        manifest = self._receipt.get("manifest")
        other = f"{owner!r} of the manifest {manifest!r}" if manifest else repr(owner)
        return (
            f"{output} holds the delivery of the target {other} ({RECEIPT}); "
            "use another output, or remove that folder"
        )

    def _is_own(self) -> bool:
        """Return whether the receipt is of this target; earlier versions name no manifest."""
        target, manifest = self._receipt.get("target"), self._receipt.get("manifest")
        if manifest is None:
            return bool(target == self._target.name)
        name, _, own = self._owner.rpartition("/")
        return isinstance(manifest, str) and (base_name(manifest), target) == (base_name(name), own)

    def _read_older(self) -> dict[str, Record]:
        """Return the records from the receipt and the artifacts in the state, by path."""
        known = dict(self._read_receipt())
        for each in self._records.made() if self._records else ():
            path = os.path.join(os.path.realpath(each.path.parent), each.path.name)  # noqa: PTH118
            tree = {(each.size, each.sha256)} if each.name.endswith("/") else set()
            before = known.get(path, Record())
            known[path] = Record(before.names, before.trees | tree)
        return known

    def _read_receipt(self) -> Iterator[tuple[str, Record]]:
        """Yield the path and the record of each artifact in this target's receipt."""
        if not self._is_own():
            return
        artifacts = self._receipt.get("artifacts")
        for each in artifacts if isinstance(artifacts, list) else ():
            name, size, sha256 = (each.get(key) for key in ("name", "size", "sha256"))
            if isinstance(name, str) and "\0" not in name:
                folder = name.endswith("/") and isinstance(size, int) and isinstance(sha256, str)
                trees = frozenset({(size, sha256)}) if folder else frozenset()
                yield str(Path(self.resolved_output, name)), Record(trees=trees)


def require_same_output(job: Job) -> None:
    """Raise ``DeliveryError`` if the output leads elsewhere than when the target began."""
    # A link put in its place would make the runner write into a folder of somebody else.
    began, output = getattr(job.placed, "resolved_output", None), job.target.output
    if began is not None and os.path.realpath(output) != began:
        raise DeliveryError(
            f"{output} leads to {os.path.realpath(output)} now, not to {began} as when the target "
            "began; nothing more is written there"
        )


def check_step_outputs(job: Job, hooks: Plugins) -> None:
    """Raise ``DeliveryError`` if a step would replace a file that no earlier run has written."""
    owned = Ownership.of(job)
    for step in job.target.steps:
        offer = hooks.registry.steps.get(step.uses)
        for name in offer.writes(step.options) if offer else ():
            path = job.target.output / name
            if path.is_relative_to(job.target.output) and (problem := owned.foreign_file(path)):
                raise DeliveryError(f"step {step.uses}: {problem}")


def _read(output: Path) -> dict[str, Any]:
    """Return the receipt in an output, empty if there is none or it cannot be read."""
    try:
        receipt = json.loads((output / RECEIPT).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return receipt if isinstance(receipt, dict) else {}
