"""Copy a state from one storage to another, target by target and run by run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import StateError
from spark_impex_runner.state.storage import Scope, UnreadableError
from spark_impex_runner.state.tables import (
    NUMBERED,
    OF_TARGET,
    REFERENCES,
    TABLES,
    insertion,
    rows_of,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from datetime import datetime

    from spark_impex_runner.state.storage import Statement, Storage

_TARGETS = "SELECT target FROM attempts UNION SELECT target FROM memories"
_RUNS = "SELECT id FROM runs UNION SELECT run_id FROM attempts UNION SELECT run_id FROM outcomes"
# A run of which only its attempts are left, such as after its object has expired.
_EXPIRED = "INSERT OR IGNORE INTO runs (id, manifest, started) VALUES (?, '', ?)"
_BEGAN = "SELECT min(began) AS began FROM outcomes WHERE run_id = ?"
_UNFINISHED = "SELECT id FROM runs WHERE finished IS NULL"


@dataclass(frozen=True, slots=True)
class Copied:
    """How many targets and runs were copied; those that were there before do not count."""

    targets: int
    runs: int


def migrate(source: Storage, destination: Storage, now: datetime) -> Copied:
    """Copy all targets and runs; what an earlier call has copied already stays as it is.

    Raises ``StateError`` while a run uses the source, if the destination knows more of a target
    than the source, or if a target or run of one of them cannot be read.
    """
    with source.run_lease(""):  # by which a store tells its time
        for row in _all(source, _UNFINISHED):
            if source.is_running(row["id"]):
                raise StateError(f"{source.place}: run {row['id']} uses it; wait for it or stop it")
        return _copy(source, destination, now)


def _copy(source: Storage, destination: Storage, now: datetime) -> Copied:
    pending = [key for key in _targets(source) if not _is_copied(key, source, destination)]
    # The runs first: what belongs to a target refers to them.
    known = {row["id"] for row in _all(destination, _RUNS)}
    runs = [row["id"] for row in _all(source, _RUNS) if row["id"] not in known]
    for run_id in runs:
        scope = Scope.of_run(run_id)
        rows = list(_inserts(source, scope, 0)) or [_expired(source, run_id)]
        destination.write(scope, *rows)
    offset = max(_highest_id(destination), 0)
    for key in pending:
        scope = Scope.of_target(key)
        with source.lease(key, now), destination.lease(key, now):
            # The end of the lease writes it: one request less for each target.
            destination.write_later(scope, *_inserts(source, scope, offset))
    return Copied(len(pending), len(runs))


def _all(storage: Storage, sql: str) -> list[sqlite3.Row]:
    """Return the rows of a query over all targets and runs; raise if any was left out."""
    rows = storage.read(None, sql)
    for each in storage.unreadable():
        raise UnreadableError(each)
    return rows


def _targets(storage: Storage) -> list[str]:
    """Return the keys of all targets, without those of their parts."""
    rows = _all(storage, _TARGETS)
    return sorted({Scope.of_target(row["target"]).key for row in rows})


def _is_copied(key: str, source: Storage, destination: Storage) -> bool:
    """Return whether the destination has a target; raise if it is not the same one."""
    there = _newest(destination, key)
    if there == ([], []):
        return False
    if there != _newest(source, key):
        raise StateError(
            f"{destination.place} has another state of target {key} than {source.place}; "
            "use a place without targets"
        )
    return True


def _newest(storage: Storage, key: str) -> tuple[list[dict[str, Any]], ...]:
    """Return what identifies the state of a target: its last attempt and its values."""
    scope = Scope.of_target(key)
    sql = "SELECT * FROM attempts WHERE target = :key ORDER BY id DESC LIMIT 1"
    attempts = [dict(row) for row in storage.read(scope, sql, {"key": key})]
    values = f"SELECT * FROM memories WHERE {OF_TARGET} ORDER BY target, uses, key"  # noqa: S608
    memories = [dict(row) for row in storage.read(scope, values, {"key": key})]
    for each in attempts:
        del each["id"]
    return attempts, memories


def _highest_id(storage: Storage) -> int:
    queries = (f"SELECT max(id) AS id FROM {table}" for table in NUMBERED)  # noqa: S608
    return max(row["id"] or 0 for sql in queries for row in storage.read(None, sql))


def _inserts(storage: Storage, scope: Scope, offset: int) -> Iterator[Statement]:
    """Yield the statements that insert the rows of a scope, with their ids moved by ``offset``."""
    for table, where in TABLES[scope.kind].items():
        for row in storage.read(scope, rows_of(table, where), {"key": scope.key}):
            yield _insert(table, row, offset)


def _expired(storage: Storage, run_id: str) -> Statement:
    [row] = storage.read(None, _BEGAN, (run_id,))
    return _EXPIRED, (run_id, row["began"] or "")


def _insert(table: str, row: sqlite3.Row, offset: int) -> Statement:
    moved = {*REFERENCES, "id"} if table in NUMBERED else {*REFERENCES}
    values = {
        name: row[name] + offset if name in moved and row[name] is not None else row[name]
        for name in row.keys()  # noqa: SIM118 - a Row iterates over its values
    }
    return insertion(table, values)
