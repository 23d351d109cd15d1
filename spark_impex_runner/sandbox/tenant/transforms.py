"""The endpoints of transform documents, with the paths of the official SDK.

The replies are assumed: no public source shows one. ``transform_content``, a document as one text,
is documented for the request that saves a document.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from spark_impex_runner.sandbox.http.messages import json_object, json_reply, v4_error
from spark_impex_runner.sandbox.tenant.metadata import AUTHOR, RELEASED

if TYPE_CHECKING:
    from spark_impex_runner.sandbox.http.messages import HttpError, Reply, Request
    from spark_impex_runner.sandbox.tenant.tree import Tenant


class Transforms:
    """Answers the requests for transform documents of one tenant.

    ``form`` is the setting ``transforms``.
    """

    def __init__(self, tenant: Tenant, form: str) -> None:
        self._tenant = tenant
        self._form = form

    def list(self, request: Request, folder: str) -> Reply:
        """Answer ``POST transform/list/{folder}``, a page of names."""
        asked = json_object(request.body).get("request_data") or {}
        names = sorted(self._documents(folder))
        size, number = asked.get("pageSize", 100), asked.get("page", 1)
        page = names[(number - 1) * size : number * size]
        rows = [{"name": each, "updatedAt": RELEASED, "updatedBy": AUTHOR} for each in page]
        if self._form == "other":
            return json_reply({"transforms": {each["name"]: each for each in rows}})
        return _enveloped(rows, {"count": len(names), "page": number})

    def get(self, request: Request, folder: str, name: str) -> Reply:  # noqa: ARG002 - a route's signature
        """Answer ``GET transform/{folder}/{name}``."""
        document = self._documents(folder).get(name)
        if document is None:
            raise _not_found(f"no transform {folder}/{name}")
        if self._form == "document":
            return _enveloped(document, {})
        if self._form == "other":
            return json_reply({"file": f"{name}_transform.json"})
        about = {"name": name, "updatedAt": RELEASED}
        return _enveloped({**about, "transform_content": json.dumps(document)}, {})

    def _documents(self, folder: str) -> dict[str, Any]:
        if self._form == "none" or folder not in self._tenant.folders():
            raise _not_found(f"no folder {folder}, or no transforms on this tenant")
        documents: dict[str, Any] = self._tenant.about(folder).get("transforms", {})
        return documents


def _not_found(message: str) -> HttpError:
    return v4_error(404, "NOT_FOUND", message)


def _enveloped(data: Any, meta: dict[str, Any]) -> Reply:
    return json_reply(
        {"status": "Success", "response_data": data, "response_meta": meta, "error": None}
    )
