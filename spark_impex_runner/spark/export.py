"""Exports over the wire: the calls around a job."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spark_impex_runner.errors import SparkSdkError, UsageError
from spark_impex_runner.models import RemoteFile, Request, Status
from spark_impex_runner.spark.download import Downloads
from spark_impex_runner.spark.links import job_id_of, secrets_of
from spark_impex_runner.spark.queue import Queue
from spark_impex_runner.spark.reply import retry_after
from spark_impex_runner.spark.request import build_request, encode, to_json
from spark_impex_runner.spark.session import Body
from spark_impex_runner.spark.status import parse_status, verdict
from spark_impex_runner.spark.uri import Uri
from spark_impex_runner.spark.waiting import INTERVAL, Waiting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spark_impex_runner.errors import SparkApiError
    from spark_impex_runner.spark.queue import Listed
    from spark_impex_runner.spark.reply import HttpResponse
    from spark_impex_runner.spark.session import Session

_PATH = ("api", "v4", "export")


@dataclass(frozen=True, slots=True)
class Exports:
    """Export jobs of one tenant.

    ``create``, ``status``, ``job_limit``, ``listed`` and ``is_busy`` work with values;
    ``initiate``, ``get_status``, ``download``, ``cancel`` and ``describe`` are those of the
    official SDK and return ``HttpResponse``. ``retries`` and ``interval`` (seconds) are what
    ``get_status`` uses where its caller gives none.
    """

    session: Session
    retries: int | None = None
    interval: float = INTERVAL

    def create(self, request: Request) -> Status:
        """Start a job. The reply may be a whole status or little more than the id (documented).

        Sent once: after a ``TransportError`` the job may exist, see ``listed``.
        """
        return self._post(request)[1]

    def status(self, job_id: str, *, once: bool = False) -> Status:
        """Look at a job. The links that it offers are masked everywhere from here on.

        With ``once`` a look that fails is not repeated: the caller has a budget of its own.
        """
        return self._look(job_id, once=once)[1]

    @property
    def queue(self) -> Queue:
        """The tenant's export jobs as its listing tells of them."""
        return Queue(self.session, "export")

    def job_limit(self) -> int:
        """Return how many export jobs the tenant runs at a time; 1, the default, if unsaid."""
        return self.queue.job_limit()

    def listed(self) -> tuple[Listed, ...]:
        """Return the jobs that the tenant still lists, running ones first, then newest first.

        Documented: active jobs and those that ended within the last hour, of this user. The
        listing shows no correlation ids; ``status`` does.
        """
        return self.queue.listed()

    def is_busy(self, error: SparkApiError) -> bool:
        """Tell whether ``create`` was refused because the tenant runs another job."""
        return self.queue.is_busy(error)

    def initiate(  # noqa: PLR0913 - the official SDK's signature
        self,
        *,
        folders: Sequence[str] | None = None,
        services: Sequence[str] | None = None,
        version_ids: Sequence[str] | None = None,
        file_filter: str | None = None,
        version_filter: str | None = None,
        source_system: str | None = None,
        correlation_id: str | None = None,
        file_name: str | None = None,
    ) -> HttpResponse:
        """Start a job; ``data['id']`` of the reply is what ``get_status`` takes.

        ``services`` takes every form of a service URI. Raises ``UsageError`` before anything is
        sent where an argument cannot be used.
        """
        uris = [Uri.parse(text) for text in _texts("services", services)]
        request = build_request(
            uris,
            folders=_texts("folders", folders),
            version_ids=_texts("version_ids", version_ids),
            file_filter=file_filter or "migrate",
            version_filter=version_filter or "latest",
            source_system=source_system,
            correlation_id=correlation_id,
            file_name=file_name,
        )
        return self._post(request)[0]

    def get_status(
        self,
        job_id: str | None = None,
        *,
        url: str | None = None,
        max_retries: int | None = None,
        retry_interval: float | None = None,
    ) -> HttpResponse:
        """Wait until the job is done; ``data['outputs']['files']`` of the reply holds the links.

        ``max_retries`` is the number of status checks, ``retry_interval`` the seconds between
        them; without the first, half an hour is the limit. Of ``url`` only the job id is used.
        Raises ``JobError`` as soon as the job has failed, ``RetryTimeoutError`` at the limit.
        """
        job = job_id_of(job_id, url)
        waiting = Waiting(
            f"export job {job} on {self.session.url.base}",
            self.session.wire,
            self.retries if max_retries is None else max_retries,
            self.interval if retry_interval is None else retry_interval,
        )
        return waiting.until_done(lambda: self._look(job), verdict)

    def download(
        self, urls: str | Sequence[str], to: str | Path | None = None
    ) -> list[HttpResponse]:
        """Download links of a job, into memory or, with ``to``, into that folder.

        All or nothing is reported: the first download that fails raises.
        """
        links = [urls] if isinstance(urls, str) else urls
        files = [RemoteFile(link) for link in links]
        return Downloads(self.session).bring(files, None if to is None else Path(to))

    def cancel(self, job_id: str) -> HttpResponse:
        """Ask the tenant to end a job, which frees its place (documented)."""
        body = Body(to_json({"export_status": "cancelled"}))
        with self.session.wire.clock.ending():
            return self.session.patch(*_PATH, job_id, body=body)

    def describe(self) -> HttpResponse:
        """Return the tenant's listing of its jobs and its job limit."""
        return self.queue.describe()

    def _post(self, request: Request) -> tuple[HttpResponse, Status]:
        reply = self.session.post(*_PATH, body=Body(encode(request)))
        status = parse_status(reply.data)
        if not status.id:
            raise SparkSdkError(
                f"POST export on {self.session.url.base}: HTTP {reply.status}, but the reply has "
                "no job id; the job may run: look for it on the tenant before you start another"
            )
        return reply, status

    def _look(self, job_id: str, *, once: bool = False) -> tuple[HttpResponse, Status]:
        reply = self.session.get(*_PATH, job_id, "status", once=once)
        wire = self.session.wire
        status = parse_status(reply.data, retry_after(reply.headers, wire.clock.now()))
        for file in status.files:
            for secret in secrets_of(file.url):
                wire.masker.add(secret, announce=False)
        return reply, status


def _texts(name: str, values: Sequence[str] | None) -> tuple[str, ...]:
    """Refuse a single text where a list is meant: it would be taken letter by letter."""
    if isinstance(values, str):
        raise UsageError(f"{name} is a text; write a list: {name}=[{values!r}]")
    found = tuple(values or ())
    if not all(isinstance(value, str) and value.strip() for value in found):
        raise UsageError(f"{name} must hold nothing but texts, none of them empty")
    return found
