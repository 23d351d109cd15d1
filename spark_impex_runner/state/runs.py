"""The runs of a state, each with its targets, what they left waiting, and its approvals."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from spark_impex_runner.state.storage import Scope

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from spark_impex_runner.state.storage import Statement, Storage

# Outcomes of targets whose run has recorded none: it was killed, or it still runs.
UNFINISHED, NOT_STARTED = "unfinished", "not_started"
# The outcomes of a killed run are those of the attempts that it worked on.
_TARGETS = """
    SELECT run_targets.target,
        coalesce(nullif(run_targets.outcome, ''), nullif(outcomes.outcome, ''),
            CASE WHEN outcomes.id IS NULL THEN 'not_started' ELSE 'unfinished' END) AS outcome,
        CASE run_targets.outcome WHEN '' THEN coalesce(outcomes.error, '')
            ELSE run_targets.error END AS error,
        coalesce(nullif(run_targets.job_ids, ''), attempts.job_id, '') AS job_ids,
        coalesce(run_targets.started, outcomes.began) AS started,
        coalesce(run_targets.finished, outcomes.ended) AS finished, phases
    FROM run_targets
    LEFT JOIN (
        SELECT target AS name, max(outcomes.id) AS last
        FROM outcomes JOIN attempts ON attempts.id = attempt WHERE outcomes.run_id = :run
        GROUP BY target
    ) ON name = run_targets.target
    LEFT JOIN outcomes ON outcomes.id = last
    LEFT JOIN attempts ON attempts.id = outcomes.attempt
    WHERE run_targets.run_id = :run ORDER BY position
"""
# A run may leave what an earlier run held: of each attempt the hold that was the last one then.
_HELD = """
    SELECT max(holds.id) FROM holds JOIN outcomes ON outcomes.attempt = holds.attempt
    WHERE outcomes.run_id = :run AND (
        outcomes.outcome = 'held' AND holds.at <= outcomes.ended
        OR outcomes.ended IS NULL AND holds.run_id = :run
    ) GROUP BY holds.attempt
"""
# By time first: with a store the ids of different targets' rows have no order.
_HOLDS = f"""
    SELECT holds.*, target, attempts.finished, attempts.outcome
    FROM holds JOIN attempts ON attempts.id = attempt WHERE holds.id IN ({_HELD})
    ORDER BY holds.at, holds.id
"""  # noqa: S608 - a constant
_APPROVALS = f"""
    SELECT target, approvals.approval, approvals.at, approvals.run_id,
        coalesce(nullif(approver, ''), runs.started_by) AS approver, named_by,
        holds.run_id AS held_by
    FROM approvals JOIN holds ON holds.id = hold JOIN attempts ON attempts.id = attempt
    LEFT JOIN runs ON runs.id = approvals.run_id
    WHERE approvals.run_id = :run OR hold IN ({_HELD})
    ORDER BY approvals.at, approvals.id
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class PastRun:
    """One run. ``counts`` are its targets by outcome; ``finished`` is None until it has ended."""

    id: str
    manifest: str
    started: datetime
    finished: datetime | None = None
    exit_code: int | None = None
    started_by: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PastTarget:
    """What one run did for one target, by its key; times are None where it did nothing.

    ``phases`` are the seconds that it was in each phase.
    """

    target: str
    outcome: str
    error: str = ""
    job_ids: tuple[str, ...] = ()
    started: datetime | None = None
    finished: datetime | None = None
    phases: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PastHold:
    """What a run left waiting for an approval, and what has become of it since.

    ``status`` is ``waiting``, ``approved``, ``replaced`` (by another hold), or the outcome with
    which the target was given up, such as ``cancelled``.
    """

    target: str
    name: str
    digests: tuple[str, ...]
    command: str
    status: str


@dataclass(frozen=True, slots=True)
class PastApproval:
    """One approval: ``run_id`` is the run that was given it, ``held_by`` the one that held.

    ``run_id`` is empty for an approval by ``impex approve``; ``named_by`` says where the name of
    the approver comes from, which is unknown of older approvals.
    """

    target: str
    approval: str
    at: datetime
    by: str
    run_id: str
    held_by: str
    named_by: str = ""


