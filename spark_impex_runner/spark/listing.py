"""List folders, services and versions of a tenant, page by page.

Two generations of endpoints have two envelopes. Documented for folders: a body with ``page`` (from
1) and ``pageSize``, a reply with ``count`` and ``data``. Seen in the official SDK for services:
``page_size`` within ``request_data``, a reply with ``response_data`` and a ``count`` in
``response_meta``. Not published: whether ``count`` is that of all rows or of the page, and what
``next`` holds, which was seen null and false. So the rows themselves decide where a listing ends.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spark_impex_runner.digests import read_hash
from spark_impex_runner.errors import SparkError, SparkSdkError
from spark_impex_runner.fields import count, mapping, text
from spark_impex_runner.models import ServiceVersion
from spark_impex_runner.spark.http import limits
from spark_impex_runner.spark.http.session import Body
from spark_impex_runner.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from spark_impex_runner.models.imports import Hashes
    from spark_impex_runner.spark.http.session import Session

PAGE_SIZE = 100
# The name of a transform in its folder's listing is not published: what may hold it.
_TRANSFORM_NAMES = ("name", "transform_name", "transformName")


@dataclass(frozen=True, slots=True)
class _Listing:
    """One endpoint: the body of a page's request, and the keys of rows and metadata."""

    path: tuple[str, ...]
    make_body: Callable[[int], dict[str, Any]]
    rows: tuple[str, ...] = ("data",)
    meta: str = ""

    def announces_more(self, data: Any, number: int, seen: int) -> bool:
        """Return whether a reply announces more rows than were seen, or further pages."""
        counts = mapping(mapping(data).get(self.meta) if self.meta else data)
        return count(counts.get("count")) > seen or count(counts.get("page_total")) > number


def folders(session: Session, *, once: bool = False) -> Iterator[str]:
    """Yield the name of each folder that the credentials may see, last changed first.

    An API key needs the permission ``Spark.FolderList.json`` (documented). With ``once`` a failed
    page is not retried. Raises as ``Session.search`` does, and ``SparkSdkError`` for a reply
    without a list.
    """
    for row in folder_rows(session, once=once):
        yield str(row["name"])


def folder_rows(session: Session, *, once: bool = False) -> Iterator[Mapping[str, Any]]:
    """Yield what the listing says of each folder: ``name``, ``category`` and more (documented).

    Raises as ``folders`` does.
    """
    listing = _Listing(("api", "v1", "product", "list"), _v1_page)
    yield from (row for row in _rows(session, listing, once=once) if _text(row, "name"))


def transforms(session: Session, folder: str) -> Iterator[str]:
    """Yield the name of each transform document of a folder.

    Path and body are those of the official SDK; the reply is not published. Raises as ``folders``
    does.
    """
    path = ("api", "v4", "transform", "list", folder)
    listing = _Listing(path, _v4_page, ("response_data", "data"), "response_meta")
    for row in _rows(session, listing):
        name = next(filter(None, (_text(row, key) for key in _TRANSFORM_NAMES)), "")
        if not name:
            where = f"POST {'/'.join(path)} on {session.url.base}"
            raise SparkSdkError(f"{where}: the reply lists transforms without names")
        yield name


def services(session: Session, *, once: bool = False) -> Iterator[ServiceVersion]:
    """Yield each service that the credentials may see, with its latest version.

    With ``once`` a failed page is not retried. Raises as ``folders`` does.
    """
    path = ("api", "v3", "services", "search")
    listing = _Listing(path, _v3_page, ("response_data",), "response_meta")
    for row in _rows(session, listing, once=once):
        folder, service = _text(row, "folderName"), _text(row, "fileName")
        if folder and service:
            yield ServiceVersion(folder, service, version=_text(row, "version"))


def versions(session: Session, folder: str, service: str) -> Iterator[ServiceVersion]:
    """Yield each version of a service, newest first and in one reply (both observed).

    An API key needs the permission ``Spark.GetVersions.json`` (documented). Raises as ``folders``
    does.
    """
    path = ("api", "v1", "product", folder, "engines", "getversions", service)
    data = session.get(*path).data
    for row in _page(session, f"GET {'/'.join(path)}", data, "data"):
        if isinstance(row, Mapping) and (number := _text(row, "revision")):
            yield ServiceVersion(folder, service, version=number, version_id=_text(row, "id"))


def has_service(session: Session, folder: str, service: str) -> bool:
    """Return whether a service exists; documented to be answered with 200 in both cases.

    An API key needs the permission ``Spark.ServiceExists.json`` (documented). Raises as ``folders``
    does.
    """
    path = ("api", "v3", "folders", folder, "services", service, "exists")
    data = session.get(*path).data
    return _answer(
        session, f"GET {'/'.join(path)}", mapping(data).get("response_data"), "is_exists"
    )


def has_folder(session: Session, folder: str) -> bool:
    """Return whether a folder exists, by a call seen in the official SDK; raise as ``folders``."""
    path = ("api", "v1", "product", "isproductexists", folder)
    data = session.search(*path, body=Body(b"{}")).data
    return _answer(session, f"POST {'/'.join(path)}", data, "data")


