"""The details of a version, with the names of a sample in the official SDK."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_impex_runner.sandbox.http.messages import json_reply, v1_error
from spark_impex_runner.sandbox.tenant import bundle
from spark_impex_runner.sandbox.tenant.archive import file_hash
from spark_impex_runner.sandbox.tenant.metadata import model_metadata
from spark_impex_runner.sandbox.tenant.version_files import VersionFiles

if TYPE_CHECKING:
    from spark_impex_runner.sandbox.http.messages import Reply, Request
    from spark_impex_runner.sandbox.tenant.tree import Tenant, Version


class Details:
    """Answers ``GET product/{folder}/engines/get/{service}`` of one tenant."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant

    def __call__(
        self,
        request: Request,  # noqa: ARG002 - a route's signature
        folder: str,
        service: str,
        version_id: str = "",
    ) -> Reply:
        """Answer with one version, by default the latest; without an envelope (seen)."""
        for version in reversed(self._tenant.versions(folder, service)):
            if version_id in {"", version.id}:
                return json_reply(_details(self._tenant.name, version))
        raise v1_error("SERVICE_NOT_FOUND", f"no service {folder}/{service} {version_id}".rstrip())


def _details(tenant: str, version: Version) -> dict[str, Any]:
    source = VersionFiles(version)
    with tempfile.TemporaryDirectory() as folder:
        module = Path(folder, "module.zip")
        bundle.build(source, module)
        sha256 = file_hash(module, "sha256").hex()
    known = sha256 if source.is_compiled else ""
    metadata = model_metadata(source, {"Tenant": tenant, "BaseUrl": ""}, known)
    return {
        "metadata": {
            "engineInformation": {
                f"{key[0].lower()}{key[1:]}": value
                for key, value in metadata["EngineInformation"].items()
            },
            "xInputTable": metadata["XInputTable"],
            "xOutputTable": metadata["XOutputTable"],
            "versionId": version.id,
        },
        "xlInputs": [_cell(entry, "XInput") for entry in source.parameters("inputs")],
        "xOutput": [_cell(entry, "XOutput") for entry in source.parameters("outputs")],
    }


def _cell(entry: dict[str, Any], kind: str) -> dict[str, Any]:
    value = entry.get("default")
    number = kind == "XOutput" or isinstance(value, (int, float))
    return {
        "name": entry.get("name"),
        "description": entry.get("description"),
        "address": entry.get("address"),
        "type": kind,
        "dataType": str(entry.get("type") or ("number" if number else "text")).upper(),
        "value": value,
        "validation": None,
    }
