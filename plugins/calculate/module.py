"""Find the compiled modules in a package, with what the package says about them."""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from spark_impex_runner import errors, tools

from .features import changing_functions, unknown_feature
from .interface import MAX_TEXT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spark_impex_runner import models

# A genuine one of a single formula has 1.3 MB; compiling takes about a second for each.
_LIMITS: Final = {"wasm": 32 << 20, "js": MAX_TEXT, "data": 64 << 20}
# The shortest valid module, which a sandbox puts where it has none.
_STAND_IN: Final = 8
_RULES: Final = "DefaultValidations.json"
_LOG: Final = "_CompilerLog.json"


@dataclass(frozen=True, slots=True)
class Module:
    """A compiled module; with a ``reason`` it cannot be calculated.

    ``files`` are those of the code by their suffixes, ``sha256`` is that of the ``.wasm``,
    ``changing`` are the functions of time and chance that the compiler's log names.
    """

    uri: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    compiler: str = ""
    files: Mapping[str, bytes] | None = None
    sha256: str = ""
    reason: str = ""
    changing: tuple[str, ...] = ()


def versions(package: tools.FileReader) -> list[models.ServiceVersion]:
    """Return the versions that a package lists."""
    place = _manifest(package)
    manifest = tools.parse_status(_object(package, place))
    return list({each.uri: each for each in manifest.service_versions}.values())


def read_module(package: tools.FileReader, version: models.ServiceVersion) -> Module:
    """Return the module of one version."""
    root = _manifest(package).partition("/")[0]
    folder = f"{root}/{version.folder}/{version.service}/{version.version}/"
    metadata = _object(package, f"{folder}ModelMetaData.json")
    about = metadata.get("EngineInformation")
    about = about if isinstance(about, dict) else {}
    found = Module(
        version.uri,
        _names(metadata.get("XInputTable"), "Input Name"),
        _names(metadata.get("XOutputTable"), "Output Name"),
        str(about.get("CompilerVersion") or "unknown"),
    )
    if reason := unknown_feature(metadata, _optional(package, f"{folder}{_RULES}")):
        return replace(found, reason=reason)
    path = f"{folder}{version.version_id}.zip"
    if path not in package.names:
        return replace(found, reason=f"the package holds no module {version.version_id}.zip")
    with tempfile.TemporaryFile() as copy:
        package.copy(path, copy, lambda _: None)
        try:
            with package.nested(copy) as inner:
                return _with_code(found, inner)
        except zipfile.BadZipFile as error:
            return replace(found, reason=f"its module is no ZIP file: {error}")


def _with_code(module: Module, inner: tools.ArchiveReader) -> Module:
    """Return the module with its code, or the reason why that is unusable."""
    files = {}
    for suffix, most in _LIMITS.items():
        names = [each for each in inner.entries if each.endswith(f".{suffix}")]
        if len(names) != 1:
            number = "no" if not names else "more than one"
            return replace(module, reason=f"its module has {number} .{suffix} file")
        if inner.entries[names[0]].file_size > most:
            return replace(module, reason=f"{names[0]} has more than {most} bytes")
        files[suffix] = b"".join(inner.pieces(names[0]))
    if len(files["wasm"]) <= _STAND_IN:
        return replace(module, reason="its .wasm is a stand-in without code")
    logs = [each for each in inner.entries if each.endswith(_LOG)]
    try:
        log = _optional(inner, logs[0]) if len(logs) == 1 else {}
    except errors.UsageError:
        log = {}  # nothing of the calculation depends on it
    sha256 = hashlib.sha256(files["wasm"]).hexdigest()
    return replace(module, files=files, sha256=sha256, changing=changing_functions(log))


def _manifest(package: tools.FileReader) -> str:
    if package.manifest is None:
        raise errors.UsageError("it has no single {tenant}/manifest.json, so it is no package")
    return package.manifest


def _object(package: tools.FileReader, path: str) -> Mapping[str, Any]:
    """Return the JSON object in a file."""
    if path not in package.names:
        raise errors.UsageError(f"there is no {path}")
    try:
        found = tools.parse_json(package.text(path))
    except (ValueError, tools.DamagedFileError) as error:
        raise errors.UsageError(f"{path}: {error}") from error
    if not isinstance(found, dict):
        raise errors.UsageError(f"{path}: expected a JSON object")
    return found


def _optional(package: tools.FileReader, path: str) -> Mapping[str, Any]:
    """Return the JSON object in a file, empty if there is no such file."""
    return _object(package, path) if path in package.names else {}


def _names(table: Any, key: str) -> tuple[str, ...]:
    """Return the names in a table of inputs or outputs."""
    rows: Sequence[Any] = table if isinstance(table, list) else ()
    names = (row.get(key) for row in rows if isinstance(row, dict))
    return tuple(name for name in names if isinstance(name, str))