def version_details(session: Session, version: ServiceVersion) -> Mapping[str, Any]:
    """Return inputs, outputs, settings and hashes of a version, as far as the tenant tells.

    The path is that of the official SDK with a version's id (documented); whether the reply has an
    envelope is not published. Raises as ``Session.get`` does.
    """
    names = (version.folder, "engines", "get", version.service, version.version_id)
    data = mapping(session.get("api", "v1", "product", *filter(None, names)).data)
    return next((data[key] for key in ("data", "response_data") if mapping(data.get(key))), data)


def hashes_of(session: Session, wanted: Iterable[ServiceVersion]) -> Hashes:
    """Return what a tenant states of the contents of versions; nothing if it does not tell."""
    found = {}
    for each in wanted:
        # Not permitted or not offered: the ids of the versions are known all the same.
        with suppress(SparkError):
            details = version_details(session, each)
            metadata = mapping(details.get("metadata")) or details
            found[each.version_id.lower()] = stated_hashes(metadata)
    return found


def stated_hashes(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return the SHA-256 of ``module`` and ``workbook`` that the metadata of a version state.

    ``metadata`` are those in a package, or in the API's answer, which begins names with a small
    letter. A hash that is stated as empty is an empty text: that version has no compiled module.
    """
    root = {key.lower(): value for key, value in metadata.items()}
    engine = {key.lower(): value for key, value in mapping(root.get("engineinformation")).items()}
    found = {}
    for name, key in (("module", "compiledoutputhash"), ("workbook", "originalservicehash")):
        if key in engine:
            known = read_hash(text(engine[key]))
            if known or not engine[key]:
                found[name] = known.digest.hex() if known else ""
    return found


def _answer(session: Session, call: str, data: Any, key: str) -> bool:
    """Return the yes or no in a reply; ``SparkSdkError`` if it has neither."""
    found = mapping(data).get(key)
    if not isinstance(found, bool):
        where = f"{call} on {session.url.base}"
        raise SparkSdkError(f"{where}: the reply does not say whether it exists")
    return found


def _v1_page(number: int) -> dict[str, Any]:
    return {"page": number, "pageSize": PAGE_SIZE, "sort": "-updated", "search": []}


def _v3_page(number: int) -> dict[str, Any]:
    """Return the SDK's body with a page: whether page -1 always means all is not published."""
    wanted = ["id", "foldername", "filename", "version", "modifiedDate"]
    page = {"page": number, "page_size": PAGE_SIZE, "sort": "name1_co", "search": []}
    return {"request_data": {**page, "fields": wanted}}


def _v4_page(number: int) -> dict[str, Any]:
    page = {"page": number, "pageSize": PAGE_SIZE, "sort": "-updatedAt", "search": []}
    return {"request_data": page}


def _text(row: Mapping[str, Any], key: str) -> str:
    """Return a text of a row, an empty one if it is absent or blank."""
    value = text(row.get(key))
    return value if value.strip() else ""


def _rows(
    session: Session, listing: _Listing, *, once: bool = False
) -> Iterator[Mapping[str, Any]]:
    """Yield every row once, until a page is not full and the reply announces no more.

    A page without new rows ends it, too, since a server may ignore ``page``. Rows may move between
    pages meanwhile, so those that were yielded are skipped.
    """
    seen: set[bytes] = set()
    size = 0
    for number in itertools.count(1):
        body = Body(json.dumps(listing.make_body(number)).encode())
        reply = session.search(*listing.path, body=body, once=once)
        size += len(reply.buffer)
        _check_size(session, listing, len(seen), size)
        found = mapping(reply.data)
        key = next((each for each in listing.rows if each in found), listing.rows[0])
        page = _page(session, f"POST {'/'.join(listing.path)}", found, key)
        new = {_digest(row): row for row in page}
        fresh = [row for key, row in new.items() if key not in seen]
        seen |= set(new)
        yield from (row for row in fresh if isinstance(row, Mapping))
        announced = listing.announces_more(reply.data, number, len(seen))
        if not fresh or (len(page) < PAGE_SIZE and not announced):
            return


def _digest(row: Any) -> bytes:
    """Return a key of constant size for a row, of which there may be 50,000."""
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).digest()


def _check_size(session: Session, listing: _Listing, entries: int, size: int) -> None:
    """Raise ``SparkSdkError`` for a listing beyond the limits, which may be endless."""
    if entries > limits.LISTED or size > limits.LISTING:
        most = f"{limits.LISTED:,} entries or {limits.size(limits.LISTING)}"
        where = f"POST {'/'.join(listing.path)} on {session.url.base}"
        raise SparkSdkError(f"{where}: the listing has more than {most}, the limit")


def _page(session: Session, call: str, data: Any, key: str) -> list[Any]:
    """Return the rows of a reply; null without an error means that there are none."""
    data = mapping(data)
    page, problem = data.get(key), data.get("error")
    if page is None and key in data and not data.get("errorCode") and not problem:
        return []
    if not isinstance(page, list):
        counts = {**data, **problem} if isinstance(problem, Mapping) else data
        parts = [str(counts[key]) for key in ("errorCode", "message") if counts.get(key)]
        message = session.http.masker.mask(one_line(" ".join(parts)))
        where = f"{call} on {session.url.base}"
        raise SparkSdkError(f"{where}: the reply holds no list{': ' if message else ''}{message}")
    return page
