"""The values that a step stores, kept in the state of the run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_impex_runner.models import KeyValueStore

if TYPE_CHECKING:
    from spark_impex_runner.delivery.context import Context


@dataclass(frozen=True, slots=True)
class StepStore(KeyValueStore):
    """The values of one step of one target; secrets in them are masked."""

    context: Context
    target: str
    uses: str

    def get(self, key: str) -> str:
        """Return the value that any run of the target stored under a key."""
        return self.context.state.value(self._key(key))

    def put(self, key: str, value: str) -> None:
        """Write a value to disk."""
        self.context.state.store_value(self._key(key), self.context.masker.mask(value))

    def _key(self, key: str) -> tuple[str, str, str]:
        return self.target, self.uses, self.context.masker.mask(key)
