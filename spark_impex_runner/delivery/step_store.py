"""What a step remembers, in the state of the run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_impex_runner.models import KeyValueStore

if TYPE_CHECKING:
    from spark_impex_runner.delivery.context import Context


@dataclass(frozen=True, slots=True)
class StepStore(KeyValueStore):
    """The memory of one step of one target; nothing in it is a secret."""

    context: Context
    target: str
    uses: str

    def get(self, key: str) -> str:
        """Return what was put under a key by any run of the target."""
        return self.context.state.recall(self._place(key))

    def put(self, key: str, value: str) -> None:
        """Put a text on disk."""
        self.context.state.remember(self._place(key), self.context.masker.mask(value))

    def _place(self, key: str) -> tuple[str, str, str]:
        return self.target, self.uses, self.context.masker.mask(key)
