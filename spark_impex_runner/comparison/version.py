"""Read one version of a package: its metadata, its module, and its other files."""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from spark_impex_runner import fields
from spark_impex_runner.comparison.files import FilesLeft, digest, read_object
from spark_impex_runner.comparison.metadata import (
    NotStatedError,
    canonical,
    defaults,
    hash_text,
    settings,
    table,
)
from spark_impex_runner.models.comparison import OUTPUT_TYPES, VersionContents

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spark_impex_runner.archive_reader import FileReader
    from spark_impex_runner.models import ServiceVersion
    from spark_impex_runner.models.comparison import Items

_METADATA, _RULES = "ModelMetaData.json", "DefaultValidations.json"
# It holds the number of the version, which is compared already.
_REVISION = "WASMMetaData.json"


@dataclass
class VersionReader:
    """Reads one version, and takes the files that belong to it."""

    package: FileReader
    folder: str
    version: ServiceVersion
    left: FilesLeft
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
                found, reason = read_object(self.package, path), f"{name} is empty"
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
        sha256 = hashlib.sha256()
        with tempfile.TemporaryFile() as copy:
            self.package.copy(path, copy, sha256.update)
            # Its hash is compared even if it is no ZIP file.
            with suppress(zipfile.BadZipFile), self.package.nested(copy) as inner:
                for entry in inner.entries.values():
                    self.parts[entry.filename] = f"{entry.CRC:08x} {entry.file_size}"
        return sha256.hexdigest()

    def _read_files(self, engine: Mapping[str, Any]) -> None:
        """Hash all other files, and the workbook by the hash that the metadata state."""
        files = {
            name.removeprefix(self.folder): digest(self.package, name)
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
