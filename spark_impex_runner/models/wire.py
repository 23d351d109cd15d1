"""What goes over the wire."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Request:
    """An export request, field by field as the API names them (spark/export.py encodes it)."""

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
    """One file that a finished job offers. The URL is a capability, hence a secret."""

    url: str = field(repr=False)
    file_hash: str | None = None


@dataclass(frozen=True, slots=True)
class ServiceVersion:
    """One service, or one version of it, that the tenant says a job delivers."""

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
    """One status payload of a job. ``word`` is the API's ``status``; ``data`` is the raw JSON."""

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
    """What a status payload means for the wait."""

    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"
