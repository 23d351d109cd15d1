"""Which rows belong to a target or a run: the tables of a scope, and how their rows refer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spark_impex_runner.state.storage import Statement

# The rows of a target's own, with those of its parts; ``:key`` is that of the scope. The range is
# that of ``key#…``, as an index finds it: a run may have ten thousand targets.
OF_TARGET: Final = "(target = :key OR (target > :key || '#' AND target < :key || '$'))"
_OF_ATTEMPT = f"attempt IN (SELECT id FROM attempts WHERE {OF_TARGET})"  # noqa: S608 - constants
# For each kind of scope its tables with the condition of its rows, parents first.
TABLES: Final[Mapping[str, Mapping[str, str]]] = {
    "target": {
        "attempts": OF_TARGET,
        "parts": _OF_ATTEMPT,
        "artifacts": _OF_ATTEMPT,
        "steps": _OF_ATTEMPT,
        "outcomes": _OF_ATTEMPT,
        "holds": _OF_ATTEMPT,
        "approvals": f"hold IN (SELECT id FROM holds WHERE {_OF_ATTEMPT})",  # noqa: S608
        "evidence": _OF_ATTEMPT,
        "memories": OF_TARGET,
    },
    "run": {"runs": "id = :key", "run_targets": "run_id = :key"},
}
# Tables whose rows have a number, and the columns that refer to one.
NUMBERED: Final = ("attempts", "outcomes", "holds", "approvals", "evidence")
REFERENCES: Final = {"part_of": "attempts", "attempt": "attempts", "hold": "holds"}


def rows_of(table: str, where: str) -> str:
    """Return the query for the rows of a table that meet a condition, in their order."""
    order = "position" if table == "run_targets" else "rowid"  # that one has no rowid
    return f"SELECT * FROM {table} WHERE {where} ORDER BY {order}"  # noqa: S608 - constants


def insertion(table: str, values: Mapping[str, Any]) -> Statement:
    """Return the statement that inserts a row; the names of its columns become part of it."""
    columns, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
    return f"INSERT INTO {table} ({columns}) VALUES ({marks})", values  # noqa: S608 - see above
