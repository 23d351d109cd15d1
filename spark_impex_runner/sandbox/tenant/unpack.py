"""Unpacks an uploaded package into version directories like those of the served tree."""

from __future__ import annotations

import json
import shutil
import uuid
import zlib
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile, ZipFile

from spark_impex_runner.sandbox.http.body import CHUNK
from spark_impex_runner.sandbox.tenant.bundle import code_name
from spark_impex_runner.sandbox.tenant.version_files import PLACEHOLDERS

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class UnpackedVersion:
    """One version of a package, unpacked to ``path``."""

    folder: str
    service: str
    number: str
    version_id: str
    path: Path


def unpack(package: Path, directory: Path) -> list[UnpackedVersion]:
    """Unpack the versions of a ``migrate`` package to new directories in ``directory``.

    Raises ValueError for any other file, also for a package without workbooks: only packages with
    ``file_filter: migrate`` can be imported (documented).
    """
    try:
        with ZipFile(package) as archive:
            tenant_folder, manifest = _manifest(archive)
            entries = manifest["outputs"]["service_versions"]
            return [_version(archive, tenant_folder, entry, directory) for entry in entries]
    except BadZipFile as error:
        raise ValueError(f"not a ZIP file: {error}") from None
    except (KeyError, TypeError, AttributeError, RuntimeError, zlib.error) as error:
        raise ValueError(f"not a migrate package: {error}") from None


def _manifest(archive: ZipFile) -> tuple[str, Any]:
    for name in archive.namelist():
        tenant_folder, _, file = name.partition("/")
        if file == "manifest.json":
            return tenant_folder, json.loads(archive.read(name))
    raise ValueError("not an export package: it has no manifest.json")


def _version(
    archive: ZipFile, tenant_folder: str, entry: dict[str, str], directory: Path
) -> UnpackedVersion:
    # A new name, as several imports may bring the same version.
    target = directory / str(uuid.uuid4())
    target.mkdir()
    version = UnpackedVersion(
        _plain(entry["folder_source"]),
        _plain(entry["service_source"]),
        _plain(entry["version_source"]),
        str(uuid.UUID(entry["version_id_source"])),
        target,
    )
    source = f"{tenant_folder}/{version.folder}/{version.service}/{version.number}/"
    metadata = json.loads(archive.read(f"{source}ModelMetaData.json"))
    workbook = _plain(metadata["EngineInformation"]["OriginalFileName"])
    _copy(archive, f"{source}{workbook}", target / workbook)
    _copy(archive, f"{source}DefaultValidations.json", target / "DefaultValidations.json")
    about = _about(metadata, _defaults(target / "DefaultValidations.json"))
    (target / "service.json").write_text(json.dumps(about), encoding="utf-8")
    _copy(archive, f"{source}{version.version_id}.zip", target / "module.zip")
    _unpack_code(target / "module.zip", version)
    return version


def _unpack_code(module: Path, version: UnpackedVersion) -> None:
    with ZipFile(module) as archive:
        for suffix in PLACEHOLDERS:
            name = code_name(version.service, suffix)
            _copy(archive, name, version.path / f"model.{suffix}")
        # Part of the module, whose hash must stay what it was on the other tenant.
        log = f"{version.service}_CompilerLog.json"
        if log in archive.namelist():
            _copy(archive, log, version.path / "CompilerLog.json")
    module.unlink()


def _copy(archive: ZipFile, name: str, target: Path) -> None:
    with archive.open(name) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file, CHUNK)


def _defaults(validations: Path) -> dict[str, Any]:
    """Return the defaults of inputs by name; a served file may have any other content."""
    try:
        rules = json.loads(validations.read_bytes())["outputs"].items()
        known = {name: rule["default_value"] for name, rule in rules}
    except (ValueError, LookupError, TypeError, AttributeError):
        return {}
    return {name: {"default": value} for name, value in known.items() if value is not None}


def _about(metadata: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Return what ``service.json`` holds; the metadata do not tell the ``defaults`` of inputs."""
    engine = metadata["EngineInformation"]
    inputs = _parameters(metadata["XInputTable"], "Input Name")
    return {
        "description": engine["Description"],
        "label": engine["VersionLabel"],
        "inputs": [{**each, **defaults.get(each["name"], {})} for each in inputs],
        "outputs": _parameters(metadata["XOutputTable"], "Output Name"),
    }


def _parameters(table: list[dict[str, Any]], title: str) -> list[dict[str, Any]]:
    return [
        {"name": row[title], "description": row["Description"], "address": row["Address"]}
        for row in table
    ]


def _plain(name: str) -> str:
    """Return ``name`` if it is one path segment on every system, else raise ValueError."""
    if name in ("", ".", "..") or {PurePosixPath(name).name, PureWindowsPath(name).name} != {name}:
        raise ValueError(f"not a name for a folder, service, version or workbook: {name!r}")
    return name
