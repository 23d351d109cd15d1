"""What each run did for a target: one row for every run that worked on an attempt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from spark_impex_runner.state.database import Database

Statement = tuple[str, tuple[Any, ...]]

# The last row of each attempt that is about to end: one with its parts, or one part.
WITH_PARTS = "attempts.id = ? OR part_of = ?"
ONE_PART = "part_of = ? AND target = ?"


def begun(run_id: str, attempt: int, now: datetime) -> Statement:
    """Return the statement that a run begins to work on an attempt of an earlier run."""
    sql = (
        "INSERT INTO outcomes (run_id, attempt, began) SELECT ?, ?, ? WHERE NOT EXISTS"
        " (SELECT 1 FROM outcomes WHERE run_id = ? AND attempt = ?)"
    )
    return sql, (run_id, attempt, now.isoformat(), run_id, attempt)


def intended(run_id: str, now: datetime) -> Statement:
    """Return the statement that a run begins the attempt that was inserted just before it."""
    sql = "INSERT INTO outcomes (run_id, attempt, began) VALUES (?, last_insert_rowid(), ?)"
    return sql, (run_id, now.isoformat())


def ended(run_id: str, attempt: int, how: tuple[str, str], now: datetime) -> Statement:
    """Return the statement that a run leaves an attempt, which stays open, with an outcome."""
    sql = "UPDATE outcomes SET outcome = ?, error = ?, ended = ? WHERE run_id = ? AND attempt = ?"
    return sql, (*how, now.isoformat(), run_id, attempt)


def closed(
    which: str, values: tuple[Any, ...], how: tuple[str, str], now: datetime
) -> tuple[Statement, Statement]:
    """Return the statements, before those that end attempts, that write down how they end.

    ``which`` is one of the conditions above, ``how`` an outcome and an error. They end what the
    last run has begun; where that run has ended already, in another way, as with a target that is
    given up while it is held, they add a row.
    """
    last = (
        "SELECT max(outcomes.id) FROM outcomes JOIN attempts ON attempts.id = attempt"  # noqa: S608
        f" WHERE ({which}) AND finished IS NULL GROUP BY attempt"
    )
    more = (
        "INSERT INTO outcomes (run_id, attempt, began, ended, outcome, error)"  # noqa: S608
        f" SELECT run_id, attempt, ?, ?, ?, ? FROM outcomes WHERE id IN ({last})"
        " AND ended IS NOT NULL AND outcome <> ?"
    )
    open_ones = (
        "UPDATE outcomes SET ended = ?, outcome = ?, error = ?"  # noqa: S608
        f" WHERE id IN ({last}) AND ended IS NULL"
    )
    moment = now.isoformat()
    return (more, (moment, moment, *how, *values, how[0])), (open_ones, (moment, *how, *values))


def whole(attempt: int, how: tuple[str, str], now: datetime) -> tuple[Statement, Statement]:
    """Return the statements that write down how an attempt ends with its parts."""
    return closed(WITH_PARTS, (attempt, attempt), how, now)


def rows(database: Database, limit: int) -> tuple[dict[str, Any], ...]:
    """Return the last rows with their targets, jobs, runs and approvals, newest first."""
    found = database.read(
        "SELECT outcomes.began, outcomes.ended, outcomes.outcome, outcomes.error, outcomes.run_id,"
        " attempts.target, attempts.job_id, runs.manifest, runs.started, runs.exit_code,"
        " (SELECT group_concat(approval, ', ') FROM holds"
        "  WHERE holds.attempt = attempts.id AND approved_by = outcomes.run_id) AS approved"
        " FROM outcomes JOIN attempts ON attempts.id = attempt"
        " JOIN runs ON runs.id = outcomes.run_id ORDER BY outcomes.id DESC LIMIT ?",
        (limit,),
    )
    return tuple(dict(row) for row in found)
