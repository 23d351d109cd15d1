"""Call the export endpoints of one tenant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_impex_runner.errors import UsageError
from spark_impex_runner.models import RemoteFile, Request, Status, Verdict
from spark_impex_runner.paths import local_path
from spark_impex_runner.spark.download.request import Downloads
from spark_impex_runner.spark.http.retry import IMMEDIATE, retry
from spark_impex_runner.spark.http.session import Body
from spark_impex_runner.spark.jobs import Jobs
from spark_impex_runner.spark.request import build_request, encode, to_json
from spark_impex_runner.spark.status import parse_status, verdict
from spark_impex_runner.spark.uri import Uri

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from spark_impex_runner.spark.http.response import HttpResponse

_PATH = ("api", "v4", "export")


@dataclass(frozen=True, slots=True)
class Exports(Jobs):
    """Export jobs of one tenant.

    ``initiate``, ``get_status``, ``download``, ``cancel`` and ``describe`` have the names of the
    official SDK and return ``HttpResponse``; the other methods take and return models.
    """

    kind = "export"

    def judge(self, status: Status) -> Verdict:
        """Return the verdict on an export, which succeeds only with files."""
        return verdict(status)

    def is_doubtful(self, status: Status) -> bool:  # noqa: ARG002 - without files it is not done
        """Return False: an export that succeeded has files."""
        return False

    def create(self, request: Request) -> Status:
        """Create a job; return its first status, which may hold little more than the id.

        Sent once: after a ``TransportError`` the job may exist, see ``listed``. Documented as
        replying with a whole status; the SDKs' types have ``id`` and ``status_url`` only.
        """
        return parse_status(self._post(request).data)

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
        """Create a job; ``data['id']`` of the reply is the job id for ``get_status``.

        The tenant exports the union of ``folders`` (names), ``services`` (service URIs in any form
        that ``Uri`` reads) and ``version_ids`` (UUIDs). ``file_filter`` is ``migrate`` or
        ``onpremises``, ``version_filter`` is ``latest`` or ``all`` (documented). The effect of
        ``file_name`` is not published.

        Raises:
            UsageError: an argument is invalid; nothing was sent.
            SparkError: the tenant refused the job, or did not answer.
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
        return self._post(request)

    def download(
        self, urls: str | Sequence[str], to: str | Path | None = None
    ) -> list[HttpResponse]:
        """Download and verify links of a job; return one reply per link, in order.

        A reply has the bytes as ``buffer``, or with a folder ``to`` the ``path`` of its file there.
        The links need no credentials, and none are sent (seen in an official script).

        Raises:
            SparkApiError: a link was refused; links expire after minutes (inferred).
            IntegrityError: a file is damaged, or is no ZIP package.
            TransportError: a server could not be reached.
            DeliveryError: the disk refused, or is full.
        """
        folder = None if to is None else local_path(to, "output", "to")
        links = [urls] if isinstance(urls, str) else urls
        if not all(isinstance(link, str) and link for link in links):
            raise UsageError("a download link is empty; pass the links of the job's outputs.files")
        files = [RemoteFile(link) for link in links]
        return Downloads(self.session).download_all(files, folder)

    def cancel(self, job_id: str) -> HttpResponse:
        """Request that the tenant ends a job, which frees its slot (documented).

        Retries twice without a pause, since an interrupted run has no time to wait. The reply to
        cancelling a finished job is not published. Raises ``SparkError``.
        """
        body, clock = Body(to_json({"export_status": "cancelled"})), self.session.http.clock
        # The cancel request must also leave after a stop, when others may not.
        with clock.ending():
            return retry(lambda: self.session.patch(*_PATH, job_id, body=body), IMMEDIATE, clock)

    def _post(self, request: Request) -> HttpResponse:
        return self.require_job_id(self.session.post(*_PATH, body=Body(encode(request))))


def _texts(name: str, values: Sequence[str] | None) -> tuple[str, ...]:
    """Return the values; raise ``UsageError`` for a text, which is a sequence of letters."""
    if isinstance(values, str):
        raise UsageError(f"{name} is a text; write a list: {name}=[{values!r}]")
    found = tuple(values or ())
    if not all(isinstance(value, str) and value.strip() for value in found):
        raise UsageError(f"{name} must be a list of texts that are not empty")
    return found
