"""The state: runs, and the attempts to deliver a target from intent to outcome."""

from __future__ import annotations

import json
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
from spark_impex_runner.state.evidence import Evidence
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
from spark_impex_runner.state.storage import ALL_TARGETS, Scope, read_as

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from spark_impex_runner.state.placed import ValueKey
    from spark_impex_runner.state.runs import PastRun, PastTarget
    from spark_impex_runner.state.storage import Storage, Values

# The outcome of a step that began and whose end is unknown.
BEGUN = "begun"
_DELETE_BEGUN = "DELETE FROM steps WHERE attempt = ? AND digest = ? AND position < 0"


class State:
    """One state. Times are aware UTC; callers mask secrets in all that they store."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.holds = Holds(storage)
        self.evidence = Evidence(storage)
        self.runs = Runs(storage)

    def close(self) -> None:
        """Close the storage."""
        self.storage.close()

    # ---- runs ----

    def begin_run(self, run: PastRun, targets: Sequence[str] = ()) -> None:
        """Store that a run began, with the keys of its targets.

        Does nothing if another worker of the same run has done so.
        """
        self.storage.write(Scope.of_run(run.id), *begin_statements(run, targets))

    def end_run(
        self, run_id: str, exit_code: int, now: datetime, targets: Sequence[PastTarget] = ()
    ) -> None:
        """Store the exit code of a run and how its targets ended, in one transaction."""
        statements = end_statements(run_id, exit_code, now, targets)
        self.storage.write(Scope.of_run(run_id), *statements)

    # ---- one attempt, in the order of events ----

    def intend(self, intent: Intent, now: datetime) -> Attempt:
        """Store an intent, before its request is sent."""
        sql = (
            "INSERT INTO attempts"
            " (run_id, target, tenant, fingerprint, correlation_id, size, part_of, started_by,"
            " intended) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        )
        values = (
            intent.run_id,
            intent.target,
            intent.tenant,
            intent.fingerprint,
            intent.correlation_id,
            intent.size,
            intent.part_of,
            intent.started_by,
            now.isoformat(),
        )
        scope, start = Scope.of_target(intent.target), history.start_statement(intent.run_id, now)
        self.storage.write_vital(scope, (sql, values), start)
        return self._all(scope, "target = ? AND finished IS NULL", (intent.target,))[0]

    def note_run(self, attempt: Attempt, run_id: str, now: datetime) -> None:
        """Store that a run resumes an attempt of an earlier run."""
        self.storage.write_later(attempt.scope, history.resume_statement(run_id, attempt.id, now))

    def note_outcome(
        self, attempt: Attempt, run_id: str, outcome: Outcome, error: str, now: datetime
    ) -> None:
        """Store how a run left an attempt that stays open."""
        statement = history.leave_statement(run_id, attempt.id, (outcome, error), now)
        self.storage.write_later(attempt.scope, statement)

    def note_job(
        self, attempt: Attempt, job_id: str, now: datetime, correlation_id: str = ""
    ) -> Attempt:
        """Store the job's id, before its first status request.

        ``correlation_id`` is that of a job which another run has created.
        """
        label = correlation_id or attempt.correlation_id
        sql = "UPDATE attempts SET job_id = ?, created = ?, correlation_id = ? WHERE id = ?"
        values = (job_id, now.isoformat(), label, attempt.id)
        self.storage.write_vital(attempt.scope, (sql, values))
        return self._all(attempt.scope, "id = ?", (attempt.id,))[0]

    def note_done(self, attempt: Attempt, now: datetime, *, watched: bool = True) -> None:
        """Store when the tenant had finished the job.

        ``watched`` is True if this run created the job: only then is its duration known.
        """
        sql = (
            "UPDATE attempts SET done = ?, seconds = CASE WHEN ?"
            " THEN (julianday(?) - julianday(created)) * 86400 END WHERE id = ? AND done IS NULL"
        )
        moment = now.isoformat()
        self.storage.write_later(attempt.scope, (sql, (moment, watched, moment, attempt.id)))

    def note_delivered(
        self,
        attempt: Attempt,
        artifacts: Sequence[Artifact],
        reported: Sequence[Sequence[ServiceVersion]],
    ) -> None:
        """Store the packages, and the services and versions that the tenant reported."""
        delivered = json.dumps([[from_service(each) for each in part] for part in reported])
        self.storage.write(
            attempt.scope,
            ("UPDATE attempts SET delivered = ? WHERE id = ?", (delivered, attempt.id)),
            *(insert_artifact(attempt, each) for each in artifacts),
        )

    def begin_step(self, attempt: Attempt, digest: str, uses: str) -> None:
        """Store that a step begins that must run only once; ``digest`` is that of its work."""
        # A negative position: finished steps take theirs from the manifest, from 0 on.
        lowest = "(SELECT min(coalesce(min(position), 0), 0) - 1 FROM steps WHERE attempt = ?)"
        sql = f"INSERT INTO steps VALUES (?, {lowest}, ?, ?, ?, 0, '', '[]')"  # noqa: S608
        self.storage.write(attempt.scope, (sql, (attempt.id, attempt.id, digest, uses, BEGUN)))

    def forget_step(self, attempt: Attempt, digest: str) -> None:
        """Delete the record that a step began: it is known to have done nothing."""
        self.storage.write_later(attempt.scope, (_DELETE_BEGUN, (attempt.id, digest)))

    def note_step(
        self,
        attempt: Attempt,
        key: tuple[int, str],
        result: StepResult,
        made: Sequence[Artifact],
        *,
        later: bool = False,
    ) -> None:
        """Store a finished step. ``key`` is its position and the digest of what it does.

        ``later`` for one that may as well run again after a kill.
        """
        sql = "INSERT OR REPLACE INTO steps VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        names = json.dumps(result.artifacts)
        facts = (result.uses, result.outcome, result.seconds, result.message, names)
        write = self.storage.write_later if later else self.storage.write
        write(
            attempt.scope,
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
        self.storage.write_later(
            attempt.scope,
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
        self.storage.write(
            whole.scope,
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
        self.storage.write_vital(Scope.of_target(key[0]), value_statement(key, value))

    # ---- queries ----

    def value(self, key: ValueKey) -> str:
        """Return a value that a step stored, empty if there is none."""
        return read_value(self.storage, key)

    def unfinished(self, target: str) -> Attempt | None:
        """Return the open attempt of a target, None if there is none."""
        return self._first(Scope.of_target(target), "target = ? AND finished IS NULL", target)

    def last_delivered(self, target: str) -> Attempt | None:
        """Return the last attempt of a target that delivered packages, None if there is none."""
        where = "target = ? AND delivered IS NOT NULL ORDER BY id DESC LIMIT 1"
        return self._first(Scope.of_target(target), where, target)

    def ended_by(self, run_id: str, target: str) -> Attempt | None:
        """Return the last attempt of a target that a run has closed, None if there is none."""
        where = (
            "target = ? AND finished IS NOT NULL AND EXISTS"
            " (SELECT 1 FROM outcomes WHERE attempt = attempts.id AND run_id = ?)"
            " ORDER BY id DESC LIMIT 1"
        )
        scope = Scope.of_target(target)
        return next(iter(self._all(scope, where, (target, run_id))), None)

    def parts(self, whole: Attempt) -> tuple[Part, ...]:
        """Return the parts of an attempt's request, in order; none if it was not split."""
        sql = "SELECT * FROM parts WHERE attempt = ?"
        parts = read_as(self.storage, _as_part, whole.scope, sql, (whole.id,))
        return tuple(sorted(parts, key=lambda part: [int(n) for n in part.name.split(".")]))

    def open_parts(self, whole: Attempt) -> tuple[Attempt, ...]:
        """Return the open attempts of an attempt's parts, the oldest first."""
        where = "part_of = ? AND finished IS NULL ORDER BY id"
        return tuple(self._all(whole.scope, where, (whole.id,)))

    def owner(self, job_id: str) -> Attempt | None:
        """Return the attempt that a job belongs to, None if there is none."""
        return self._first(ALL_TARGETS, "job_id = ?", job_id)

    def artifacts(self, attempt: Attempt) -> tuple[Artifact, ...]:
        """Return the artifacts of an attempt so far."""
        sql = "SELECT * FROM artifacts WHERE attempt = ? ORDER BY rowid"
        return tuple(read_as(self.storage, as_artifact, attempt.scope, sql, (attempt.id,)))

    def placed(self, target: str) -> Placed:
        """Return the records of what the runs of a target put into its output."""
        return Placed(self.storage, target)

    def steps(self, attempt: Attempt) -> dict[tuple[int, str], StepResult]:
        """Return the steps by position and digest; one that only began has a negative position."""
        sql = "SELECT * FROM steps WHERE attempt = ?"
        return dict(read_as(self.storage, _as_keyed_step, attempt.scope, sql, (attempt.id,)))

    def durations(self, target: str, tenant: str, fingerprint: str) -> tuple[float, ...]:
        """Return the seconds that the last jobs of a request took, the newest first.

        Those of other targets count where their rows are at hand; so they do in ``similar``.
        """
        return self._seconds(target, "fingerprint = ?", (tenant, fingerprint))

    def similar(self, target: str, tenant: str, size: str) -> tuple[float, ...]:
        """Return the seconds that the last jobs of a size class took, the newest first."""
        return self._seconds(target, "size = ?", (tenant, size))

    def usual_duration(self, target: str, tenant: str, fingerprint: str, size: str) -> float | None:
        """Return the median of ``durations``, or of ``similar`` without any; None without both."""
        own = self.durations(target, tenant, fingerprint)
        return median(own or self.similar(target, tenant, size))

    def _seconds(self, target: str, where: str, values: Sequence[Any]) -> tuple[float, ...]:
        # ``where`` is always a constant of this module.
        rows = self.storage.read(
            Scope.of_target(target),
            f"SELECT round(seconds, 3) AS seconds FROM attempts WHERE tenant = ? AND {where}"  # noqa: S608
            " AND seconds >= 0 ORDER BY intended DESC, id DESC LIMIT 20",
            values,
        )
        return tuple(row["seconds"] for row in rows)

    def open_attempts(self) -> tuple[Attempt, ...]:
        """Return every open attempt, the oldest first."""
        return tuple(self._all(ALL_TARGETS, "finished IS NULL ORDER BY intended, id"))

    def _first(self, scope: Scope, where: str, value: str) -> Attempt | None:
        return next(iter(self._all(scope, where, (value,))), None)

    def _all(self, scope: Scope, where: str, values: Values = ()) -> list[Attempt]:
        # ``where`` is always a constant of this module.
        sql = f"SELECT * FROM attempts WHERE {where}"  # noqa: S608
        return read_as(self.storage, _as_attempt, scope, sql, values)


def _as_part(row: sqlite3.Row) -> Part:
    return Part(row["name"], as_request(row["request"]))


def _as_keyed_step(row: sqlite3.Row) -> tuple[tuple[int, str], StepResult]:
    return (row["position"], row["digest"]), as_step(row)


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
        started_by=row["started_by"],
    )


def median(seconds: Sequence[float]) -> float | None:
    """Return the median of durations, None without any."""
    # Not that of ``statistics``, whose import each run would pay for.
    middle = sorted(seconds)[(len(seconds) - 1) // 2 : len(seconds) // 2 + 1]
    return sum(middle) / len(middle) if middle else None
