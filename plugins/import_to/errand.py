"""One import, done once: what is known of it is on disk before each step that cannot be undone."""

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

    from .mapping import Mapping

# The listing has jobs that ended within the last hour; a margin is left for the upload.
_LISTED = timedelta(minutes=50)
_EXACT = timedelta(minutes=1)
# An import whose reply was lost may be so many seconds late in the listing.
_LATE = 5.0
_SHOWN = 20
# Words of one service or version that are no success; only ``added`` is documented.
_NOT_DONE = frozenset({"failed", "error", "aborted", "rejected", "cancelled"})


@dataclass(frozen=True, slots=True)
class Note:
    """How far an import has come: nothing, sent, begun (it has a job), done (with ``result``)."""

    correlation_id: str = ""
    at: str = ""
    job_id: str = ""
    done: bool = False
    result: str = ""

    @classmethod
    def read(cls, text: str) -> Note:
        """Read what ``text`` wrote; an empty text is that of an import that never began."""
        return cls(**json.loads(text)) if text else cls()

    @property
    def text(self) -> str:
        """The note for the memory."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be imported, and how; ``sha256`` is that of the bytes at ``path``."""

    path: Path
    sha256: str
    to: str
    mappings: list[Mapping]
    if_present: str
    source_system: str | None
    deadline: float
    interval: float


@dataclass(frozen=True, slots=True)
class Errand:
    """Does one order. ``spark`` is the client of the connection that it goes to."""

    job: models.Job
    spark: Spark
    order: Order

    @property
    def note(self) -> Note:
        """How far these bytes have come on their way to these services, in any run."""
        return Note.read(self.job.memory.get(self._key))

    def begun(self) -> Note:
        """Return how far the import has come; one whose reply was lost is looked for.

        Raises ``StepError`` where nobody can know whether it has begun.
        """
        note = self.note
        if note.correlation_id and not note.job_id and not self._found(note):
            self._forget()
        return self.note

    def run(self) -> Note:
        """Import what was not imported yet, and return the note of the finished import.

        Raises ``SparkError`` with the tenant's words, and ``StepError`` where nobody can know
        whether the package has arrived.
        """
        note = self.note
        if note.done:
            return note
        job_id = note.job_id or self._found(note) or self._sent()
        note = self.note
        status = self._waited(job_id)
        words = list(_results(status))
        if failed := [line for word, line in words if word in _NOT_DONE]:
            raise errors.StepError(
                f"import job {job_id} did only a part: {tools.first_of(failed, _SHOWN)}"
            )
        result = tools.first_of([line for _, line in words], _SHOWN)
        at = self._now().isoformat(timespec="seconds")
        return self._put(Note(note.correlation_id, at, job_id, done=True, result=result))

    @property
    def _key(self) -> str:
        what = [self.spark.url, self.order.sha256, self.order.mappings]
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    def _put(self, note: Note) -> Note:
        self.job.memory.put(self._key, note.text)
        return note

    def _forget(self) -> None:
        self.job.memory.put(self._key, "")

    def _now(self) -> datetime:
        return self.spark.clock.now()

    def _found(self, note: Note) -> str:
        """Return the job of an import whose reply was lost; nothing where there certainly is none.

        Raises ``StepError`` where that cannot be known.
        """
        if not note.correlation_id:
            return ""
        sent = datetime.fromisoformat(note.at)
        for pause in (0.0, _LATE):
            self.spark.clock.wait(pause)
            try:
                job_id = self.spark.impex.imports.find(note.correlation_id, sent)
            except errors.SparkError as error:
                raise self._unknown(note, str(error)) from error
            if job_id:
                self._put(Note(note.correlation_id, note.at, job_id))
                return job_id
        # A negative time tells that the clock was set: how long ago it was sent is not known.
        if not -_EXACT <= self._now() - sent <= _LISTED:
            raise self._unknown(note, "the tenant lists no import that ended so long ago")
        return ""

    def _unknown(self, note: Note, why: str) -> errors.StepError:
        """Return the line for an import of which only its sending is known."""
        targets = ", ".join(each["target"] for each in self.order.mappings[:_SHOWN])
        which = f"import job {note.job_id}" if note.job_id else "an import whose reply was lost"
        return errors.StepError(
            f"{which}, sent at {note.at[:16]}Z with correlation id {note.correlation_id}, may have "
            f"arrived: {why}. Look on {self.spark.url} for {targets}: where it has arrived, take "
            "this step out of the manifest for the next run; else --fresh exports and imports anew"
        )

    def _sent(self) -> str:
        """Upload the package when the tenant has room, and return the id of the one job."""
        imports = self.spark.impex.imports
        try:
            job_id = imports.run_when_free(self._send, self.order.deadline)
        except errors.SparkError as error:
            note = self.note
            if not note.correlation_id:
                raise  # The tenant has refused it, in its own words.
            job_id = self._found(note)
            if not job_id:
                self._forget()
                raise errors.StepError(f"the import did not begin, try again: {error}") from error
        note = self.note
        self._put(Note(note.correlation_id, note.at, job_id))
        return job_id

    def _send(self) -> str:
        imports, order = self.spark.impex.imports, self.order
        base = self.job.request.correlation_id or self.job.run.id
        # One for each upload: it is what a lost reply is found by.
        correlation_id = f"{base}-{uuid.uuid4().hex[:8]}"
        self._put(Note(correlation_id, self._now().isoformat(timespec="seconds")))
        try:
            reply = imports.initiate(
                order.mappings,
                order.path,
                if_present=order.if_present,
                source_system=order.source_system,
                correlation_id=correlation_id,
                sha256=order.sha256,
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

    def _waited(self, job_id: str) -> models.Status:
        order = self.order
        try:
            return self.spark.impex.imports.wait(
                job_id, deadline=order.deadline, interval=order.interval
            )
        except errors.JobError:
            self._forget()
            raise
        except errors.RetryTimeoutError as error:
            told = f"{error}; it may still run: the same command resumes it"
            raise errors.RetryTimeoutError(
                told, retries=error.retries, interval=error.interval
            ) from error
        except errors.SparkError as error:
            if tools.is_unknown_job(error):
                raise self._unknown(self.note, str(error)) from error
            raise


def _results(status: models.Status) -> Iterator[tuple[str, str]]:
    """Yield what became of each version, or of each service where no versions are told."""
    outputs = status.data.get("outputs")
    outputs = outputs if isinstance(outputs, dict) else {}
    listed = outputs.get("service_versions") or outputs.get("services")
    for each in filter(_is_object, listed if isinstance(listed, list) else ()):
        source, word = str(each.get("service_uri_source")), str(each.get("status") or "told")
        goal = str(each.get("service_uri_destination") or source)
        told = f"{source} {word}" if goal == source else f"{source} {word} as {goal}"
        yield word.lower(), tools.one_line(told)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)
