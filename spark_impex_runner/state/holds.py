"""Holds: the work that waits for an approval, stored whole, and how each hold ended."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from spark_impex_runner.models import Approval
from spark_impex_runner.state.storage import read_as

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from spark_impex_runner.state.models import Attempt
    from spark_impex_runner.state.storage import Storage

# How a hold ends: another one replaces it, or the approved work is done.
REPLACED, USED = "replaced", "used"
# In place of the run's id for an approval without a run.
RECORDED = "impex approve"


@dataclass(frozen=True, slots=True)
class Hold:
    """The work of one attempt that waits for an approval.

    ``name`` is the connection to approve, ``work`` all that would be done, ``command`` the command
    line that approves it. ``approved_by`` is the id of the run that got an ``approval``.
    ``initiators`` are the names of those who started what is held, and so may not approve it alone.
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
    initiators: tuple[str, ...] = ()

    @property
    def digests(self) -> tuple[str, ...]:
        """The SHA-256 of the packages that wait."""
        return tuple(each["sha256"] for each in self.work["packages"].values())


class Holds:
    """The holds of one state."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def put(self, attempt: Attempt, hold: Hold) -> Hold:
        """Store the hold of an attempt in place of an earlier one; return it with its id."""
        columns = "(attempt, run_id, at, name, work, command, initiators)"
        values = (
            attempt.id,
            hold.run_id,
            hold.at.isoformat(),
            hold.name,
            json.dumps(hold.work, sort_keys=True),
            hold.command,
            json.dumps(hold.initiators),
        )
        row = self._storage.write(
            attempt.scope,
            ("UPDATE holds SET ended = ? WHERE attempt = ? AND ended = ''", (REPLACED, attempt.id)),
            ("UPDATE attempts SET held = ? WHERE id = ?", (hold.name, attempt.id)),
            (f"INSERT INTO holds {columns} VALUES (?, ?, ?, ?, ?, ?, ?)", values),  # noqa: S608
        )
        return self._read(attempt, "SELECT * FROM holds WHERE id = ?", row)[0]

    def of(self, attempt: Attempt) -> Hold | None:
        """Return the open hold of an attempt, None if there is none."""
        sql = "SELECT * FROM holds WHERE attempt = ? AND ended = '' ORDER BY id DESC LIMIT 1"
        return next(iter(self._read(attempt, sql, attempt.id)), None)

    def is_unrecorded(self, attempt: Attempt) -> bool:
        """Return True if a version of the runner without this table held the attempt."""
        sql = "SELECT 1 FROM holds WHERE attempt = ? LIMIT 1"
        return bool(attempt.held) and not self._storage.read(attempt.scope, sql, (attempt.id,))

    def approve(self, attempt: Attempt, given: Approval) -> None:
        """Store an approval of an attempt's open hold, before any of the work is done."""
        last = (
            "UPDATE holds SET approved_by = ?, approval = ?, approved_at = ?"
            " WHERE attempt = ? AND ended = ''"
        )
        each = (
            "INSERT INTO approvals (hold, run_id, at, approval, approver, named_by)"
            " SELECT id, ?, ?, ?, ?, ? FROM holds WHERE attempt = ? AND ended = ''"
        )
        covers = ", ".join(given.covers)
        values = (given.run_id, given.at, covers, given.by, given.named_by, attempt.id)
        self._storage.write(
            attempt.scope,
            (last, (given.run_id or RECORDED, covers, given.at, attempt.id)),
            (each, values),
        )

    def recorded(self, attempt: Attempt) -> tuple[Approval, ...]:
        """Return what ``impex approve`` recorded for an attempt's open hold, the newest first."""
        where = "holds.ended = '' AND approvals.run_id = '' ORDER BY approvals.id DESC"
        return self._approvals(attempt, where)

    def used(self, attempt: Attempt) -> tuple[Approval, ...]:
        """Return the approvals by which work of an attempt was done, the oldest first."""
        last = "SELECT max(id) FROM approvals GROUP BY hold"
        where = f"holds.ended = '{USED}' AND approvals.id IN ({last}) ORDER BY approvals.id"
        return self._approvals(attempt, where)

    def use(self, attempt: Attempt) -> None:
        """Store that the approved work of an attempt is done: the approval covers nothing more."""
        sql = "UPDATE holds SET ended = ? WHERE attempt = ? AND ended = ''"
        self._storage.write(attempt.scope, (sql, (USED, attempt.id)))

    def _approvals(self, attempt: Attempt, where: str) -> tuple[Approval, ...]:
        # ``where`` is always a constant of this class.
        sql = (
            "SELECT approvals.* FROM approvals JOIN holds ON holds.id = hold"  # noqa: S608
            f" WHERE attempt = ? AND {where}"
        )
        return tuple(read_as(self._storage, _as_approval, attempt.scope, sql, (attempt.id,)))

    def _read(self, attempt: Attempt, sql: str, value: int) -> list[Hold]:
        return read_as(self._storage, _as_hold, attempt.scope, sql, (value,))


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
        initiators=tuple(json.loads(row["initiators"])),
    )


def _as_approval(row: sqlite3.Row) -> Approval:
    covers = tuple(row["approval"].split(", "))
    return Approval(covers, row["approver"], row["named_by"], row["at"], row["run_id"])