class Runs:
    """The runs of one state."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def last(self, limit: int) -> tuple[PastRun, ...]:
        """Return the last runs, the newest first, without those that another machine has begun.

        A work unit of such a run leaves it here without targets and without an end.
        """
        own = "EXISTS (SELECT 1 FROM run_targets WHERE run_id = runs.id)"
        order = "ORDER BY started DESC, rowid DESC LIMIT :value"
        return self._runs(f"(finished IS NOT NULL OR {own}) {order}", limit)

    def has(self, run_id: str) -> bool:
        """Return whether a run has begun in this state."""
        sql = "SELECT 1 FROM runs WHERE id = ?"
        return bool(self._storage.read(Scope.of_run(run_id), sql, (run_id,)))

    def matching(self, prefix: str) -> tuple[PastRun, ...]:
        """Return the runs whose id begins with a text, the newest first."""
        return self._runs("substr(id, 1, length(:value)) = :value ORDER BY started DESC", prefix)

    def targets(self, run_id: str) -> tuple[PastTarget, ...]:
        """Return the targets of a run, in their order."""
        return tuple(map(_as_target, self._storage.read(None, _TARGETS, {"run": run_id})))

    def holds(self, run_id: str) -> tuple[PastHold, ...]:
        """Return what a run left waiting for an approval."""
        return tuple(map(_as_hold, self._storage.read(None, _HOLDS, {"run": run_id})))

    def approvals(self, run_id: str) -> tuple[PastApproval, ...]:
        """Return the approvals that a run was given, and those of what it held."""
        return tuple(map(_as_approval, self._storage.read(None, _APPROVALS, {"run": run_id})))

    def _runs(self, where: str, value: object) -> tuple[PastRun, ...]:
        # ``where`` is always a constant of this class.
        rows = self._storage.read(None, f"SELECT * FROM runs WHERE {where}", {"value": value})  # noqa: S608
        return tuple(self._as_run(row) for row in rows)

    def _as_run(self, row: sqlite3.Row) -> PastRun:
        sql = "SELECT outcome, count(*) AS n FROM run_targets WHERE run_id = ? GROUP BY outcome"
        counts = {
            each["outcome"]: each["n"] for each in self._storage.read(None, sql, (row["id"],))
        }
        if "" in counts:
            counts = dict(Counter(each.outcome for each in self.targets(row["id"])))
        return PastRun(
            row["id"],
            row["manifest"],
            datetime.fromisoformat(row["started"]),
            _moment(row["finished"]),
            row["exit_code"],
            row["started_by"],
            counts,
        )


def recent_ids(file: Path, limit: int = 20) -> dict[str, str]:
    """Return the ids of the last runs with their manifests, without changing the state file."""
    sql = "SELECT id, manifest FROM runs ORDER BY started DESC LIMIT ?"
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as database:
            return dict(database.execute(sql, (limit,)).fetchall())
    except sqlite3.Error:  # there is none, it is damaged, or it is locked
        return {}


def begin_statements(run: PastRun, targets: Sequence[str]) -> list[Statement]:
    """Return the statements that record that a run began; they change nothing that is recorded."""
    begun = "INSERT OR IGNORE INTO runs (id, manifest, started, started_by) VALUES (?, ?, ?, ?)"
    each = "INSERT OR IGNORE INTO run_targets (run_id, target, position) VALUES (?, ?, ?)"
    return [
        (begun, (run.id, run.manifest, run.started.isoformat(), run.started_by)),
        *((each, (run.id, target, position)) for position, target in enumerate(targets)),
    ]


def end_statements(
    run_id: str, exit_code: int, now: datetime, targets: Sequence[PastTarget]
) -> list[Statement]:
    """Return the statements that record how a run and its targets ended."""
    ended = "UPDATE runs SET finished = ?, exit_code = ? WHERE id = ?"
    each = (
        "UPDATE run_targets SET outcome = ?, error = ?, job_ids = ?, phases = ?, started = ?,"
        " finished = ? WHERE run_id = ? AND target = ?"
    )
    return [
        (ended, (now.isoformat(), exit_code, run_id)),
        *((each, (*_values(target), run_id, target.target)) for target in targets),
    ]


def _values(target: PastTarget) -> tuple[str | None, ...]:
    moments = (each.isoformat() if each else None for each in (target.started, target.finished))
    phases = json.dumps(dict(target.phases))
    return target.outcome, target.error, " ".join(target.job_ids), phases, *moments


def _as_target(row: sqlite3.Row) -> PastTarget:
    return PastTarget(
        row["target"],
        row["outcome"],
        row["error"],
        tuple(row["job_ids"].split()),
        _moment(row["started"]),
        _moment(row["finished"]),
        json.loads(row["phases"]),
    )


def _as_hold(row: sqlite3.Row) -> PastHold:
    packages = json.loads(row["work"])["packages"]
    status = "approved" if row["ended"] == "used" else row["ended"]
    status = status or (row["outcome"] if row["finished"] else "")
    status = status or ("approved" if row["approved_by"] else "waiting")
    digests = tuple(each["sha256"] for each in packages.values())
    return PastHold(row["target"], row["name"], digests, row["command"], status)


def _as_approval(row: sqlite3.Row) -> PastApproval:
    return PastApproval(
        row["target"],
        row["approval"],
        datetime.fromisoformat(row["at"]),
        row["approver"] or "",
        row["run_id"],
        row["held_by"],
        row["named_by"],
    )


def _moment(at: str | None) -> datetime | None:
    return datetime.fromisoformat(at) if at else None
