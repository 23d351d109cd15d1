"""Holds: the work that waits for an approval, stored whole, and how each hold ended."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from spark_impex_runner.state.database import Database
    from spark_impex_runner.state.models import Attempt

# How a hold ends: another one replaces it, or the approved work is done.
REPLACED, USED = "replaced", "used"


@dataclass(frozen=True, slots=True)
class Hold:
    """The work of one attempt that waits for an approval.

    ``name`` is the connection to approve, ``work`` all that would be done, ``command`` the command
    line that approves it. ``approved_by`` is the id of the run that got an ``approval``.
    """

    id: int
    attempt: int
    run_id: str
    at: datetime
    name: str
    work: Mapping[str, Any]
    command: str
    approved_by: str = ""
    approval: str = ""

    @property
    def digests(self) -> tuple[str, ...]:
        """The SHA-256 of the packages that wait."""
        return tuple(each["sha256"] for each in self.work["packages"].values())


class Holds:
    """The holds of one state."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def put(self, attempt: Attempt, hold: Hold) -> Hold:
        """Store the hold of an attempt in place of an earlier one; return it with its id."""
        columns = "(attempt, run_id, at, name, work, command)"
        values = (
            attempt.id,
            hold.run_id,
            hold.at.isoformat(),
            hold.name,
            json.dumps(hold.work, sort_keys=True),
            hold.command,
        )
        row = self._db.write(
            ("UPDATE holds SET ended = ? WHERE attempt = ? AND ended = ''", (REPLACED, attempt.id)),
            ("UPDATE attempts SET held = ? WHERE id = ?", (hold.name, attempt.id)),
            (f"INSERT INTO holds {columns} VALUES (?, ?, ?, ?, ?, ?)", values),  # noqa: S608
        )
        return _as_hold(self._db.read("SELECT * FROM holds WHERE id = ?", (row,))[0])

    def of(self, attempt: Attempt) -> Hold | None:
        """Return the open hold of an attempt, None if there is none."""
        sql = "SELECT * FROM holds WHERE attempt = ? AND ended = '' ORDER BY id DESC LIMIT 1"
        return next(iter(map(_as_hold, self._db.read(sql, (attempt.id,)))), None)

    def is_unrecorded(self, attempt: Attempt) -> bool:
        """Return True if a version of the runner without this table held the attempt."""
        sql = "SELECT 1 FROM holds WHERE attempt = ? LIMIT 1"
        return bool(attempt.held) and not self._db.read(sql, (attempt.id,))

    def approve(self, hold: Hold, run_id: str, approval: str, now: datetime) -> None:
        """Store the approval of a hold, before the run does any of the work."""
        last = "UPDATE holds SET approved_by = ?, approval = ?, approved_at = ? WHERE id = ?"
        each = "INSERT INTO approvals (hold, run_id, at, approval) VALUES (?, ?, ?, ?)"
        moment = now.isoformat()
        self._db.write(
            (last, (run_id, approval, moment, hold.id)), (each, (hold.id, run_id, moment, approval))
        )

    def use(self, hold: Hold) -> None:
        """Store that the approved work is done: the approval covers nothing more."""
        self._db.write(("UPDATE holds SET ended = ? WHERE id = ?", (USED, hold.id)))


def _as_hold(row: sqlite3.Row) -> Hold:
    return Hold(
        id=row["id"],
        attempt=row["attempt"],
        run_id=row["run_id"],
        at=datetime.fromisoformat(row["at"]),
        name=row["name"],
        work=json.loads(row["work"]),
        command=row["command"],
        approved_by=row["approved_by"],
        approval=row["approval"],
    )
