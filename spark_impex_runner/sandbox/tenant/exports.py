"""The export endpoints: create, status, cancel, describe."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from spark_impex_runner.sandbox.http.messages import json_object, json_reply, v4_error
from spark_impex_runner.sandbox.tenant.archive import file_hash
from spark_impex_runner.sandbox.tenant.downloads import Package
from spark_impex_runner.sandbox.tenant.jobs import Outcome
from spark_impex_runner.sandbox.tenant.package import PackageRequest, build, listing
from spark_impex_runner.sandbox.tenant.selection import Selection, select
from spark_impex_runner.sandbox.tenant.version_files import VersionFiles

if TYPE_CHECKING:
    from pathlib import Path

    from spark_impex_runner.sandbox.http.messages import Reply, Request
    from spark_impex_runner.sandbox.settings import Settings
    from spark_impex_runner.sandbox.tenant.downloads import Downloads
    from spark_impex_runner.sandbox.tenant.jobs import Job, Jobs
    from spark_impex_runner.sandbox.tenant.tree import Tenant, Version

LOGIN_PAGE = (
    b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Sign in</body></html>\n"
)


@dataclass(frozen=True, slots=True)
class Locations:
    """The addresses of both servers, and the directory of finished packages."""

    base_url: str
    download_origin: str
    directory: Path


class Exports:
    """Answers the export endpoints of one tenant."""

    def __init__(
        self,
        tenant: Tenant,
        jobs: Jobs,
        downloads: Downloads,
        settings: Settings,
        locations: Locations,
    ) -> None:
        self._tenant = tenant
        self._jobs = jobs
        self._downloads = downloads
        self._settings = settings
        self._locations = locations

    def create(self, request: Request) -> Reply:
        """Answer ``POST export``: all or nothing, as documented; the last code is invented."""
        body = json_object(request.body)
        try:
            versions = select(self._tenant, _checked(body))
        except LookupError as error:
            raise v4_error(404, "SERVICE_NOT_FOUND", str(error.args[0])) from None
        for version in versions:
            if not VersionFiles(version).is_compiled:
                raise v4_error(500, "SERVICE_NOT_COMPILED", f"no compiled module: {version.uri}")
        job = self._jobs.run(request, body, lambda job: self._work(job, body, versions))
        return json_reply(self._jobs.created(job))

    def status(self, request: Request, job_id: str) -> Reply:  # noqa: ARG002 - a route's signature
        """Answer ``GET export/{id}/status``."""
        return json_reply(self._jobs.status(self._jobs.get(job_id)))

    def cancel(self, request: Request, job_id: str) -> Reply:
        """Answer ``PATCH export/{id}`` with the status afterwards (assumed)."""
        job = self._jobs.get(job_id)
        if json_object(request.body).get("export_status") != "cancelled":
            raise v4_error(400, "INVALID_STATUS", "export_status can only become 'cancelled'")
        self._jobs.cancel(job)
        return json_reply(self._jobs.status(job))

    def describe(self, request: Request) -> Reply:
        """Answer ``GET export/status``."""
        return json_reply(self._jobs.describe(request))

    def _work(self, job: Job, body: dict[str, Any], versions: list[Version]) -> Outcome:
        ending = self._settings.ending
        if ending == "null_outputs":
            return Outcome("closed", lambda: None)
        if ending in ("errors", "failed", "cancelled"):
            status = "closed" if ending == "errors" else ending
            return _failure(status, versions, "EXPORT_FAILED", "the sandbox is configured to fail")
        package = self._build(job, body, versions)
        size = package.path.stat().st_size
        if size > self._settings.size_limit:
            limit = self._settings.size_limit
            message = f"the package of {size} bytes exceeds the limit of {limit} bytes"
            if self._settings.over_limit == "refuse":
                raise v4_error(500, "EXCEEDED_FILE_SIZE", message)
            return _failure("closed", versions, "EXCEEDED_FILE_SIZE", message)
        return self._success(package, versions)

    def _build(self, job: Job, body: dict[str, Any], versions: list[Version]) -> Package:
        path = self._locations.directory / f"{job.id}.zip"
        workbooks = body.get("file_filter", "migrate") != "onpremises"
        build(
            PackageRequest(
                self._tenant.name, self._locations.base_url, job.id, versions, workbooks
            ),
            path,
        )
        etag = f'"{file_hash(path, "sha256").hex()}"'
        return Package(path, body.get("file_name") or "package", etag)

    def _success(self, package: Package, versions: list[Version]) -> Outcome:
        digest = _written(package.path, self._settings.hash_form)
        if self._settings.ending == "not_zip":
            package.path.write_bytes(LOGIN_PAGE)
            package = replace(package, kind="text/html")

        # Called for each status, so that an expired link is replaced by a new one.
        def outputs() -> dict[str, Any]:
            url = self._locations.download_origin + self._downloads.path_of(package)
            return {"files": [{"file": url, "file_hash": digest}], **listing(versions)}

        status = "completed" if self._settings.ending == "completed" else "closed"
        return Outcome(status, outputs)


def _failure(status: str, versions: list[Version], code: str, message: str) -> Outcome:
    outputs = {"files": None, **listing(versions)}
    errors = [{"type": "invalid_input", "code": code, "message": message}]
    return Outcome(status, lambda: outputs, errors)


def _written(path: Path, form: str) -> str | None:
    algorithm, _, style = form.partition("-")
    if algorithm == "none":
        return None
    digest = file_hash(path, algorithm)
    if style == "base64":
        return base64.b64encode(digest).decode()
    return digest.hex().upper() if style == "upper" else digest.hex()


def _checked(body: dict[str, Any]) -> Selection:
    """Return the selection in an export request; raise 400 if it is malformed."""
    inputs = body.get("inputs")
    if not isinstance(inputs, dict):
        raise v4_error(400, "INVALID_REQUEST", "inputs must be an object")
    _choice(body, "file_filter", ("migrate", "onpremises"))
    every = _choice(body, "version_filter", ("latest", "all")) == "all"
    if not isinstance(body.get("file_name") or "", str):
        raise v4_error(400, "INVALID_REQUEST", "file_name must be a string")
    folders, services, ids = (_names(inputs, k) for k in ("folders", "services", "version_ids"))
    if not (folders or services or ids):
        message = "inputs must name at least one of folders, services, version_ids"
        raise v4_error(400, "INVALID_REQUEST", message)
    return Selection(folders, services, ids, every)


def _choice(body: dict[str, Any], key: str, choices: tuple[str, str]) -> str:
    value = body.get(key)
    if value is None:
        return choices[0]
    if value not in choices:
        raise v4_error(400, "INVALID_REQUEST", f"{key} must be one of {', '.join(choices)}")
    return str(value)


def _names(inputs: dict[str, Any], key: str) -> tuple[str, ...]:
    values = inputs.get(key) or []
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise v4_error(400, "INVALID_REQUEST", f"inputs.{key} must be a list of strings")
    return tuple(values)
