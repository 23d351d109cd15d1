"""The served tree: which folders, services and versions the tenant has.

It is read once, from ``ROOT/{folder}/{service}/{version}/``. A version is a directory; it may be
empty, and each of these files in it is optional:

``service.json``
    ``description`` (text), ``label`` (text), and ``inputs`` and ``outputs``: lists of objects
    with ``name``, ``description``, ``address`` (a cell such as ``B2``), ``type`` (``number`` or
    ``text``) and, for inputs, ``default``. With ``compiled: false`` there is no module: the
    details of the version have no hash of it, and an export fails.
``model.js``, ``model.wasm``, ``model.data``
    The compiled module. What is missing is replaced by the smallest valid content.
``DefaultValidations.json``
    Taken as it is; by default made from the inputs.
``CompilerLog.json``
    Taken as it is; by default one without a self-test.
``*.xlsx``
    The original workbook; by default made from the inputs and outputs.

``ROOT/{folder}/folder.json`` describes a folder: any of ``description``, ``category``, ``status``,
``startDate`` and ``launchDate``, and ``transforms``, its transform documents by their names.

Entries whose names begin with a dot or underscore are ignored, and so are files between the
directories. Ids are derived from names, so that they are the same in each run.

With a file ``ROOT/tenant.json`` the tenant has what that lists, possibly nothing: ``folders``, a
list of names, and ``versions``, objects with ``folder``, ``service``, ``number`` and optionally
``id`` and ``service_id``. ``ROOT/model/`` then holds the files of every version.
"""

from __future__ import annotations

import json
import threading
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

INDEX = "tenant.json"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://sandbox.invalid/tenant")


@dataclass(frozen=True, slots=True)
class Version:
    """One version of one service; ``path`` is the directory with its files."""

    folder: str
    service: str
    number: str
    id: str
    service_id: str
    path: Path

    @property
    def service_uri(self) -> str:
        """``folder/service``."""
        return f"{self.folder}/{self.service}"

    @property
    def uri(self) -> str:
        """``folder/service[number]``."""
        return f"{self.service_uri}[{self.number}]"


def id_of(*names: str) -> str:
    """Return the UUID of a path of names below the tenant."""
    return str(uuid.uuid5(_NAMESPACE, "/".join(names)))


def version_key(number: str) -> tuple[tuple[int, str], ...]:
    """Return a sort key that puts newer version numbers later, by dotted component."""
    return tuple((int(part) if part.isdecimal() else -1, part) for part in number.split("."))


def _sorted(versions: Iterable[Version]) -> tuple[Version, ...]:
    return tuple(sorted(versions, key=lambda version: version_key(version.number)))


class Tenant:
    """The tree of one tenant. Safe to use from several threads."""

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._folders: dict[str, dict[str, tuple[Version, ...]]]
        self._about: dict[str, dict[str, Any]] = {}
        if (root / INDEX).is_file():
            self._folders = self._listed_in(root)
            return
        try:
            self._folders = {path.name: self._services_in(path) for path in _directories(root)}
            self._about = {path.name: _description(path) for path in _directories(root)}
        except OSError as error:
            raise OSError(f"{root} cannot be served: {error.strerror}") from None
        if not any(self._folders.values()):
            raise ValueError(f"{root} serves nothing: it has no FOLDER/SERVICE/VERSION directory")

    def _listed_in(self, root: Path) -> dict[str, dict[str, tuple[Version, ...]]]:
        """Return what ``tenant.json`` lists."""
        try:
            index = json.loads((root / INDEX).read_bytes())
            found: dict[str, dict[str, tuple[Version, ...]]] = {
                name: {} for name in index["folders"]
            }
            for each in index["versions"]:
                services = found.setdefault(each["folder"], {})
                known = services.get(each["service"], ())
                services[each["service"]] = _sorted([*known, self._listed(each, root / "model")])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{root / INDEX} is malformed: {error!r}") from None
        return found

    def _listed(self, entry: Mapping[str, str], path: Path) -> Version:
        folder, service, number = entry["folder"], entry["service"], entry["number"]
        version_id = entry.get("id") or id_of(self.name, folder, service, number)
        service_id = entry.get("service_id") or id_of(self.name, folder, service)
        return Version(folder, service, number, version_id, service_id, path)

    def _services_in(self, folder: Path) -> dict[str, tuple[Version, ...]]:
        found = {}
        for service in _directories(folder):
            versions = [self._version(path) for path in _directories(service)]
            if versions:
                found[service.name] = _sorted(versions)
        return found

    def _version(self, path: Path) -> Version:
        folder, service, number = path.parts[-3:]
        version_id = id_of(self.name, folder, service, number)
        return Version(folder, service, number, version_id, id_of(self.name, folder, service), path)

    def folders(self) -> list[str]:
        """Return the names of all folders, sorted."""
        with self._lock:
            return sorted(self._folders)

    def about(self, folder: str) -> dict[str, Any]:
        """Return the description of ``folder``, empty if it has none."""
        return self._about.get(folder, {})

    def services(self, folder: str) -> list[str]:
        """Return the names of the services in ``folder``, sorted; none if it is unknown."""
        with self._lock:
            return sorted(self._folders.get(folder, {}))

    def versions(self, folder: str, service: str) -> tuple[Version, ...]:
        """Return the versions of a service, oldest first; none if it is unknown."""
        with self._lock:
            return self._folders.get(folder, {}).get(service, ())

    def all_versions(self) -> Iterator[Version]:
        """Yield all versions of all services."""
        # Not under one lock: an import may add services while a caller iterates.
        for folder in self.folders():
            for service in self.services(folder):
                yield from self.versions(folder, service)

    def put(self, folder: str, service: str, versions: Iterable[Version]) -> None:
        """Replace the versions of a service. Raises KeyError if the folder is unknown."""
        with self._lock:
            self._folders[folder][service] = _sorted(versions)


def _description(folder: Path) -> dict[str, Any]:
    """Return what ``folder.json`` says, empty without one."""
    file = folder / "folder.json"
    try:
        found = json.loads(file.read_bytes())
        transforms = found.get("transforms", {})
        if all(isinstance(each, dict) for each in (transforms, *transforms.values())):
            return dict(found)
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError):
        pass
    raise ValueError(f"{file} is malformed: it is no object, or its transforms are none")


def _directories(path: Path) -> list[Path]:
    entries = sorted(path.iterdir())
    return [entry for entry in entries if entry.is_dir() and not entry.name.startswith((".", "_"))]
