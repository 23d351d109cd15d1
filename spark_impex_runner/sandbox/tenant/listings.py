"""The endpoints that list folders, services and versions, as the official clients use them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from spark_impex_runner.sandbox.http.messages import json_object, json_reply, v1_error, v1_reply
from spark_impex_runner.sandbox.tenant.metadata import AUTHOR, RELEASED, RETIRED
from spark_impex_runner.sandbox.tenant.tree import id_of
from spark_impex_runner.sandbox.tenant.version_files import VersionFiles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spark_impex_runner.sandbox.http.messages import Reply, Request
    from spark_impex_runner.sandbox.tenant.tree import Tenant, Version

# What ``folder.json`` may say.
_PROPERTIES = ("description", "category", "status", "startDate", "launchDate")


class Listings:
    """Answers the listing endpoints of one tenant."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant

    def folders(self, request: Request) -> Reply:
        """Answer ``POST product/list``; a search for a name finds parts of names (assumed)."""
        body = _optional_object(request)
        wanted = _sought(body.get("search"), "field", "value", "name")
        found = [self._folder(name) for name in self._tenant.folders() if _holds(name, wanted)]
        page = _page(found, body.get("page"), body.get("pageSize", 100))
        return json_reply(_counted(page, len(found)))

    def folder_exists(self, request: Request, folder: str) -> Reply:  # noqa: ARG002 - a route's signature
        """Answer ``POST product/isproductexists/{folder}``."""
        return v1_reply(folder in self._tenant.folders())

    def services(self, request: Request, folder: str) -> Reply:
        """Answer ``POST product/{folder}/engines``, a page of services."""
        body = _optional_object(request)
        newest = self._newest(folder)
        page = _page(newest, body.get("page"), body.get("pageSize", 100))
        return json_reply(_counted([_engine(version) for version in page], len(newest)))

    def folder(self, request: Request, folder: str) -> Reply:
        """Answer ``GET product/getproduct/{folder}?noOfCalculationEngines=N``."""
        newest = self._newest(folder)
        asked = parse_qs(request.query).get("noOfCalculationEngines", ["-1"])[-1]
        page = _page(newest, 1, int(asked) if asked.isdecimal() else -1)
        engines = _counted([_engine(version) for version in page], len(newest))
        return v1_reply({**self._folder(folder), "calculationEngines": engines})

    def search(self, request: Request) -> Reply:
        """Answer ``POST services/search`` of the tenant; an ``id`` is the service's (assumed)."""
        body = _optional_object(request).get("request_data") or {}
        terms = body.get("search")
        folder = _sought(terms, "fieldName", "fieldValue", "productname")
        service = _sought(terms, "fieldName", "fieldValue", "name1")
        newest = [
            version
            for name in self._tenant.folders()
            if _holds(name, folder)
            for version in self._newest(name)
            if _holds(version.service, service)
        ]
        size = body.get("page_size", 15)
        found = [_hit(version) for version in _page(newest, body.get("page"), size)]
        return _v3_reply(found, {"count": len(newest), "page": body.get("page", 1)})

    def versions(self, request: Request, folder: str, service: str) -> Reply:  # noqa: ARG002 - a route's signature
        """Answer ``GET product/{folder}/engines/getversions/{service}``, newest first."""
        versions = self._tenant.versions(folder, service)
        if not versions:
            raise v1_error("SERVICE_NOT_FOUND", f"no service {folder}/{service}")
        return v1_reply([_revision(version) for version in reversed(versions)])

    def exists(self, request: Request, folder: str, service: str) -> Reply:  # noqa: ARG002 - a route's signature
        """Answer ``GET folders/{folder}/services/{service}/exists``, 200 in either case."""
        versions = self._tenant.versions(folder, service)
        return _v3_reply(_existence(versions[-1] if versions else None), {})

    def _newest(self, folder: str) -> list[Version]:
        if folder not in self._tenant.folders():
            raise v1_error("PRODUCT_NOT_FOUND", f"no folder {folder}")
        services = self._tenant.services(folder)
        return [self._tenant.versions(folder, service)[-1] for service in services]

    def _folder(self, name: str) -> dict[str, Any]:
        about = self._tenant.about(name)
        return {
            "id": id_of(self._tenant.name, name),
            "name": name,
            "status": "Design",
            "category": "Other",
            "description": "",
            "coverImagePath": None,
            "createdAt": RELEASED,
            "createdBy": AUTHOR,
            "lastModifiedDate": RELEASED,
            "isStarred": False,
            "startDate": RELEASED,
            "launchDate": RELEASED,
            "totalServiceCount": len(self._tenant.services(name)),
            **{key: about[key] for key in _PROPERTIES if key in about},
        }


