"""The rows of the loaded targets and runs: the state's schema in memory."""

from __future__ import annotations

import sqlite3
import threading
import weakref
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import StateError
from spark_impex_runner.state.migrations import MIGRATIONS
from spark_impex_runner.state.tables import (
    NUMBERED,
    OF_TARGET,
    REFERENCES,
    TABLES,
    insertion,
    rows_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from spark_impex_runner.state.remote.document import Tables
    from spark_impex_runner.state.storage import Scope, Statement, Values

# Older attempts of a target whose outcome and duration are kept.
_KEPT = 20
_WHOLE = (
    f"SELECT id FROM attempts WHERE {OF_TARGET} AND part_of IS NULL AND (finished IS NULL OR id ="  # noqa: S608
    " (SELECT max(id) FROM attempts WHERE target = :key AND delivered IS NOT NULL))"
)
_THIN = (
    f"SELECT id FROM attempts WHERE target = :key AND id NOT IN ({_WHOLE})"  # noqa: S608
    f" ORDER BY id DESC LIMIT {_KEPT}"
)
# Attempts that are older still, and the parts of all but the whole ones.
_GONE = (
    f"SELECT id FROM attempts WHERE (target = :key AND id NOT IN ({_WHOLE})"  # noqa: S608
    f" AND id NOT IN (SELECT id FROM ({_THIN})))"
    f" OR ({OF_TARGET} AND part_of IS NOT NULL AND part_of NOT IN ({_WHOLE}))"
)
_OF_ATTEMPTS = ("parts", "artifacts", "steps", "outcomes", "holds", "evidence")
_RECORDED = "EXISTS (SELECT 1 FROM memories WHERE target = :key AND uses = '')"

_CLOSED = "the state is closed"


class Rows:
    """The rows at hand, safe for threads. Numbers of rows are this object's own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection = _opened()
        # Python warns of a connection that is left to garbage collection, even of one to memory.
        self._free = weakref.finalize(self, self._connection.close)
        self._last = dict.fromkeys(NUMBERED, 0)
        _migrate(self._connection, 0)
        self._connection.execute("CREATE INDEX approvals_of_a_hold ON approvals(hold)")

    def read(self, sql: str, values: Values = ()) -> list[sqlite3.Row]:
        """Return all rows of a query."""
        with self._lock, _translated_errors():
            return self._connection.execute(sql, values).fetchall()

    def write(self, statements: Iterable[Statement]) -> tuple[int, bool]:
        """Execute all statements or none; return the last inserted id, and if anything changed."""
        with self._lock, _translated_errors(), self._connection:
            self._connection.execute("BEGIN")
            before, row = self._connection.total_changes, 0
            for sql, values in statements:
                row = self._connection.execute(sql, values).lastrowid or row
            return row, self._connection.total_changes > before

    def load(self, scope: Scope, tables: Tables, schema: int) -> None:
        """Put the rows of a scope in place of those at hand; they get new numbers.

        Raises ``ValueError`` if they do not fit the schema.
        """
        try:
            self._load(scope, _migrated(tables, schema))
        except sqlite3.ProgrammingError as error:
            raise StateError(_CLOSED) from error
        except (sqlite3.Error, KeyError) as error:
            raise ValueError(f"rows that do not fit: {error}") from error

    def _load(self, scope: Scope, tables: Tables) -> None:
        with self._lock, self._connection:
            self._connection.execute("BEGIN")
            for table, where in reversed([*TABLES[scope.kind].items()]):
                self._number(table)
                sql = f"DELETE FROM {table} WHERE {where}"  # noqa: S608 - constants
                self._connection.execute(sql, {"key": scope.key})
            numbers: dict[tuple[str, int], int] = {}
            for table in TABLES[scope.kind]:
                for row in tables.get(table, ()):
                    self._insert(table, row, numbers)

    def dump(self, scope: Scope) -> Tables:
        """Return the rows of a scope."""
        with self._lock:
            return {
                table: [dict(row) for row in self._of(table, where, scope)]
                for table, where in TABLES[scope.kind].items()
            }

    def prune(self, target: str) -> None:
        """Keep the open and the last delivered attempt, and outcomes and times of some others."""
        thin = f"attempt IN (SELECT id FROM ({_THIN}))"  # noqa: S608 - constants
        of_gone = f"attempt IN ({_GONE})"
        statements = (
            f"DELETE FROM approvals WHERE hold IN (SELECT id FROM holds WHERE {of_gone})",  # noqa: S608
            *(f"DELETE FROM {table} WHERE {of_gone}" for table in _OF_ATTEMPTS),  # noqa: S608
            f"DELETE FROM steps WHERE {thin}",  # noqa: S608
            f"DELETE FROM parts WHERE {thin}",  # noqa: S608
            f"DELETE FROM evidence WHERE {thin}",  # noqa: S608
            # Older runners recorded in no other place what they had put into an output.
            f"DELETE FROM artifacts WHERE {thin} AND {_RECORDED}",  # noqa: S608
            f"DELETE FROM attempts WHERE id IN ({_GONE})",  # noqa: S608
        )
        self.write((sql, {"key": target}) for sql in statements)

    def close(self) -> None:
        """Free the memory."""
        with self._lock:
            self._free()

    def _of(self, table: str, where: str, scope: Scope) -> list[sqlite3.Row]:
        return self._connection.execute(rows_of(table, where), {"key": scope.key}).fetchall()

    def _number(self, table: str) -> None:
        """Note the highest number of a table, so that no number means another row later."""
        if table in self._last:
            sql = f"SELECT coalesce(max(id), 0) FROM {table}"  # noqa: S608 - a constant
            highest = self._connection.execute(sql).fetchone()[0]
            self._last[table] = max(self._last[table], highest)

    def _insert(
        self, table: str, row: Mapping[str, Any], numbers: dict[tuple[str, int], int]
    ) -> None:
        values = dict(row)
        for column, parent in REFERENCES.items():
            if values.get(column) is not None:
                values[column] = numbers[parent, values[column]]
        if table in self._last:
            self._last[table] += 1
            numbers[table, values["id"]] = values["id"] = self._last[table]
        _insert(self._connection, table, values)


def _opened() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    return connection


def _migrate(connection: sqlite3.Connection, schema: int) -> None:
    for script in MIGRATIONS[schema:]:
        connection.executescript(script)


def _migrated(tables: Tables, schema: int) -> Tables:
    """Return rows of an older schema as the migrations leave them."""
    if schema == len(MIGRATIONS):
        return tables
    with closing(_opened()) as scratch:
        for script in MIGRATIONS[:schema]:
            scratch.executescript(script)
        for table in (name for of_kind in TABLES.values() for name in of_kind):
            for row in tables.get(table, ()):
                _insert(scratch, table, row)
        _migrate(scratch, schema)
        return {
            table: [dict(row) for row in scratch.execute(f"SELECT * FROM {table}")]  # noqa: S608
            for of_kind in TABLES.values()
            for table in of_kind
        }


def _insert(connection: sqlite3.Connection, table: str, row: Mapping[str, Any]) -> None:
    if not all(name.isidentifier() for name in row):
        raise KeyError(next(name for name in row if not name.isidentifier()))
    connection.execute(*insertion(table, row))


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Raise SQLite's errors as ``StateError``."""
    try:
        yield
    except sqlite3.ProgrammingError as error:
        raise StateError(_CLOSED) from error
    except sqlite3.Error as error:
        raise StateError(f"the state refuses rows that do not fit it: {error}") from error
