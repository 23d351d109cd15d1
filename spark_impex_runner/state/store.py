"""Attempts to deliver a target: intent, job, delivery, steps, end."""

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
from spark_impex_runner.state.placed import Placed
from spark_impex_runner.state.rows import (
    as_artifact,
    as_request,
    as_step,
    from_service,
    insert_artifact,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


# The outcome of a step of which it is only known that it began.
BEGUN = "begun"
_FORGET = "DELETE FROM steps WHERE attempt = ? AND digest = ? AND position < 0"
# Beside the manifest, unless the user names another.
STATE_FOLDER = ".impex"


def exists(folder: Path) -> bool:
    """Tell whether ``folder`` holds a memory; to open one that is not there makes it."""
    return (folder / FILE).is_file()


class State:
    """The memory of one folder of manifests. Times are aware UTC; no secret is ever given to it."""

    def __init__(self, folder: Path, stopped_at: Callable[[], float] = lambda: math.inf) -> None:
        self.folder = folder
        self._db = Database(folder, stopped_at)
        self.holds = Holds(self._db)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # ---- runs ----

    def begin_run(self, run_id: str, manifest: str, now: datetime) -> None:
        """Remember that a run began, unless another part of it has done so."""
        sql = "INSERT OR IGNORE INTO runs (id, manifest, started) VALUES (?, ?, ?)"
        self._db.write((sql, (run_id, manifest, now.isoformat())))

    def end_run(self, run_id: str, exit_code: int, now: datetime) -> None:
        """Remember how it ended."""
        sql = "UPDATE runs SET finished = ?, exit_code = ? WHERE id = ?"
        self._db.write((sql, (now.isoformat(), exit_code, run_id)))

    # ---- one attempt, in the order of events ----

    def intend(self, intent: Intent, now: datetime) -> Attempt:
        """Put an intent on disk, before the request that it announces."""
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
        self._db.announce((sql, values), history.intended(intent.run_id, now))
        return self._one("target = ? AND finished IS NULL", (intent.target,))

    def note_run(self, attempt: Attempt, run_id: str, now: datetime) -> None:
        """Store that a run begins to work on an attempt that an earlier run left."""
        self._db.write(history.begun(run_id, attempt.id, now))

    def note_outcome(
        self, attempt: Attempt, run_id: str, outcome: Outcome, error: str, now: datetime
    ) -> None:
        """Store how a run left an attempt that stays open."""
        self._db.write(history.ended(run_id, attempt.id, (outcome.value, error), now))

    def note_job(self, attempt: Attempt, job_id: str, now: datetime) -> Attempt:
        """Put the job's id on disk, before the first look at it."""
        sql = "UPDATE attempts SET job_id = ?, created = ? WHERE id = ?"
        self._db.announce((sql, (job_id, now.isoformat(), attempt.id)))
        return self._one("id = ?", (attempt.id,))

    def note_done(self, attempt: Attempt, now: datetime, *, watched: bool = True) -> None:
        """Remember when the job was seen to be done.

        ``watched`` tells that this run saw it begin, too: only then is it known how long it took.
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
        said: Sequence[Sequence[ServiceVersion]],
    ) -> None:
        """Remember the packages, and what the tenant ``said``: its services, its versions."""
        delivered = json.dumps([[from_service(each) for each in part] for part in said])
        self._db.write(
            ("UPDATE attempts SET delivered = ? WHERE id = ?", (delivered, attempt.id)),
            *(insert_artifact(attempt, each) for each in artifacts),
        )

    def begin_step(self, attempt: Attempt, does: str, uses: str) -> None:
        """Put on disk that a step begins which may be done once only; ``does`` is its digest.

        It stands beside the finished steps, at a position of its own that none of them takes.
        """
        lowest = "(SELECT min(coalesce(min(position), 0), 0) - 1 FROM steps WHERE attempt = ?)"
        sql = f"INSERT INTO steps VALUES (?, {lowest}, ?, ?, ?, 0, '', '[]')"  # noqa: S608
        self._db.write((sql, (attempt.id, attempt.id, does, uses, BEGUN)))

    def forget_step(self, attempt: Attempt, does: str) -> None:
        """Forget that a step began: it is known to have done nothing."""
        self._db.write((_FORGET, (attempt.id, does)))

    def note_step(
        self, attempt: Attempt, place: tuple[int, str], result: StepResult, made: Sequence[Artifact]
    ) -> None:
        """Remember a finished step. ``place`` is its position and the digest of what it does."""
        sql = "INSERT OR REPLACE INTO steps VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        names = json.dumps(result.artifacts)
        facts = (result.uses, result.outcome, result.seconds, result.message, names)
        self._db.write(
            (sql, (attempt.id, *place, *facts)),
            (_FORGET, (attempt.id, place[1])),
            *(insert_artifact(attempt, each) for each in made),
        )

    def finish(self, attempt: Attempt, outcome: Outcome | str, error: str, now: datetime) -> None:
        """Close an attempt with its parts: the next run of the same target begins anew."""
        self._end(attempt, (getattr(outcome, "value", outcome), error), "", now)

    def complete(self, attempt: Attempt, work: str, now: datetime) -> None:
        """Close an attempt of which nothing is missing: ``work`` is all that was done for it."""
        self._end(attempt, (Outcome.SUCCEEDED.value, ""), work, now)

    def _end(self, attempt: Attempt, how: tuple[str, str], work: str, now: datetime) -> None:
        sql = (
            "UPDATE attempts SET finished = ?, outcome = ?,"
            " error = CASE id WHEN ? THEN ? ELSE '' END, work = CASE id WHEN ? THEN ? ELSE '' END"
            " WHERE (id = ? OR part_of = ?) AND finished IS NULL"
        )
        number = attempt.id
        values = (now.isoformat(), how[0], number, how[1], number, work, number, number)
        self._db.write(*history.whole(number, how, now), (sql, values))

    def split(
        self, whole: Attempt, part: str, requests: Mapping[str, Request], now: datetime
    ) -> None:
        """Put parts of an attempt's request on disk, by name, in place of ``part`` if it is one."""
        closing = (
            "UPDATE attempts SET finished = ?, outcome = 'divided'"
            " WHERE part_of = ? AND target = ? AND finished IS NULL"
        )
        which = (whole.id, part_key(whole.target, part))
        self._db.write(
            ("DELETE FROM parts WHERE attempt = ? AND name = ?", (whole.id, part)),
            *history.closed(history.ONE_PART, which, ("divided", ""), now),
            (closing, (now.isoformat(), *which)),
            *(
                ("INSERT INTO parts VALUES (?, ?, ?)", (whole.id, key, json.dumps(asdict(each))))
                for key, each in requests.items()
            ),
        )

    def remember(self, place: tuple[str, str, str], value: str) -> None:
        """Put a step's text on disk. ``place`` is its target, its name and the text's key."""
        sql = "INSERT OR REPLACE INTO memories VALUES (?, ?, ?, ?)"
        self._db.announce((sql, (*place, value)))

    # ---- questions ----

    def recall(self, place: tuple[str, str, str]) -> str:
        """Return what a step remembers at a place, an empty text where that is nothing."""
        sql = "SELECT value FROM memories WHERE target = ? AND uses = ? AND key = ?"
        return next((str(row["value"]) for row in self._db.read(sql, place)), "")

    def unfinished(self, target: str) -> Attempt | None:
        """Return the attempt of a target that is not finished, if there is one."""
        return next(iter(self._all("target = ? AND finished IS NULL", (target,))), None)

    def last_delivered(self, target: str) -> Attempt | None:
        """Return the last attempt of a target whose packages were named, if there is one."""
        where = "target = ? AND delivered IS NOT NULL ORDER BY id DESC LIMIT 1"
        return next(iter(self._all(where, (target,))), None)

    def parts(self, whole: Attempt) -> tuple[Part, ...]:
        """Return the parts of an attempt's request, in order; none where it was not divided."""
        rows = self._db.read("SELECT * FROM parts WHERE attempt = ?", (whole.id,))
        parts = [Part(row["name"], as_request(row["request"])) for row in rows]
        return tuple(sorted(parts, key=lambda part: [int(n) for n in part.name.split(".")]))

    def open_parts(self, whole: Attempt) -> tuple[Attempt, ...]:
        """Return the attempts of the parts that were begun and are not finished, oldest first."""
        return tuple(self._all("part_of = ? AND finished IS NULL ORDER BY id", (whole.id,)))

    def owner(self, job_id: str) -> Attempt | None:
        """Return the attempt that a job belongs to, if it belongs to one."""
        return next(iter(self._all("job_id = ?", (job_id,))), None)

    def artifacts(self, attempt: Attempt) -> tuple[Artifact, ...]:
        """Return what an attempt has made so far."""
        rows = self._db.read(
            "SELECT * FROM artifacts WHERE attempt = ? ORDER BY rowid", (attempt.id,)
        )
        return tuple(as_artifact(row) for row in rows)

    def placed(self, target: str) -> Placed:
        """Return the records of what a target's runs have put into its output."""
        return Placed(self._db, target)

    def steps(self, attempt: Attempt) -> dict[tuple[int, str], StepResult]:
        """Return the steps by position and digest; one that only began has a negative position."""
        rows = self._db.read("SELECT * FROM steps WHERE attempt = ?", (attempt.id,))
        return {(row["position"], row["digest"]): as_step(row) for row in rows}

    def durations(self, tenant: str, fingerprint: str) -> tuple[float, ...]:
        """Return how many seconds the last jobs of one request took, newest first."""
        return self._seconds("fingerprint = ?", (tenant, fingerprint))

    def similar(self, tenant: str, size: str) -> tuple[float, ...]:
        """Return how many seconds the last jobs of any request of a size took, newest first."""
        return self._seconds("size = ?", (tenant, size))

    def _seconds(self, where: str, values: Sequence[Any]) -> tuple[float, ...]:
        # ``where`` is always a constant of this module.
        rows = self._db.read(
            f"SELECT seconds FROM attempts WHERE tenant = ? AND {where}"  # noqa: S608
            " AND seconds >= 0 ORDER BY id DESC LIMIT 20",
            values,
        )
        return tuple(round(row["seconds"], 3) for row in rows)

    def open_attempts(self) -> tuple[Attempt, ...]:
        """Return every attempt that is not finished, oldest first."""
        return tuple(self._all("finished IS NULL ORDER BY id", ()))

    def history(self, limit: int) -> tuple[dict[str, Any], ...]:
        """Return what the last runs did for each of their targets, newest first."""
        return history.rows(self._db, limit)

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
