"""What each run did with an attempt: one row for every run that worked on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from spark_impex_runner.state.storage import Statement

# Conditions that select the attempts that end: one (twice its id) with its parts, or one part.
WITH_PARTS = "attempts.id = ? OR part_of = ?"
ONE_PART = "part_of = ? AND target = ?"


def resume_statement(run_id: str, attempt: int, now: datetime) -> Statement:
    """Return the statement that records that a run resumes an attempt."""
    sql = (
        "INSERT INTO outcomes (run_id, attempt, began) SELECT ?, ?, ? WHERE NOT EXISTS"
        " (SELECT 1 FROM outcomes WHERE run_id = ? AND attempt = ?)"
    )
    return sql, (run_id, attempt, now.isoformat(), run_id, attempt)


def start_statement(run_id: str, now: datetime) -> Statement:
    """Return the statement that records the run of the attempt inserted just before it."""
    sql = "INSERT INTO outcomes (run_id, attempt, began) VALUES (?, last_insert_rowid(), ?)"
    return sql, (run_id, now.isoformat())


def leave_statement(run_id: str, attempt: int, result: tuple[str, str], now: datetime) -> Statement:
    """Return the statement that records how a run left an attempt that stays open."""
    sql = "UPDATE outcomes SET outcome = ?, error = ?, ended = ? WHERE run_id = ? AND attempt = ?"
    return sql, (*result, now.isoformat(), run_id, attempt)


def close_statements(
    condition: str, values: tuple[Any, ...], result: tuple[str, str], now: datetime
) -> tuple[Statement, Statement]:
    """Return the statements that record how attempts end; execute them before these are closed.

    ``condition`` is one of the constants above, ``result`` an outcome and an error. They complete
    the row of the last run. Where that run has ended with another outcome, as with a target that is
    cancelled while it is held, they add a row.
    """
    last = (
        "SELECT max(outcomes.id) FROM outcomes JOIN attempts ON attempts.id = attempt"  # noqa: S608
        f" WHERE ({condition}) AND finished IS NULL GROUP BY attempt"
    )
    insert = (
        "INSERT INTO outcomes (run_id, attempt, began, ended, outcome, error)"  # noqa: S608
        f" SELECT run_id, attempt, ?, ?, ?, ? FROM outcomes WHERE id IN ({last})"
        " AND ended IS NOT NULL AND outcome <> ?"
    )
    update = (
        "UPDATE outcomes SET ended = ?, outcome = ?, error = ?"  # noqa: S608
        f" WHERE id IN ({last}) AND ended IS NULL"
    )
    moment = now.isoformat()
    inserted = (moment, moment, *result, *values, result[0])
    return (insert, inserted), (update, (moment, *result, *values))
