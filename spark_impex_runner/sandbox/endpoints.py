"""The API origin as one table: method and path on the left, who answers on the right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from spark_impex_runner.sandbox.routing import Route

if TYPE_CHECKING:
    from spark_impex_runner.sandbox.auth import Gate
    from spark_impex_runner.sandbox.environment import Environment
    from spark_impex_runner.sandbox.exports import Exports
    from spark_impex_runner.sandbox.imports import Imports
    from spark_impex_runner.sandbox.listing import Listings


@dataclass(frozen=True, slots=True)
class Desks:
    """Everybody who answers on the API origin."""

    gate: Gate
    exports: Exports
    imports: Imports
    listings: Listings
    environment: Environment


def table(tenant: str, desks: Desks) -> list[Route]:
    """Return the routes of ``tenant``; ``{}`` is a segment that the function is given."""
    v1 = "/api/v1"
    v3 = f"/{quote(tenant, safe='')}/api/v3"
    v4 = f"/{quote(tenant, safe='')}/api/v4"
    find, config = desks.listings, desks.environment
    issue = desks.gate.issue
    return [
        Route("POST", "/auth/realms/{}/protocol/openid-connect/token", issue, "none"),
        Route("GET", "/health", config.health, "none"),
        Route("GET", f"{v1}/config/GetSparkConfiguration", config.configuration, "bearer"),
        Route("POST", f"{v4}/export", desks.exports.create),
        Route("GET", f"{v4}/export/status", desks.exports.describe),
        Route("GET", f"{v4}/export/{{}}/status", desks.exports.status),
        Route("PATCH", f"{v4}/export/{{}}", desks.exports.cancel),
        Route("POST", f"{v4}/import", desks.imports.create),
        Route("GET", f"{v4}/import/status", desks.imports.describe),
        Route("GET", f"{v4}/import/{{}}/status", desks.imports.status),
        Route("POST", f"{v1}/product/list", find.folders),
        Route("POST", f"{v1}/product/isproductexists/{{}}", find.folder_exists),
        Route("GET", f"{v1}/product/getproduct/{{}}", find.folder, "bearer"),
        Route("POST", f"{v1}/product/{{}}/engines", find.services),
        Route("GET", f"{v1}/product/{{}}/engines/getversions/{{}}", find.versions),
        Route("POST", f"{v3}/services/search", find.search, "bearer"),
        Route("GET", f"{v3}/folders/{{}}/services/{{}}/exists", find.exists),
    ]
