"""The records of what a target's runs have put into its output, from the state and its receipt."""

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

    What earlier versions of this package have delivered has no record of its own: it is known by
    the artifacts in the state and by the receipt beside it. Without a state nothing is recorded.
    """

    def __init__(self, state: State | None, key: str, target: Target) -> None:
        super().__init__()
        self._records = state.placed(key) if state else None
        self._owner = key
        self._target = target
        self._receipt = _read(target.output)
        self._older: dict[str, Record] | None = None
        self.home = os.path.realpath(target.output)

    def get(self, key: str) -> str:
        """Return the record of a path, an empty text if there is none."""
        if self._records and (text := self._records.get(key)):
            return text
        if self._older is None:
            self._older = self._known()
        return self._older[key].text() if key in self._older else ""

    def put(self, key: str, value: str) -> None:
        """Write a record to disk; it holds names of files and no text of a user's."""
        if self._records:
            self._records.put(key, value)

    def adopt_receipt(self) -> None:
        """Record what only the receipt knows, before a new delivery removes it.

        Raises ``DeliveryError`` if the receipt is that of another target.
        """
        if problem := self.other_target():
            raise DeliveryError(problem)
        for place, record in self._listed():
            if self._records and not self._records.get(place):
                self.put(place, record.text())

    def other_target(self) -> str:
        """Return why the output belongs to another target, empty if it does not."""
        owner, output = self._receipt.get("target"), self._target.output
        if not isinstance(owner, str) or self._is_own():
            return ""
        manifest = self._receipt.get("manifest")
        of = f"{owner!r} of the manifest {manifest!r}" if manifest else repr(owner)
        return (
            f"{output} holds the delivery of the target {of} ({RECEIPT}); "
            "use another output, or remove that folder"
        )

    def _is_own(self) -> bool:
        """Tell whether the receipt is the target's; earlier versions name no manifest in it."""
        target, manifest = self._receipt.get("target"), self._receipt.get("manifest")
        if manifest is None:
            return bool(target == self._target.name)
        name, _, own = self._owner.rpartition("/")
        return isinstance(manifest, str) and (base_name(manifest), target) == (base_name(name), own)

    def _known(self) -> dict[str, Record]:
        """Return what the receipt and the artifacts in the state tell, by path."""
        known = dict(self._listed())
        for each in self._records.made() if self._records else ():
            place = os.path.join(os.path.realpath(each.path.parent), each.path.name)  # noqa: PTH118
            tree = {(each.size, each.sha256)} if each.name.endswith("/") else set()
            before = known.get(place, Record())
            known[place] = Record(before.names, before.trees | tree)
        return known

    def _listed(self) -> Iterator[tuple[str, Record]]:
        """Yield path and record of each artifact that the target's receipt lists."""
        if not self._is_own():
            return
        artifacts = self._receipt.get("artifacts")
        for each in artifacts if isinstance(artifacts, list) else ():
            name, size, sha256 = (each.get(key) for key in ("name", "size", "sha256"))
            if isinstance(name, str) and "\0" not in name:
                folder = name.endswith("/") and isinstance(size, int) and isinstance(sha256, str)
                trees = frozenset({(size, sha256)}) if folder else frozenset()
                yield str(Path(self.home, name)), Record(trees=trees)


def require_same_output(job: Job) -> None:
    """Raise ``DeliveryError`` if the output leads elsewhere than when work on it began."""
    home, output = getattr(job.placed, "home", None), job.target.output
    if home is not None and os.path.realpath(output) != home:
        raise DeliveryError(
            f"{output} leads to {os.path.realpath(output)} now, not to {home} as when the target "
            "began; nothing more is written there"
        )


def check_places(job: Job, hooks: Plugins) -> None:
    """Raise ``DeliveryError`` if a step would replace what no earlier run has put there."""
    owned = Ownership.of(job)
    for step in job.target.steps:
        offer = hooks.registry.steps.get(step.uses)
        for name in offer.writes(step.options) if offer else ():
            path = job.target.output / name
            if path.is_relative_to(job.target.output) and (problem := owned.stranger(path)):
                raise DeliveryError(f"step {step.uses}: {problem}")


def _read(output: Path) -> dict[str, Any]:
    """Return the receipt in an output; nothing if there is none that can be read."""
    try:
        receipt = json.loads((output / RECEIPT).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return receipt if isinstance(receipt, dict) else {}
