"""Exports over the wire: the calls around a job."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spark_impex_runner.errors import UsageError
from spark_impex_runner.models import RemoteFile, Request, Status, Verdict
from spark_impex_runner.spark.download.request import Downloads
from spark_impex_runner.spark.http.retry import IMMEDIATE, retry
from spark_impex_runner.spark.http.session import Body
from spark_impex_runner.spark.jobs import Jobs
from spark_impex_runner.spark.request import build_request, encode, to_json
from spark_impex_runner.spark.status import parse_status, verdict
from spark_impex_runner.spark.uri import Uri

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spark_impex_runner.spark.http.response import HttpResponse

_PATH = ("api", "v4", "export")


@dataclass(frozen=True, slots=True)
class Exports(Jobs):
    """Export jobs of one tenant.

    ``create``, ``status``, ``job_limit``, ``listed`` and ``is_busy`` work with values;
    ``initiate``, ``get_status``, ``download``, ``cancel`` and ``describe`` are those of the
    official SDK and return ``HttpResponse``.
    """

    kind = "export"

    def judge(self, status: Status) -> Verdict:
        """Tell whether an export is done: it also needs files."""
        return verdict(status)

    def is_doubtful(self, status: Status) -> bool:  # noqa: ARG002 - without files it is not done
        """Tell that a status with files is no mistake."""
        return False

    def create(self, request: Request) -> Status:
        """Start a job. The reply may be a whole status or little more than the id (documented).

        Sent once: after a ``TransportError`` the job may exist, see ``listed``.
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
        return self._post(request)

    def download(
        self, urls: str | Sequence[str], to: str | Path | None = None
    ) -> list[HttpResponse]:
        """Download links of a job, into memory or, with ``to``, into that folder.

        All or nothing is reported: the first download that fails raises.
        """
        links = [urls] if isinstance(urls, str) else urls
        files = [RemoteFile(link) for link in links]
        return Downloads(self.session).download_all(files, None if to is None else Path(to))

    def cancel(self, job_id: str) -> HttpResponse:
        """Ask the tenant to end a job, which frees its place (documented).

        Asked a few times without waiting: a run that is interrupted may not wait any more.
        """
        body, clock = Body(to_json({"export_status": "cancelled"})), self.session.http.clock
        with clock.ending():
            return retry(lambda: self.session.patch(*_PATH, job_id, body=body), IMMEDIATE, clock)

    def _post(self, request: Request) -> HttpResponse:
        return self.require_job_id(self.session.post(*_PATH, body=Body(encode(request))))


def _texts(name: str, values: Sequence[str] | None) -> tuple[str, ...]:
    """Refuse a single text where a list is meant: it would be taken letter by letter."""
    if isinstance(values, str):
        raise UsageError(f"{name} is a text; write a list: {name}=[{values!r}]")
    found = tuple(values or ())
    if not all(isinstance(value, str) and value.strip() for value in found):
        raise UsageError(f"{name} must hold nothing but texts, none of them empty")
    return found
