"""Execute services of the emulated tenant, by the engine of the step ``calculate``."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from spark_impex_runner.sandbox.http.messages import json_object, json_reply, v4_error
from spark_impex_runner.sandbox.tenant.version_files import PLACEHOLDERS, VersionFiles

if TYPE_CHECKING:
    from spark_impex_runner.sandbox.http.messages import Reply, Request
    from spark_impex_runner.sandbox.tenant.tree import Tenant, Version

_ENGINE = "spark_impex_runner.plugins.calculate.served"


@dataclass
class Execution:
    """Answers ``POST folders/{folder}/services/{service}/execute``; ``close`` ends its processes.

    A service is executed by a process of its own, which is started on first use.
    """

    tenant: Tenant
    _modules: dict[str, Any] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def execute(self, request: Request, folder: str, service: str) -> Reply:
        """Answer with the outputs of one case, as documented for the v3 API."""
        body = json_object(request.body)
        data, meta = body.get("request_data"), body.get("request_meta") or {}
        inputs = data.get("inputs") if isinstance(data, dict) else None
        if not isinstance(inputs, dict) or not isinstance(meta, dict):
            raise v4_error(400, "INVALID_INPUT", "request_data.inputs must be an object")
        version = self._version(folder, service, meta)
        with self._lock:  # one case at a time is enough for an emulation
            found = self._module(version).reply(inputs)
        return json_reply({**found, "status": "Success", "error": None})

    def close(self) -> None:
        """End all processes."""
        for each in self._modules.values():
            each.close()

    def _version(self, folder: str, service: str, meta: dict[str, Any]) -> Version:
        """Return the requested version, by default the latest."""
        for each in reversed(self.tenant.versions(folder, service)):
            number, version_id = meta.get("version"), meta.get("version_id")
            if number in {None, "", each.number} and version_id in {None, "", each.id}:
                return each
        raise v4_error(404, "SERVICE_NOT_FOUND", f"no such version of {folder}/{service}")

    def _module(self, version: Version) -> Any:
        """Return the running module of a version."""
        # The same id may come with other files, by an import.
        key = f"{version.id} {version.path}"
        if key not in self._modules:
            source = VersionFiles(version)
            files = {}
            for suffix in PLACEHOLDERS:
                with source.open_code(suffix) as code:
                    files[suffix] = code.read()
            try:
                self._modules[key] = import_module(_ENGINE).ServedModule(files)
            except (ValueError, ImportError) as error:
                # How a tenant reports it is not published: this is an invention.
                raise v4_error(422, "NOT_EXECUTABLE", f"{version.uri}: {error}") from None
        return self._modules[key]
