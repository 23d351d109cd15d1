"""What a tenant has, page by page: the listings of the API's first version.

Documented: a body with ``page`` (from 1) and ``pageSize``, a reply with ``count`` and ``data``.
Not documented: whether ``count`` is that of all rows or of the page, and what ``next`` holds, which
was seen null and false. So the rows themselves decide where a listing ends.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import count
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import SparkSdkError
from spark_impex_runner.spark.session import Body
from spark_impex_runner.spark.words import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spark_impex_runner.spark.session import Session

PAGE_SIZE = 100
_FOLDERS = ("api", "v1", "product", "list")


def folders(session: Session, *, once: bool = False) -> Iterator[str]:
    """Yield the name of each folder that these credentials see, the last changed first.

    The endpoint asks for the permission ``Spark.FolderList.json`` (documented). With ``once`` a
    page that fails is not asked for again. Raises what ``Session.search`` raises, and
    ``SparkSdkError`` for a reply that holds no list.
    """
    for row in _rows(session, _FOLDERS, once=once):
        name = row.get("name")
        if isinstance(name, str) and name.strip():
            yield name


def _rows(session: Session, path: tuple[str, ...], *, once: bool) -> Iterator[Mapping[str, Any]]:
    """Yield every row once, until a page is not full and ``count`` promises no more.

    A page that holds nothing new ends it too: there are servers that pay no heed to ``page``.
    Rows may move between pages while we read, so one that was yielded is not yielded again.
    """
    seen: set[str] = set()
    for number in count(1):
        body = {"page": number, "pageSize": PAGE_SIZE, "sort": "-updated", "search": []}
        reply = session.search(*path, body=Body(json.dumps(body).encode()), once=once)
        data = reply.data if isinstance(reply.data, Mapping) else {}
        page = _page(session, path, data)
        new = {json.dumps(row, sort_keys=True): row for row in page}
        fresh = [row for key, row in new.items() if key not in seen]
        seen |= set(new)
        yield from (row for row in fresh if isinstance(row, Mapping))
        total = data.get("count")
        promised = isinstance(total, int) and total > len(seen)
        if not fresh or (len(page) < PAGE_SIZE and not promised):
            return


def _page(session: Session, path: tuple[str, ...], data: Mapping[str, Any]) -> list[Any]:
    """Return the rows of a reply; null, where it tells of no error, means that there are none."""
    page = data.get("data")
    if page is None and "data" in data and not data.get("errorCode"):
        return []
    if not isinstance(page, list):
        words = [str(data[key]) for key in ("errorCode", "message") if data.get(key)]
        said = session.wire.masker.mask(one_line(" ".join(words)))
        where = f"POST {'/'.join(path)} on {session.url.base}"
        raise SparkSdkError(f"{where}: the reply holds no list{': ' if said else ''}{said}")
    return page
