"""Read what a package holds; its layout is that of a genuine ``onpremises`` package.

The layout of a ``migrate`` package is not published, so all files that are not known count as
files. A JSON file is compared without UUIDs and times, which may be those of the export.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import zipfile
from bisect import bisect_left
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from spark_impex_runner import fields
from spark_impex_runner.archive_reader import DamagedFileError
from spark_impex_runner.comparison.metadata import (
    NotStatedError,
    canonical,
    defaults,
    hash_text,
    settings,
    table,
)
from spark_impex_runner.digests import of_bytes
from spark_impex_runner.models.comparison import OUTPUT_TYPES, VersionContents
from spark_impex_runner.spark.status import parse_status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from spark_impex_runner.archive_reader import FileReader
    from spark_impex_runner.models import ServiceVersion
    from spark_impex_runner.models.comparison import Items

MANIFEST = "manifest.json"
_METADATA, _RULES = "ModelMetaData.json", "DefaultValidations.json"
# It holds the number of the version, which is compared already.
_REVISION = "WASMMetaData.json"
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?")


@dataclass(frozen=True, slots=True)
class PackageContents:
    """The versions of one package, and its files outside of any version.

    ``kind`` is inferred: a genuine ``onpremises`` package has no files besides those of the layout.
    """

    kind: str
    versions: tuple[VersionContents, ...]
    files: Items


def read_package(package: FileReader) -> PackageContents:
    """Read a package, each file once and in pieces.

    Raises ``DamagedFileError`` for a damaged file, ``NotStatedError`` if there is no manifest.
    """
    places = [name for name in package.names if name.split("/")[1:] == [MANIFEST]]
    if len(places) != 1:
        raise NotStatedError(f"it has no single {{tenant}}/{MANIFEST}, so it is no package")
    manifest = _object(package, places[0])
    root = places[0].removesuffix(MANIFEST)
    left = _FilesLeft(name for name in package.names if name != places[0])
    status = parse_status(manifest)
    versions: dict[str, VersionContents] = {}
    kind = "onpremises"
    for each in status.service_versions:
        if each.uri not in versions:
            folder = f"{root}{each.folder}/{each.service}/{each.version}/"
            reader = _VersionReader(package, folder, each, left)
            versions[each.uri] = reader.read()
            kind = "migrate" if reader.has_others else kind
    services = {(each.folder, each.service) for each in status.service_versions}
    for each in status.services:
        if (each.folder, each.service) not in services:
            versions[each.uri] = _without_version(each)
    # The name of the tenant does not count; what is not below it keeps its full name.
    files = {
        name.removeprefix(root) if name.startswith(root) else f"/{name}": _digest(package, name)
        for name in left.below("")
    }
    return PackageContents(kind, tuple(versions.values()), files)


def _without_version(service: ServiceVersion) -> VersionContents:
    reason = {"versions": f"{MANIFEST} names none"}
    return VersionContents(service.folder, service.service, "", service.service_id, {}, reason)


class _FilesLeft:
    """The files that belong to no version yet."""

    def __init__(self, names: Iterable[str]) -> None:
        self._sorted = sorted(names)
        self._left = set(self._sorted)

    def take(self, name: str) -> bool:
        """Return whether a file is there and was not taken before."""
        found = name in self._left
        self._left.discard(name)
        return found

    def below(self, folder: str) -> Iterator[str]:
        """Take all files below a folder, whose name ends with a slash."""
        # Not a slice, which would copy all names for each of many versions.
        for index in range(bisect_left(self._sorted, folder), len(self._sorted)):
            name = self._sorted[index]
            if not name.startswith(folder):
                return
            if self.take(name):
                yield name


@dataclass
class _VersionReader:
    """Reads one version, and takes the files that belong to it."""

    package: FileReader
    folder: str
    version: ServiceVersion
    left: _FilesLeft
    sections: dict[str, Items] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)
    has_others: bool = False

    def read(self) -> VersionContents:
        """Return the contents of the version, or why they are not known."""
        version = self.version
        metadata = self._json(_METADATA, ("inputs", "outputs", "settings"))
        engine = fields.mapping(metadata.get("EngineInformation"))
        rules = self._json(_RULES, ("defaults",))
        self._json(_REVISION, ())
        if metadata:
            self._read_tables(metadata)
            if engine:
                self.sections["settings"] = settings(engine)
            else:
                self.unknown["settings"] = f"{_METADATA} has no EngineInformation"
        if rules:
            self._state("defaults", partial(defaults, rules.get("outputs"), _RULES))
        self._read_module(engine.get("CompiledOutputHash"))
        self._read_files(engine)
        return VersionContents(
            version.folder,
            version.service,
            version.version,
            version.service_id,
            self.sections,
            self.unknown,
            self.parts,
        )

    def _json(self, name: str, sections: tuple[str, ...]) -> Mapping[str, Any]:
        """Return the object in a file; without one, its sections are unknown."""
        path = self.folder + name
        found: Mapping[str, Any] = {}
        reason = f"there is no {name}"
        if self.left.take(path):
            try:
                found, reason = _object(self.package, path), f"{name} is empty"
            except NotStatedError as error:
                reason = f"{name}: {error}"
        if not found:
            self.unknown |= dict.fromkeys(sections, reason)
        return found

    def _read_tables(self, metadata: Mapping[str, Any]) -> None:
        for section, key, title in (
            ("inputs", "XInputTable", "Input Name"),
            ("outputs", "XOutputTable", "Output Name"),
        ):
            self._state(section, partial(table, metadata.get(key), title, key))
        if not all("type" in each for each in self.sections.get("outputs", {}).values()):
            self.unknown[OUTPUT_TYPES] = "the package does not state them"

    def _state(self, section: str, read: Callable[[], Items]) -> None:
        try:
            self.sections[section] = read()
        except NotStatedError as error:
            self.unknown[section] = str(error)

    def _read_module(self, announced: Any) -> None:
        """Hash the module; without one, the announced hash stands for it."""
        path = f"{self.folder}{self.version.version_id}.zip"
        sha256 = hash_text(announced)
        if self.left.take(path):
            sha256 = self._hash_module(path)
        if sha256:
            self.sections["module"] = {"module": {"sha256": canonical(sha256)}}
        else:
            self.unknown["module"] = f"there is neither {self.version.version_id}.zip nor its hash"

    def _hash_module(self, path: str) -> str:
        digest = hashlib.sha256()
        with tempfile.TemporaryFile() as copy:
            self.package.copy(path, copy, digest.update)
            # Its hash is compared even if it is no ZIP file.
            with suppress(zipfile.BadZipFile), self.package.nested(copy) as inner:
                for entry in inner.entries.values():
                    self.parts[entry.filename] = f"{entry.CRC:08x} {entry.file_size}"
        return digest.hexdigest()

    def _read_files(self, engine: Mapping[str, Any]) -> None:
        """Hash all other files, and the workbook by the hash that the metadata state."""
        files = {
            name.removeprefix(self.folder): _digest(self.package, name)
            for name in self.left.below(self.folder)
        }
        self.has_others = bool(files)
        workbook = fields.text(engine.get("OriginalFileName"))
        announced = hash_text(engine.get("OriginalServiceHash"))
        stated = files.get(workbook, {}).get("sha256", "")
        if announced:
            self.sections["workbook"] = {"workbook": {"sha256": canonical(announced)}}
        elif stated:
            self.sections["workbook"] = {"workbook": {"sha256": stated}}
        else:
            self.unknown["workbook"] = "the package states no hash of it"
        if stated == canonical(announced) or not announced:
            files.pop(workbook, None)
        self.sections["files"] = files


def _object(package: FileReader, path: str) -> Mapping[str, Any]:
    """Return the JSON object in a file; raise ``NotStatedError`` if it holds none."""
    try:
        found = fields.parse(package.text(path))
    except ValueError as error:
        raise NotStatedError("it is no JSON") from error
    if not isinstance(found, Mapping):
        raise NotStatedError("it is no JSON object")
    return found


def _digest(package: FileReader, path: str) -> dict[str, str]:
    """Return the SHA-256 of a file; of JSON, that of its values without UUIDs and times."""
    if path.endswith(".json"):
        # Too large or no JSON: its bytes are compared. Reading them reports any damage.
        with suppress(ValueError, DamagedFileError):
            values = canonical(_lasting(fields.parse(package.text(path))))
            return {"sha256": canonical(of_bytes([values.encode()]))}
    return {"sha256": canonical(of_bytes(package.pieces(path)))}


def _lasting(value: Any) -> Any:
    """Return a JSON value without what differs between two exports of the same."""
    if isinstance(value, str) and (_UUID.fullmatch(value) or _TIME.fullmatch(value)):
        return None
    if isinstance(value, list):
        return [_lasting(each) for each in value]
    if isinstance(value, Mapping):
        return {key: _lasting(each) for key, each in value.items()}
    return value
