"""What goes over the wire."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Request:
    """An export request, field by field as the API names them.

    Attributes:
        folders: The names of folders.
        services: Services as the API takes them: ``folder/service[1.2.3]``, or a bare UUID.
        version_ids: The UUIDs of versions.
        file_filter: ``migrate`` or ``onpremises``.
        version_filter: ``latest`` or ``all``.
        source_system: The name of the system that asks.
        correlation_id: The id by which the job is found again.
        file_name: The stem of the package's name.
    """

    folders: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    version_ids: tuple[str, ...] = ()
    file_filter: str = "migrate"
    version_filter: str = "latest"
    source_system: str | None = None
    correlation_id: str | None = None
    file_name: str | None = None


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file that a finished job offers.

    Attributes:
        url: Where it is downloaded from. It opens the file for anybody: a secret.
        file_hash: The tenant's hash of it, in the tenant's notation; None without one.
    """

    url: str = field(repr=False)
    file_hash: str | None = None


@dataclass(frozen=True, slots=True)
class ServiceVersion:
    """One service, or one version of it, as the tenant names it.

    A part that the tenant does not give is an empty text.

    Attributes:
        folder: The name of the folder.
        service: The name of the service.
        service_id: The UUID of the service.
        version: The number of the version, ``1.2.3``.
        version_id: The UUID of the version.
    """

    folder: str
    service: str
    service_id: str = ""
    version: str = ""
    version_id: str = ""

    @property
    def uri(self) -> str:
        """``folder/service`` or ``folder/service[version]``."""
        base = f"{self.folder}/{self.service}"
        return f"{base}[{self.version}]" if self.version else base


@dataclass(frozen=True, slots=True)
class Status:
    """One status payload of a job.

    Attributes:
        id: The id of the job.
        word: The API's ``status``, in its own spelling: ``in_progress``, ``closed`` …
        errors: The API's ``errors`` as they came: JSON of any shape, None for none.
        warnings: The API's ``warnings`` as they came: JSON of any shape, None for none.
        files: The files to download, once the job has finished.
        services: The services that the job delivers.
        service_versions: The versions that the job delivers.
        correlation_id: The correlation id of the request.
        process_time: How long the job took, in milliseconds as the API gives it.
        retry_after: Seconds to wait before the next status request, where the server asks for that.
        data: The raw JSON.
    """

    id: str
    word: str
    errors: Any = None
    warnings: Any = None
    files: tuple[RemoteFile, ...] = ()
    services: tuple[ServiceVersion, ...] = ()
    service_versions: tuple[ServiceVersion, ...] = ()
    correlation_id: str | None = None
    process_time: float | None = None
    retry_after: float | None = None
    data: Mapping[str, Any] = field(default_factory=dict, repr=False)


class Verdict(Enum):
    """What a status payload means for the wait: it goes on, or the job succeeded or failed."""

    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"