def _engine(version: Version) -> dict[str, Any]:
    return {
        "serviceName": version.service,
        "revision": version.number,
        "versionId": version.id,
        "originalFileName": VersionFiles(version).workbook_name(),
        "isStarred": False,
        "serviceStatus": "Active",
        "isLatestVersion": True,
        "createdAt": RELEASED,
        "lastModifiedDate": RELEASED,
        "effectiveStartDate": RELEASED,
        "effectiveEndDate": RETIRED,
        "author": AUTHOR,
        "defaultEngineType": "Neuron",
        "tags": None,
        "engineChains": None,
    }


def _revision(version: Version) -> dict[str, Any]:
    source = VersionFiles(version)
    return {
        "id": version.id,
        "createdAt": RELEASED,
        "engine": version.service,
        "revision": version.number,
        "effectiveStartDate": RELEASED,
        "effectiveEndDate": RETIRED,
        "isActive": True,
        "releaseNote": None,
        "childEngines": None,
        "versionLabel": source.about.get("label", ""),
        "defaultEngineType": "Neuron",
        "tags": None,
        "product": version.folder,
        "author": AUTHOR,
        "originalFileName": source.workbook_name(),
    }


def _hit(version: Version) -> dict[str, Any]:
    return {
        "id": version.service_id,
        "folderName": version.folder,
        "fileName": version.service,
        "version": version.number,
        "modifiedDate": RELEASED,
    }


def _existence(version: Version | None) -> dict[str, Any]:
    return {
        "id": version and version.service_id,
        "name": version and version.service,
        "is_exists": version is not None,
        "version": version and version.number,
        "last_modified_date": version and RELEASED,
        "latest_version_id": version and version.id,
        "effective_start_date": version and RELEASED,
        "effective_end_date": version and RETIRED,
        "tags": None,
        "service_status": version and "Active",
    }


def _counted(page: Sequence[Any], total: int) -> dict[str, Any]:
    envelope = {"count": total, "next": None, "previous": None, "message": None}
    return {**envelope, "data": list(page), "errorCode": None, "status": "Success"}


def _v3_reply(data: Any, meta: dict[str, Any]) -> Reply:
    meta = {**meta, "system": "SPARK", "request_timestamp": RELEASED}
    reply = {"status": "Success", "response_data": data, "response_meta": meta, "error": None}
    return json_reply(reply)


def _optional_object(request: Request) -> dict[str, Any]:
    # The official command line sends null for an empty search.
    return {} if request.body.strip() in (b"", b"null") else json_object(request.body)


def _sought(terms: Any, name_key: str, value_key: str, field: str) -> str:
    """Return the search term for ``field``, whose name may have a suffix, as in ``name1_co``."""
    for term in terms if isinstance(terms, list) else []:
        if isinstance(term, dict) and str(term.get(name_key, "")).lower().startswith(field):
            return str(term.get(value_key, ""))
    return ""


def _holds(name: str, wanted: str) -> bool:
    return wanted.lower() in name.lower()


def _page(items: list[Any], number: Any, size: Any) -> list[Any]:
    """Return one page; pages count from 1, and a size below 1 means everything."""
    if not isinstance(size, int) or size < 1:
        return items
    first = (number - 1) * size if isinstance(number, int) and number > 1 else 0
    return items[first : first + size]
