"""The import endpoints, which add uploaded packages to the served tree.

The tree changes when the upload is accepted, although the job may stay ``in_progress`` longer.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spark_impex_runner.sandbox.http.messages import json_object, json_reply, v4_error
from spark_impex_runner.sandbox.http.multipart import receive
from spark_impex_runner.sandbox.tenant.jobs import Outcome
from spark_impex_runner.sandbox.tenant.placement import ImportRejected, Placement, arrange
from spark_impex_runner.sandbox.tenant.selection import split_uri
from spark_impex_runner.sandbox.tenant.unpack import unpack

if TYPE_CHECKING:
    from pathlib import Path

    from spark_impex_runner.sandbox.http.messages import Reply, Request
    from spark_impex_runner.sandbox.tenant.jobs import Job, Jobs
    from spark_impex_runner.sandbox.tenant.tree import Tenant
    from spark_impex_runner.sandbox.tenant.unpack import UnpackedVersion
    from spark_impex_runner.sandbox.webhook import Webhook

MEGABYTE = 1024 * 1024
EXISTING = ("abort", "replace", "add_version")


@dataclass(frozen=True, slots=True)
class UploadSettings:
    """The directory for unpacked uploads, the maximum size of one in bytes, and who hears of it."""

    directory: Path
    size_limit: int
    webhook: Webhook | None = None


class Imports:
    """Answers the import endpoints of one tenant."""

    def __init__(self, tenant: Tenant, jobs: Jobs, uploads: UploadSettings) -> None:
        self._tenant = tenant
        self._jobs = jobs
        self._uploads = uploads
        self._lock = threading.Lock()

    def create(self, request: Request) -> Reply:
        """Answer ``POST import``."""
        entity, package = self._receive(request)
        try:
            self._check_size(package)
            rules = _entries(entity)
            unpacked = _unpacked(package, self._uploads.directory)
        finally:
            package.unlink()
        placements = [self._placement(rule, unpacked) for rule in rules]
        existing = entity.get("services_existing") or "abort"
        job = self._jobs.run(request, entity, lambda job: self._work(job, placements, existing))
        return json_reply(self._jobs.created(job))

    def status(self, request: Request, job_id: str) -> Reply:  # noqa: ARG002 - a route's signature
        """Answer ``GET import/{id}/status``."""
        return json_reply(self._jobs.status(self._jobs.get(job_id)))

    def describe(self, request: Request) -> Reply:
        """Answer ``GET import/status``."""
        return json_reply(self._jobs.describe(request))

    def _receive(self, request: Request) -> tuple[dict[str, Any], Path]:
        content_type = request.headers.get("content-type", "")
        try:
            form = receive(content_type, request.stream, self._uploads.directory)
        except ValueError as error:
            raise v4_error(400, "INVALID_REQUEST", str(error)) from None
        package = form.files.pop("file", None)
        for path in form.files.values():
            path.unlink()
        if package is None:
            raise v4_error(400, "INVALID_REQUEST", "the part 'file' is missing")
        return json_object(form.fields.get("importRequestEntity", b"")), package

    def _check_size(self, package: Path) -> None:
        size, limit = package.stat().st_size, self._uploads.size_limit
        if size > limit:
            message = (
                f"The uploaded file size of {size / MEGABYTE:.0f} MB exceeds the upload limit of "
                f"{limit / MEGABYTE:.0f} MB."
            )
            raise v4_error(500, "EXCEEDED_FILE_SIZE", message)

    def _placement(self, rule: dict[str, Any], unpacked: list[UnpackedVersion]) -> Placement:
        source = rule.get("service_uri_source")
        destination = rule.get("service_uri_destination") or source
        try:
            folder, service, number = split_uri(str(source))
            to_folder, to_service, _ = split_uri(str(destination))
        except LookupError as error:
            raise v4_error(404, "SERVICE_NOT_FOUND", str(error.args[0])) from None
        chosen = [
            version
            for version in unpacked
            if (version.folder, version.service) == (folder, service)
            and number in ("", version.number)
        ]
        if not chosen:
            message = f"service could not be found in the package: {source}"
            raise v4_error(404, "SERVICE_NOT_FOUND", message)
        if to_folder not in self._tenant.folders():
            message = f"destination folder could not be found: {to_folder}"
            raise v4_error(404, "FOLDER_NOT_FOUND", message)
        return Placement(chosen, to_folder, to_service, rule.get("update_version_type") or "minor")

    def _work(self, job: Job, placements: list[Placement], existing: str) -> Outcome:
        # Two imports that check and then change the tree must not interleave.
        with self._lock:
            try:
                outputs = arrange(self._tenant, placements, existing, job.id)
            except ImportRejected as rejection:
                error = {"type": "invalid_input", "code": rejection.code, "message": str(rejection)}
                return Outcome("closed", lambda: None, [error])
        if webhook := self._uploads.webhook:
            names = ("folder", "service", "version", "version_id")
            for each in outputs["service_versions"]:
                webhook.post("PublishEngine", *(each[f"{name}_destination"] for name in names))
        return Outcome("closed", lambda: outputs)


def _entries(entity: dict[str, Any]) -> list[dict[str, Any]]:
    inputs = entity.get("inputs")
    entries = inputs.get("services_modify") if isinstance(inputs, dict) else None
    if not isinstance(entries, list) or not entries:
        message = "inputs.services_modify must list at least one service"
        raise v4_error(400, "INVALID_REQUEST", message)
    if entity.get("services_existing") not in (None, *EXISTING):
        message = f"services_existing must be one of {', '.join(EXISTING)}"
        raise v4_error(400, "INVALID_REQUEST", message)
    for entry in entries:
        kind = entry.get("update_version_type") if isinstance(entry, dict) else "?"
        if kind not in (None, "major", "minor", "patch"):
            message = "an entry of services_modify is malformed, or its update_version_type is"
            raise v4_error(400, "INVALID_REQUEST", message)
    return entries


def _unpacked(package: Path, directory: Path) -> list[UnpackedVersion]:
    try:
        return unpack(package, directory)
    except ValueError as error:
        raise v4_error(500, "INVALID_IMPORT_ZIP", str(error)) from None
