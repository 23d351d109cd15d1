"""The signed records of attempts, in their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spark_impex_runner.state.models import Attempt
    from spark_impex_runner.state.storage import Storage


class Evidence:
    """The signed records of one state."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def add(self, attempt: Attempt, envelope: str) -> None:
        """Store a signed record of an attempt, after those that it has."""
        sql = "INSERT INTO evidence (attempt, envelope) VALUES (?, ?)"
        self._storage.write(attempt.scope, (sql, (attempt.id, envelope)))

    def of(self, attempt: Attempt) -> list[str]:
        """Return the signed records of an attempt, in their order."""
        sql = "SELECT envelope FROM evidence WHERE attempt = ? ORDER BY id"
        rows = self._storage.read(attempt.scope, sql, (attempt.id,))
        return [row["envelope"] for row in rows]
