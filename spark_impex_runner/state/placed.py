"""What the runs of a target have put into its output, by path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.state.rows import as_artifact

if TYPE_CHECKING:
    from spark_impex_runner.models import Artifact
    from spark_impex_runner.state.database import Database

# No step has this name, so that a step's own memory never meets these records.
_USES = ""


class Placed:
    """The records of one target; ``made`` is what is known of earlier versions' deliveries."""

    def __init__(self, database: Database, target: str) -> None:
        self._db = database
        self._target = target

    def get(self, path: str) -> str:
        """Return the record of a path, an empty text if there is none."""
        sql = "SELECT value FROM memories WHERE target = ? AND uses = ? AND key = ?"
        rows = self._db.read(sql, (self._target, _USES, path))
        return str(rows[0]["value"]) if rows else ""

    def put(self, path: str, record: str) -> None:
        """Write the record of a path to disk."""
        sql = "INSERT OR REPLACE INTO memories VALUES (?, ?, ?, ?)"
        self._db.write((sql, (self._target, _USES, path, record)))

    def made(self) -> tuple[Artifact, ...]:
        """Return what all attempts of the target, and of its parts, have made."""
        rows = self._db.read(
            "SELECT artifacts.* FROM artifacts JOIN attempts ON attempts.id = attempt"
            " WHERE target = ? OR part_of IN (SELECT id FROM attempts WHERE target = ?)",
            (self._target, self._target),
        )
        return tuple(as_artifact(row) for row in rows)
