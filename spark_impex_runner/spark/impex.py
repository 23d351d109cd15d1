"""``spark.impex``: a whole export or import in one call, as in the official SDK."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_impex_runner.errors import ImpexError, JobError
from spark_impex_runner.paths import local_path
from spark_impex_runner.spark.download.request import Downloads
from spark_impex_runner.spark.exports import Exports
from spark_impex_runner.spark.imports import Destination, Imports
from spark_impex_runner.spark.status import parse_status
from spark_impex_runner.spark.waiting import DEADLINE, INTERVAL, require_limits

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from spark_impex_runner.spark.http.response import HttpResponse
    from spark_impex_runner.spark.http.session import Session

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ImpEx:
    """Exports and imports of one tenant.

    ``retries`` (status requests) and ``interval`` (seconds) are the defaults of every wait.
    """

    session: Session
    retries: int | None = None
    interval: float = INTERVAL

    @property
    def exports(self) -> Exports:
        """The single calls of an export."""
        return Exports(self.session, self.retries, self.interval)

    @property
    def imports(self) -> Imports:
        """The single calls of an import."""
        return Imports(self.session, self.retries, self.interval)

    def export(  # noqa: PLR0913 - the official SDK's signature
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
        max_retries: int | None = None,
        retry_interval: float | None = None,
        to: str | Path | None = None,
    ) -> list[HttpResponse]:
        """Create a job, wait for it, download and verify its files; return one reply per file.

        A reply has the bytes as ``buffer``, or with a folder ``to`` the ``path`` of its file there.
        The other arguments are those of ``exports.initiate`` and ``exports.get_status``. Waits up
        to half an hour while the tenant runs another job (documented: one at a time). Cancels the
        job if the wait fails or is interrupted, since it would block the tenant's only slot.

        Raises:
            UsageError: an argument is invalid; nothing was sent.
            JobError: the tenant ended the job without success.
            RetryTimeoutError: the tenant stayed busy, or the job took too long.
            SparkError: another request or a download failed; see ``exports.download``.
            Interrupted: the run was asked to stop.
        """
        exports = self.exports
        require_limits(max_retries, retry_interval)
        folder = None if to is None else local_path(to, "output", "to")

        def start() -> HttpResponse:
            return exports.initiate(
                folders=folders,
                services=services,
                version_ids=version_ids,
                file_filter=file_filter,
                version_filter=version_filter,
                source_system=source_system,
                correlation_id=correlation_id,
                file_name=file_name,
            )

        job = parse_status(exports.run_when_free(start, DEADLINE).data).id
        with self._cancelled_on_failure(job):
            reply = exports.get_status(job, max_retries=max_retries, retry_interval=retry_interval)
        files = parse_status(reply.data).files
        downloads = Downloads(self.session, lambda: exports.status(job).files)
        return downloads.download_all(files, folder)

    def import_(  # noqa: PLR0913 - the official SDK's signature
        self,
        destination: Destination,
        file: str | Path | bytes | BinaryIO,
        *,
        if_present: str | None = None,
        source_system: str | None = None,
        correlation_id: str | None = None,
        max_retries: int | None = None,
        retry_interval: float | None = None,
    ) -> HttpResponse:
        """Upload a package and wait until it is imported; return the reply with its last status.

        Arguments and errors are those of ``imports.initiate`` and ``imports.get_status``.
        """
        reply = self.imports.initiate(
            destination,
            file,
            if_present=if_present,
            source_system=source_system,
            correlation_id=correlation_id,
        )
        return self.imports.get_status(
            parse_status(reply.data).id, max_retries=max_retries, retry_interval=retry_interval
        )

    # The official SDK's short names.
    exp = export
    imp = import_

    @contextmanager
    def _cancelled_on_failure(self, job: str) -> Iterator[None]:
        try:
            yield
        # The tenant has ended the job already.
        except JobError:
            raise
        # Also KeyboardInterrupt: an abandoned job blocks the tenant for up to 20 minutes.
        except BaseException:
            try:
                self.exports.cancel(job)
            except ImpexError as error:
                _log.warning("export job %s could not be cancelled: %s", job, error)
            raise
