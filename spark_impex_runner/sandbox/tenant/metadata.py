"""``ModelMetaData.json``, the metadata of one version (names seen in a genuine package)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from spark_impex_runner.sandbox.tenant.bundle import COMPILER
from spark_impex_runner.sandbox.tenant.tree import id_of

if TYPE_CHECKING:
    from spark_impex_runner.sandbox.tenant.version_files import VersionFiles

RELEASED = "2025-01-15T09:30:00Z"
RETIRED = "2035-01-15T09:30:00Z"
AUTHOR = "author@sandbox.invalid"
_ABSENT = ("UniversalFileHash", "ReleaseNote", "ServiceGuid", "Provenance", "XReportRanges", "Tags")


def model_metadata(
    source: VersionFiles, origin: dict[str, str], module_sha256: str
) -> dict[str, Any]:
    """Return the metadata of a version; ``origin`` has ``Tenant`` and ``BaseUrl``."""
    return {
        "EffectiveStartDate": RELEASED,
        "EffectiveEndDate": RETIRED,
        "EngineInformation": {
            **_engine(source),
            **_workbook(source),
            **origin,
            "CompiledOutputHash": module_sha256.upper() or None,
        },
        "XInputTable": _table(source, "inputs", "Input Name"),
        "XOutputTable": _table(source, "outputs", "Output Name"),
        "VersionId": source.version.id,
        "HasSignatureChain": None,
    }


def _workbook(source: VersionFiles) -> dict[str, Any]:
    content = source.workbook()
    return {
        "FileSize": len(content),
        "SizeOfUploadedFile": len(content),
        "OriginalFileName": source.workbook_name(),
        "FileMD5Hash": hashlib.md5(content, usedforsecurity=False).hexdigest().upper(),
        "OriginalServiceHash": hashlib.sha256(content).hexdigest().upper(),
    }


def _engine(source: VersionFiles) -> dict[str, Any]:
    version = source.version
    absent: dict[str, Any] = dict.fromkeys(_ABSENT)
    return {
        **absent,
        "Author": AUTHOR,
        "ProductName": version.folder,
        "Revision": version.number,
        "Description": source.about.get("description"),
        "ReleaseDate": RELEASED,
        "ServiceName": version.service,
        "NoOfInstance": 1,
        "UploaderEmail": AUTHOR,
        "DefaultEngineType": "Neuron",
        "IsTypeScriptFile": False,
        "EngineUpgradeType": "minor",
        "PublicAPI": False,
        "FileGuid": id_of("file", version.id),
        "ServiceVersionGuid": version.id,
        "AllowToStoreHistory": True,
        "CalcMode": "AUTO",
        "ForceInputsWriteBeforeCalcModeChanges": True,
        "VersionLabel": source.about.get("label", ""),
        "ExplainerType": "",
        "IsXParameter": False,
        "ParametersetCompatibilityGroup": "",
        "XParameterSetVersionId": "",
        "VersionUpgradeAssert": "OFF",
        "CompilerVersion": COMPILER,
        "CompilerVersionServiceUpdate": "StableLatest",
        "DirectAddressingOutputsEnabled": False,
    }


def _table(source: VersionFiles, side: str, title: str) -> list[dict[str, Any]]:
    return [
        {
            title: entry.get("name"),
            "Description": entry.get("description"),
            "Address": entry.get("address"),
        }
        for entry in source.parameters(side)
    ]
