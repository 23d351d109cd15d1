"""The values that steps store, and the records of what runs put into an output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.state.rows import as_artifact
from spark_impex_runner.state.storage import Scope

if TYPE_CHECKING:
    from spark_impex_runner.models import Artifact
    from spark_impex_runner.state.storage import Storage

# The target, the name of the step and the key of the value.
ValueKey = tuple[str, str, str]

# No step has this name, so that a step's own values never meet these records.
_USES = ""


def read_value(storage: Storage, key: ValueKey) -> str:
    """Return a stored value, empty if there is none."""
    sql = "SELECT value FROM memories WHERE target = ? AND uses = ? AND key = ?"
    rows = storage.read(Scope.of_target(key[0]), sql, key)
    return next((str(row["value"]) for row in rows), "")


def value_statement(key: ValueKey, value: str) -> tuple[str, tuple[str, ...]]:
    """Return the statement that stores a value."""
    return "INSERT OR REPLACE INTO memories VALUES (?, ?, ?, ?)", (*key, value)


def old_values_statement(key: ValueKey, least: str) -> tuple[str, tuple[str, ...]]:
    """Return the statement that deletes the values of a key's step that are less."""
    sql = "DELETE FROM memories WHERE target = ? AND uses = ? AND key <> ? AND value < ?"
    return sql, (*key, least)


class Placed:
    """The records of what the runs of one target put into its output, by path."""

    def __init__(self, storage: Storage, target: str) -> None:
        self._storage = storage
        self._target = target

    def get(self, path: str) -> str:
        """Return the record of a path, empty if there is none."""
        return read_value(self._storage, (self._target, _USES, path))

    def put(self, path: str, record: str) -> None:
        """Write the record of a path to disk."""
        self._storage.write(Scope.of_target(self._target), self._statement(path, record))

    def put_later(self, path: str, record: str) -> None:
        """Write the record of a path; a killed run may lose it."""
        self._storage.write_later(Scope.of_target(self._target), self._statement(path, record))

    def _statement(self, path: str, record: str) -> tuple[str, tuple[str, ...]]:
        return value_statement((self._target, _USES, path), record)

    def made(self) -> tuple[Artifact, ...]:
        """Return the artifacts of all attempts of the target and of its parts.

        Versions of the runner before these records stored only those.
        """
        rows = self._storage.read(
            Scope.of_target(self._target),
            "SELECT artifacts.* FROM artifacts JOIN attempts ON attempts.id = attempt"
            " WHERE target = ? OR part_of IN (SELECT id FROM attempts WHERE target = ?)",
            (self._target, self._target),
        )
        return tuple(as_artifact(row) for row in rows)
