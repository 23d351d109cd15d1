"""Run one import at most once; its state is saved before each step that cannot be undone."""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from spark_impex_runner import errors, models, tools

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spark_impex_runner import Spark

    from .mapping import Contents, Mapping

# The tenant lists jobs that ended within the last hour; the margin covers a slow upload.
_LISTED = timedelta(minutes=50)
# Clocks of this machine and of the tenant may differ by so much.
_CLOCK_TOLERANCE = timedelta(minutes=1)
# Seconds after which an import whose reply was lost is listed at the latest.
_LISTING_DELAY = 5.0
_SHOWN = 20
# Statuses of one service or version that mean failure; the API documents only ``added``.
_FAILED = frozenset({"failed", "error", "aborted", "rejected", "cancelled"})


@dataclass(frozen=True, slots=True)
class ImportRecord:
    """The saved state of an import: none, sent, started (``job_id``) or done (``result``)."""

    correlation_id: str = ""
    at: str = ""
    job_id: str = ""
    done: bool = False
    result: str = ""

    @classmethod
    def read(cls, text: str) -> ImportRecord:
        """Parse the saved ``text``; an empty one means that no import was sent."""
        return cls(**json.loads(text)) if text else cls()

    @property
    def text(self) -> str:
        """The record as JSON, for the state of the step."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What to import, and how; ``sha256`` is the digest of the file at ``path``.

    ``contents`` are the versions in it. ``mappings`` identify the import; ``sent`` are those of
    services that are not identical at the destination.
    """

    name: str
    path: Path
    sha256: str
    contents: Contents
    to: str
    mappings: list[Mapping]
    sent: list[Mapping]
    if_present: str
    source_system: str | None
    deadline: float
    interval: float


