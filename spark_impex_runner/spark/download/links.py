"""Download links that expire, and are renewed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from spark_impex_runner.errors import SparkApiError, TransportError
from spark_impex_runner.spark.http.retry import AT_ONCE, retry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.errors import SparkError
    from spark_impex_runner.models import RemoteFile
    from spark_impex_runner.spark.http.retry import T

# So many links in a row may bring nothing.
LINKS = 4
EXPIRED = frozenset({401, 403, 404, 410})


def has_expired(error: SparkError) -> bool:
    """Tell whether a failed download may succeed with a new link.

    Assumed from a sibling document store, whose links live for about five minutes: the job's
    status then offers a new one. So it may where a link leads to a host that cannot be reached.
    """
    if isinstance(error, TransportError):
        return error.permanent
    return isinstance(error, SparkApiError) and error.status in EXPIRED


def with_fresh_links(
    remote: RemoteFile,
    partial: Path,
    download: Callable[[RemoteFile], T],
    renew: Callable[[SparkError], RemoteFile | None],
    clock: Clock,
) -> T:
    """Return what ``download`` fetches to ``partial``, by a new link where one has expired.

    A long download may need many links. It ends with the last failure after ``LINKS`` links in a
    row that let ``partial`` not grow, or where ``renew`` has none.
    """
    link = remote

    def take_fresh(error: SparkError, _: str) -> None:
        nonlocal link
        fresh = renew(error)
        if fresh is None:
            raise error
        link = fresh

    return retry(
        lambda: download(link),
        replace(AT_ONCE, attempts=LINKS),
        clock,
        transient=has_expired,
        progress=lambda: partial.stat().st_size if partial.exists() else 0,
        report=take_fresh,
    )
