"""Call the import endpoints of one tenant; packages are streamed from disk."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from spark_impex_runner.errors import SparkSdkError, UsageError
from spark_impex_runner.paths import local_path
from spark_impex_runner.spark.failures import is_not_api_reply, is_transient
from spark_impex_runner.spark.http.multipart import MultipartUpload
from spark_impex_runner.spark.http.session import Body
from spark_impex_runner.spark.jobs import Jobs
from spark_impex_runner.spark.request import SOURCE_SYSTEM, to_json
from spark_impex_runner.spark.status import verdict_without_files

if TYPE_CHECKING:
    from datetime import datetime

    from spark_impex_runner.errors import SparkError
    from spark_impex_runner.models import Status, Verdict
    from spark_impex_runner.spark.http.response import HttpResponse

DestinationItem: TypeAlias = str | Mapping[str, str]
Destination: TypeAlias = DestinationItem | Sequence[DestinationItem]

_PATH = ("api", "v4", "import")
_IF_PRESENT = ("abort", "replace", "add_version")
_UPGRADES = ("major", "minor", "patch")
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Imports(Jobs):
    """Import jobs of one tenant.

    ``initiate``, ``get_status`` and ``describe`` have the names of the official SDK. No source
    shows a way to cancel an import.
    """

    kind = "import"

    def judge(self, status: Status) -> Verdict:
        """Return the verdict on an import, which has no files."""
        return verdict_without_files(status)

    def is_doubtful(self, status: Status) -> bool:
        """Return whether a finished import names nothing that it has imported."""
        return not status.services and not status.service_versions

    def initiate(  # noqa: PLR0913 - the official SDK's arguments, and the digest
        self,
        destination: Destination,
        file: str | Path | bytes | BinaryIO,
        *,
        if_present: str | None = None,
        source_system: str | None = None,
        correlation_id: str | None = None,
        sha256: str = "",
    ) -> HttpResponse:
        """Upload a package that was exported with ``migrate``; ``data['id']`` is the job id.

        ``destination`` is a service URI, a mapping with ``source``, ``target`` (default: the
        source) and ``upgrade`` (``major``, ``minor`` or ``patch``; default ``minor``), or a list
        of these. ``if_present`` decides about services that exist: ``add_version`` (the default of
        the official SDK; the API's own is ``abort``, documented), ``replace`` or ``abort``. The
        file, a path or the package's bytes, is sent from its beginning, from disk in constant
        memory; one that cannot seek is copied to disk first. With ``sha256`` (hex) a file with
        another digest is never sent whole.

        Raises:
            UsageError: an argument is invalid, or the file has another digest.
            SparkError: the tenant refused the package, or did not answer.
        """
        existing = "add_version" if if_present is None else if_present
        if existing not in _IF_PRESENT:
            raise UsageError(f"if_present is {existing!r}; use one of {', '.join(_IF_PRESENT)}")
        entity = to_json(
            {
                "inputs": {"services_modify": _mappings(destination)},
                "services_existing": existing,
                "source_system": source_system or SOURCE_SYSTEM,
                "correlation_id": correlation_id,
            }
        )
        with ExitStack() as stack:
            check = self.session.http.clock.check
            fields = {"importRequestEntity": entity}
            form = MultipartUpload(_opened(file, stack), fields, check, sha256)
            return self.require_job_id(self.session.post(*_PATH, body=Body(form, form.kind)))

    def find(self, correlation_id: str, since: datetime) -> str:
        """Return the id of the job with a correlation id sent at ``since``, an empty text if none.

        The listing has active jobs and those that ended within the last hour, and only the status
        has the correlation id (inferred from exports).

        Raises:
            SparkError: the tenant cannot be asked, its listing has an unknown form, or a job
                without correlation id may be the one.
        """
        nameless = ""
        elapsed = (self.session.http.clock.now() - since).total_seconds()
        for listed in self.listed_strict():
            status = self.status(listed.id)
            if status.correlation_id == correlation_id:
                return listed.id
            if not status.correlation_id and not listed.is_older(elapsed):
                nameless = nameless or listed.id
        if nameless:
            raise SparkSdkError(
                f"import job {nameless} on {self.session.url.base} has no correlation id, "
                "and may be the requested one; look at it on the tenant"
            )
        return ""

    def wait(self, job_id: str, *, deadline: float, interval: float) -> Status:
        """Wait until a job is done; return its last status.

        ``deadline`` and ``interval`` are in seconds. Raises as ``get_status`` does, and
        ``SparkError`` after ten minutes without any valid reply.
        """
        waiter = self.waiter(job_id, deadline=deadline, interval=interval, tolerates=_tolerates)
        return waiter.until_done()


def _tolerates(error: SparkError) -> bool:
    return is_transient(error) or is_not_api_reply(error)


def _opened(file: str | Path | bytes | BinaryIO, stack: ExitStack) -> BinaryIO:
    """Return a seekable file; copy one that cannot seek to disk first."""
    try:
        if isinstance(file, (str, Path)):
            return stack.enter_context(local_path(file, "read", "file").open("rb"))
        if isinstance(file, bytes):
            return io.BytesIO(file)
        # Reading nothing reveals a text file without consuming a byte of a pipe.
        if not isinstance(file.read(0), bytes):
            raise UsageError("the package to import is open as text; open it in mode 'rb'")
        if file.seekable():
            return file
        spool = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack does it
        shutil.copyfileobj(file, spool, _CHUNK)
    except OSError as error:
        raise UsageError(f"the package to import cannot be read: {error}") from None
    return spool


def _mappings(destination: Destination) -> list[dict[str, str]]:
    if isinstance(destination, str) or not isinstance(destination, Sequence):
        return [_mapping(destination)]
    if not destination:
        raise UsageError("destination is empty; name the services to import")
    return [_mapping(one) for one in destination]


def _mapping(one: DestinationItem) -> dict[str, str]:
    """Return one destination in the API's form (documented field names)."""
    given = {"source": one} if isinstance(one, str) else one
    if not isinstance(given, Mapping):
        raise UsageError(f"a destination is a service URI or a mapping, not {one!r}")
    source = given.get("source")
    if not source:
        raise UsageError("a destination needs 'source', the service in the package")
    upgrade = given.get("upgrade", "minor")
    if upgrade not in _UPGRADES:
        raise UsageError(f"upgrade is {upgrade!r}; use one of {', '.join(_UPGRADES)}")
    return {
        "service_uri_source": source,
        "service_uri_destination": given.get("target") or source,
        "update_version_type": upgrade,
    }