@dataclass(frozen=True, slots=True)
class Import:
    """Runs one request; ``spark`` is the client of the destination."""

    job: models.Job
    spark: Spark
    request: ImportRequest

    @property
    def record(self) -> ImportRecord:
        """The state of this package's import to these services, from any run."""
        return ImportRecord.read(self.job.memory.get(self.key))

    def reconcile(self) -> ImportRecord:
        """Return the state of the import, after searching for one whose reply was lost.

        Raises ``StepError`` if the tenant cannot tell whether it has started.
        """
        record = self.record
        if record.correlation_id and not record.job_id and not self._find_job(record):
            self._forget()
        return self.record

    def run(self) -> ImportRecord:
        """Import the package unless an earlier run did, and return the finished record.

        Raises ``SparkError`` with the tenant's message, and ``StepError`` if it is unknown whether
        the package has arrived.
        """
        record = self.record
        if record.done:
            return record
        job_id = record.job_id or self._find_job(record) or self._start()
        record = self.record
        results = list(_results(self._wait(job_id)))
        if failed := [line for status, line in results if status in _FAILED]:
            raise errors.StepError(
                f"import job {job_id} failed in part; correct that in Spark, then start over with "
                f"--fresh: {tools.first_of(failed, _SHOWN)}"
            )
        result = tools.first_of([line for _, line in results], _SHOWN)
        at = self._now().isoformat(timespec="seconds")
        return self._save(ImportRecord(record.correlation_id, at, job_id, done=True, result=result))

    @property
    def key(self) -> str:
        """What identifies the import: the tenant, the bytes and the mapping."""
        identity = [self.spark.url, self.request.sha256, self.request.mappings]
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    def _save(self, record: ImportRecord) -> ImportRecord:
        self.job.memory.put(self.key, record.text)
        return record

    def _forget(self) -> None:
        self.job.memory.put(self.key, "")

    def _now(self) -> datetime:
        return self.spark.clock.now()

    def _find_job(self, record: ImportRecord) -> str:
        """Return the job of an import whose reply was lost, empty if it certainly has none.

        Raises ``StepError`` if the tenant cannot tell.
        """
        if not record.correlation_id:
            return ""
        sent = datetime.fromisoformat(record.at)
        for pause in (0.0, _LISTING_DELAY):
            self.spark.clock.wait(pause)
            try:
                job_id = self.spark.impex.imports.find(record.correlation_id, sent)
            except errors.SparkError as error:
                raise self._unknown_outcome(record, str(error)) from error
            if job_id:
                self._save(ImportRecord(record.correlation_id, record.at, job_id))
                return job_id
        # A negative age means that the clock was set back: the true age is unknown.
        if not -_CLOCK_TOLERANCE <= self._now() - sent <= _LISTED:
            raise self._unknown_outcome(record, "the tenant no longer lists imports of that time")
        return ""

    def _unknown_outcome(self, record: ImportRecord, why: str) -> errors.StepError:
        """Return the error for an import that was sent and whose outcome is unknown."""
        targets = ", ".join(each["target"] for each in self.request.mappings[:_SHOWN])
        which = f"import job {record.job_id}" if record.job_id else "an import whose reply was lost"
        return errors.StepError(
            f"{which}, sent at {record.at[:16]}Z with correlation id {record.correlation_id}, may "
            f"have arrived: {why}; check {self.spark.url} for {targets}: if they are there, remove "
            "this step from the manifest for the next run, else start over with --fresh"
        )

    def _start(self) -> str:
        """Upload the package once the tenant has a free slot, and return the job's id."""
        imports = self.spark.impex.imports
        try:
            job_id = imports.run_when_free(self._upload, self.request.deadline)
        except errors.SparkError as error:
            record = self.record
            if not record.correlation_id:
                raise  # The tenant refused it: the error has the tenant's own message.
            job_id = self._find_job(record)
            if not job_id:
                self._forget()
                raise errors.StepError(f"the import did not start, run again: {error}") from error
        record = self.record
        self._save(ImportRecord(record.correlation_id, record.at, job_id))
        return job_id

    def _upload(self) -> str:
        imports, request = self.spark.impex.imports, self.request
        base = self.job.request.correlation_id or self.job.run.id
        # Unique per upload: a lost reply is found by it in the tenant's listing.
        correlation_id = f"{base}-{uuid.uuid4().hex[:8]}"
        self._save(ImportRecord(correlation_id, self._now().isoformat(timespec="seconds")))
        try:
            reply = imports.initiate(
                request.sent,
                request.path,
                if_present=request.if_present,
                source_system=request.source_system,
                correlation_id=correlation_id,
                sha256=request.sha256,
            )
        except errors.UsageError:
            self._forget()
            raise
        except errors.SparkError as error:
            busy = isinstance(error, errors.SparkApiError) and imports.is_busy(error)
            if busy or not tools.may_have_created_job(error):
                self._forget()
            raise
        return tools.parse_status(reply.data).id

    def _wait(self, job_id: str) -> models.Status:
        request = self.request
        try:
            return self.spark.impex.imports.wait(
                job_id, deadline=request.deadline, interval=request.interval
            )
        except errors.JobError:
            self._forget()
            raise
        except errors.RetryTimeoutError as error:
            message = f"{error}; it may still run: the same command resumes it"
            raise error.with_message(message) from error
        except errors.SparkError as error:
            if tools.is_unknown_job(error):
                raise self._unknown_outcome(self.record, str(error)) from error
            raise


def _results(status: models.Status) -> Iterator[tuple[str, str]]:
    """Yield status and description of each version, or of each service if none has versions."""
    outputs = status.data.get("outputs")
    outputs = outputs if isinstance(outputs, dict) else {}
    listed = outputs.get("service_versions") or outputs.get("services")
    for each in filter(_is_object, listed if isinstance(listed, list) else ()):
        source, state = str(each.get("service_uri_source")), str(each.get("status") or "listed")
        goal = str(each.get("service_uri_destination") or source)
        text = f"{source} {state}" if goal == source else f"{source} {state} as {goal}"
        yield state.lower(), tools.one_line(text)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)
