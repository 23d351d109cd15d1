"""What the runner sends to a tenant, and what the tenant answers."""

from __future__ import annotations

import warnings
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
        correlation_id: The id by which a job is found if the reply with its id was lost.
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
        url: The link to download it from. It needs no credentials, so it is a secret.
        file_hash: The tenant's hash of the file, in the tenant's notation; None if it gave none.
    """

    url: str = field(repr=False)
    file_hash: str | None = None


@dataclass(frozen=True, slots=True)
class ServiceVersion:
    """One service, or one version of it, as the tenant names it.

    A field that the tenant does not give is empty.

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
        status: The API's ``status``, in its own spelling: ``in_progress``, ``closed`` …
        errors: The API's ``errors``, unchanged: JSON of any shape, or None.
        warnings: The API's ``warnings``, unchanged: JSON of any shape, or None.
        files: The files to download, once the job has finished.
        services: The services that the job delivers.
        service_versions: The versions that the job delivers.
        correlation_id: The correlation id of the request.
        process_time: How long the job took, in milliseconds as the API gives it.
        retry_after: Seconds that the server asks to wait before the next status request; None if it
            does not.
        data: The raw JSON.
        source_system: The name of the system that asked for the job.
    """

    id: str
    status: str
    errors: Any = None
    warnings: Any = None
    files: tuple[RemoteFile, ...] = ()
    services: tuple[ServiceVersion, ...] = ()
    service_versions: tuple[ServiceVersion, ...] = ()
    correlation_id: str | None = None
    process_time: float | None = None
    retry_after: float | None = None
    data: Mapping[str, Any] = field(default_factory=dict, repr=False)
    source_system: str | None = None

    @property
    def word(self) -> str:
        """The old name of ``status``, for one release."""
        warnings.warn("word is now called status", DeprecationWarning, stacklevel=2)
        return self.status


class Verdict(Enum):
    """What a status payload means: the job is pending, or it is done or failed."""

    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"
