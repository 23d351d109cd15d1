"""The routes of the API server: method and path on the left, the endpoint on the right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from spark_impex_runner.sandbox.http.routing import Route

if TYPE_CHECKING:
    from spark_impex_runner.sandbox.http.auth import Authenticator
    from spark_impex_runner.sandbox.tenant.details import Details
    from spark_impex_runner.sandbox.tenant.environment import Environment
    from spark_impex_runner.sandbox.tenant.execution import Execution
    from spark_impex_runner.sandbox.tenant.exports import Exports
    from spark_impex_runner.sandbox.tenant.imports import Imports
    from spark_impex_runner.sandbox.tenant.listings import Listings
    from spark_impex_runner.sandbox.tenant.transforms import Transforms


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The objects whose methods answer on the API server."""

    authenticator: Authenticator
    exports: Exports
    imports: Imports
    listings: Listings
    details: Details
    environment: Environment
    execution: Execution
    transforms: Transforms


def table(tenant: str, endpoints: Endpoints) -> list[Route]:
    """Return the routes of ``tenant``; ``{}`` is a segment that the endpoint gets."""
    v1 = "/api/v1"
    v3 = f"/{quote(tenant, safe='')}/api/v3"
    v4 = f"/{quote(tenant, safe='')}/api/v4"
    find, config = endpoints.listings, endpoints.environment
    issue = endpoints.authenticator.issue
    return [
        Route("POST", "/auth/realms/{}/protocol/openid-connect/token", issue, "none"),
        Route("GET", "/health", config.health, "none"),
        Route("GET", f"{v1}/config/GetSparkConfiguration", config.configuration, "bearer"),
        Route("POST", f"{v4}/export", endpoints.exports.create),
        Route("GET", f"{v4}/export/status", endpoints.exports.describe),
        Route("GET", f"{v4}/export/{{}}/status", endpoints.exports.status),
        Route("PATCH", f"{v4}/export/{{}}", endpoints.exports.cancel),
        Route("POST", f"{v4}/import", endpoints.imports.create),
        Route("GET", f"{v4}/import/status", endpoints.imports.describe),
        Route("GET", f"{v4}/import/{{}}/status", endpoints.imports.status),
        Route("POST", f"{v1}/product/list", find.folders),
        Route("POST", f"{v1}/product/isproductexists/{{}}", find.folder_exists),
        Route("GET", f"{v1}/product/getproduct/{{}}", find.folder, "bearer"),
        Route("POST", f"{v1}/product/{{}}/engines", find.services),
        Route("GET", f"{v1}/product/{{}}/engines/getversions/{{}}", find.versions),
        Route("GET", f"{v1}/product/{{}}/engines/get/{{}}", endpoints.details),
        Route("GET", f"{v1}/product/{{}}/engines/get/{{}}/{{}}", endpoints.details),
        Route("POST", f"{v3}/services/search", find.search, "bearer"),
        Route("GET", f"{v3}/folders/{{}}/services/{{}}/exists", find.exists),
        Route("POST", f"{v3}/folders/{{}}/services/{{}}/execute", endpoints.execution.execute),
        Route("POST", f"{v4}/transform/list/{{}}", endpoints.transforms.list),
        Route("GET", f"{v4}/transform/{{}}/{{}}", endpoints.transforms.get),
    ]
