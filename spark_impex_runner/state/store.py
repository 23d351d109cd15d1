"""The state: runs, and the attempts to deliver a target from intent to outcome."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from spark_impex_runner.models import (
    Artifact,
    Outcome,
    Request,
    ServiceVersion,
    StepResult,
)
from spark_impex_runner.state import history
from spark_impex_runner.state.database import FILE, Database
from spark_impex_runner.state.holds import Holds
from spark_impex_runner.state.models import Attempt, Intent, Part, part_key
from spark_impex_runner.state.placed import Placed, read_value, value_statement
from spark_impex_runner.state.rows import (
    as_artifact,
    as_request,
    as_step,
    from_service,
    insert_artifact,
)
from spark_impex_runner.state.runs import Runs, begin_statements, end_statements

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from spark_impex_runner.state.placed import ValueKey
    from spark_impex_runner.state.runs import PastRun, PastTarget

# The outcome of a step that began and whose end is unknown.
BEGUN = "begun"
_DELETE_BEGUN = "DELETE FROM steps WHERE attempt = ? AND digest = ? AND position < 0"
# Beside the manifest, unless --state names another.
STATE_FOLDER = ".impex"


def exists(folder: Path) -> bool:
    """Return True if ``folder`` is a state directory; ``State`` would create one."""
    return (folder / FILE).is_file()


class State:
    """One state directory. Times are aware UTC; callers mask secrets in all that they store."""

    def __init__(self, folder: Path, stopped_at: Callable[[], float] = lambda: math.inf) -> None:
        self.folder = folder
        self._db = Database(folder, stopped_at)
        self.holds = Holds(self._db)
        self.runs = Runs(self._db)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # ---- runs ----

    def begin_run(self, run: PastRun, targets: Sequence[str] = ()) -> None:
        """Store that a run began, with the keys of its targets.

        Does nothing if another worker of the same run has done so.
        """
        self._db.write(*begin_statements(run, targets))

    def end_run(
        self, run_id: str, exit_code: int, now: datetime, targets: Sequence[PastTarget] = ()
    ) -> None:
        """Store the exit code of a run and how its targets ended, in one transaction."""
        self._db.write(*end_statements(run_id, exit_code, now, targets))

    # ---- one attempt, in the order of events ----

    def intend(self, intent: Intent, now: datetime) -> Attempt:
        """Store an intent, before its request is sent."""
        sql = (
            "INSERT INTO attempts"
            " (run_id, target, tenant, fingerprint, correlation_id, size, part_of, intended)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        )
        values = (
            intent.run_id,
            intent.target,
            intent.tenant,
            intent.fingerprint,
            intent.correlation_id,
            intent.size,
            intent.part_of,
            now.isoformat(),
        )
        self._db.write_checkpointed((sql, values), history.start_statement(intent.run_id, now))
        return self._one("target = ? AND finished IS NULL", (intent.target,))

    def note_run(self, attempt: Attempt, run_id: str, now: datetime) -> None:
        """Store that a run resumes an attempt of an earlier run."""
        self._db.write(history.resume_statement(run_id, attempt.id, now))

    def note_outcome(
        self, attempt: Attempt, run_id: str, outcome: Outcome, error: str, now: datetime
    ) -> None:
        """Store how a run left an attempt that stays open."""
        self._db.write(history.leave_statement(run_id, attempt.id, (outcome, error), now))

    def note_job(self, attempt: Attempt, job_id: str, now: datetime) -> Attempt:
        """Store the job's id, before its first status request."""
        sql = "UPDATE attempts SET job_id = ?, created = ? WHERE id = ?"
        self._db.write_checkpointed((sql, (job_id, now.isoformat(), attempt.id)))
        return self._one("id = ?", (attempt.id,))

    def note_done(self, attempt: Attempt, now: datetime, *, watched: bool = True) -> None:
        """Store when the tenant had finished the job.

        ``watched`` is True if this run created the job: only then is its duration known.
        """
        sql = (
            "UPDATE attempts SET done = ?, seconds = CASE WHEN ?"
            " THEN (julianday(?) - julianday(created)) * 86400 END WHERE id = ? AND done IS NULL"
        )
        moment = now.isoformat()
        self._db.write((sql, (moment, watched, moment, attempt.id)))

    def note_delivered(
        self,
        attempt: Attempt,
        artifacts: Sequence[Artifact],
        reported: Sequence[Sequence[ServiceVersion]],
    ) -> None:
        """Store the packages, and the services and versions that the tenant reported."""
        delivered = json.dumps([[from_service(each) for each in part] for part in reported])
        self._db.write(
            ("UPDATE attempts SET delivered = ? WHERE id = ?", (delivered, attempt.id)),
            *(insert_artifact(attempt, each) for each in artifacts),
        )

    def begin_step(self, attempt: Attempt, digest: str, uses: str) -> None:
        """Store that a step begins that must run only once; ``digest`` is that of its work."""
        # A negative position: finished steps take theirs from the manifest, from 0 on.
        lowest = "(SELECT min(coalesce(min(position), 0), 0) - 1 FROM steps WHERE attempt = ?)"
        sql = f"INSERT INTO steps VALUES (?, {lowest}, ?, ?, ?, 0, '', '[]')"  # noqa: S608
        self._db.write((sql, (attempt.id, attempt.id, digest, uses, BEGUN)))

    def forget_step(self, attempt: Attempt, digest: str) -> None:
        """Delete the record that a step began: it is known to have done nothing."""
        self._db.write((_DELETE_BEGUN, (attempt.id, digest)))

    def note_step(
        self, attempt: Attempt, key: tuple[int, str], result: StepResult, made: Sequence[Artifact]
    ) -> None:
        """Store a finished step. ``key`` is its position and the digest of what it does."""
        sql = "INSERT OR REPLACE INTO steps VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        names = json.dumps(result.artifacts)
        facts = (result.uses, result.outcome, result.seconds, result.message, names)
        self._db.write(
            (sql, (attempt.id, *key, *facts)),
            (_DELETE_BEGUN, (attempt.id, key[1])),
            *(insert_artifact(attempt, each) for each in made),
        )

    def finish(self, attempt: Attempt, outcome: str, error: str, now: datetime) -> None:
        """Close an attempt with its parts: the next run of the target starts a new one."""
        self._end(attempt, (outcome, error), "", now)

    def complete(self, attempt: Attempt, work_digest: str, now: datetime) -> None:
        """Close an attempt that succeeded completely; ``work_digest`` is that of all its work."""
        self._end(attempt, (Outcome.SUCCEEDED, ""), work_digest, now)

    def _end(self, attempt: Attempt, result: tuple[str, str], digest: str, now: datetime) -> None:
        # Error and digest are those of the attempt itself, not of its parts.
        sql = (
            "UPDATE attempts SET finished = :now, outcome = :outcome,"
            " error = CASE id WHEN :id THEN :error ELSE '' END,"
            " work = CASE id WHEN :id THEN :work ELSE '' END"
            " WHERE (id = :id OR part_of = :id) AND finished IS NULL"
        )
        values = {"now": now.isoformat(), "id": attempt.id, "work": digest}
        values |= {"outcome": result[0], "error": result[1]}
        self._db.write(
            *history.close_statements(history.WITH_PARTS, (attempt.id,) * 2, result, now),
            (sql, values),
        )

    def split(
        self, whole: Attempt, part: str, requests: Mapping[str, Request], now: datetime
    ) -> None:
        """Store the parts of an attempt's request by name, in place of ``part`` if it is one."""
        closing = (
            "UPDATE attempts SET finished = ?, outcome = 'divided'"
            " WHERE part_of = ? AND target = ? AND finished IS NULL"
        )
        which = (whole.id, part_key(whole.target, part))
        self._db.write(
            ("DELETE FROM parts WHERE attempt = ? AND name = ?", (whole.id, part)),
            *history.close_statements(history.ONE_PART, which, ("divided", ""), now),
            (closing, (now.isoformat(), *which)),
            *(
                ("INSERT INTO parts VALUES (?, ?, ?)", (whole.id, key, json.dumps(asdict(each))))
                for key, each in requests.items()
            ),
        )

    def store_value(self, key: ValueKey, value: str) -> None:
        """Store a value of a step for later attempts and runs."""
        self._db.write_checkpointed(value_statement(key, value))

    # ---- queries ----

    def value(self, key: ValueKey) -> str:
        """Return a value that a step stored, empty if there is none."""
        return read_value(self._db, key)

    def unfinished(self, target: str) -> Attempt | None:
        """Return the open attempt of a target, None if there is none."""
        return next(iter(self._all("target = ? AND finished IS NULL", (target,))), None)

    def last_delivered(self, target: str) -> Attempt | None:
        """Return the last attempt of a target that delivered packages, None if there is none."""
        where = "target = ? AND delivered IS NOT NULL ORDER BY id DESC LIMIT 1"
        return next(iter(self._all(where, (target,))), None)

    def parts(self, whole: Attempt) -> tuple[Part, ...]:
        """Return the parts of an attempt's request, in order; none if it was not split."""
        rows = self._db.read("SELECT * FROM parts WHERE attempt = ?", (whole.id,))
        parts = [Part(row["name"], as_request(row["request"])) for row in rows]
        return tuple(sorted(parts, key=lambda part: [int(n) for n in part.name.split(".")]))

    def open_parts(self, whole: Attempt) -> tuple[Attempt, ...]:
        """Return the open attempts of an attempt's parts, the oldest first."""
        return tuple(self._all("part_of = ? AND finished IS NULL ORDER BY id", (whole.id,)))

    def owner(self, job_id: str) -> Attempt | None:
        """Return the attempt that a job belongs to, None if there is none."""
        return next(iter(self._all("job_id = ?", (job_id,))), None)

    def artifacts(self, attempt: Attempt) -> tuple[Artifact, ...]:
        """Return the artifacts of an attempt so far."""
        rows = self._db.read(
            "SELECT * FROM artifacts WHERE attempt = ? ORDER BY rowid", (attempt.id,)
        )
        return tuple(as_artifact(row) for row in rows)

    def placed(self, target: str) -> Placed:
        """Return the records of what the runs of a target put into its output."""
        return Placed(self._db, target)

    def steps(self, attempt: Attempt) -> dict[tuple[int, str], StepResult]:
        """Return the steps by position and digest; one that only began has a negative position."""
        rows = self._db.read("SELECT * FROM steps WHERE attempt = ?", (attempt.id,))
        return {(row["position"], row["digest"]): as_step(row) for row in rows}

    def durations(self, tenant: str, fingerprint: str) -> tuple[float, ...]:
        """Return the seconds that the last jobs of one request took, the newest first."""
        return self._seconds("fingerprint = ?", (tenant, fingerprint))

    def similar(self, tenant: str, size: str) -> tuple[float, ...]:
        """Return the seconds that the last jobs of a size class took, the newest first."""
        return self._seconds("size = ?", (tenant, size))

    def usual_duration(self, tenant: str, fingerprint: str, size: str) -> float | None:
        """Return the median of ``durations``, or of ``similar`` without any; None without both."""
        return median(self.durations(tenant, fingerprint) or self.similar(tenant, size))

    def _seconds(self, where: str, values: Sequence[Any]) -> tuple[float, ...]:
        # ``where`` is always a constant of this module.
        rows = self._db.read(
            f"SELECT round(seconds, 3) AS seconds FROM attempts WHERE tenant = ? AND {where}"  # noqa: S608
            " AND seconds >= 0 ORDER BY id DESC LIMIT 20",
            values,
        )
        return tuple(row["seconds"] for row in rows)

    def open_attempts(self) -> tuple[Attempt, ...]:
        """Return every open attempt, the oldest first."""
        return tuple(self._all("finished IS NULL ORDER BY id", ()))

    def _one(self, where: str, values: Sequence[Any]) -> Attempt:
        return self._all(where, values)[0]

    def _all(self, where: str, values: Sequence[Any]) -> list[Attempt]:
        # ``where`` is always a constant of this module.
        rows = self._db.read(f"SELECT * FROM attempts WHERE {where}", values)  # noqa: S608
        return [_as_attempt(row) for row in rows]


def _as_attempt(row: sqlite3.Row) -> Attempt:
    services, versions = json.loads(row["delivered"] or "[[], []]")
    return Attempt(
        id=row["id"],
        target=row["target"],
        tenant=row["tenant"],
        fingerprint=row["fingerprint"],
        correlation_id=row["correlation_id"],
        run_id=row["run_id"],
        intended=datetime.fromisoformat(row["intended"]),
        job_id=row["job_id"],
        delivered=row["delivered"] is not None,
        services=tuple(ServiceVersion(*each) for each in services),
        service_versions=tuple(ServiceVersion(*each) for each in versions),
        finished=datetime.fromisoformat(row["finished"]) if row["finished"] else None,
        outcome=row["outcome"],
        error=row["error"],
        work_digest=row["work"],
        part_of=row["part_of"],
        held=row["held"],
    )


def median(seconds: Sequence[float]) -> float | None:
    """Return the median of durations, None without any."""
    # Not that of ``statistics``, whose import each run would pay for.
    middle = sorted(seconds)[(len(seconds) - 1) // 2 : len(seconds) // 2 + 1]
    return sum(middle) / len(middle) if middle else None
