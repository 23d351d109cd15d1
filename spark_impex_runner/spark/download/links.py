"""Renew download links that have expired."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from spark_impex_runner.errors import SparkApiError, TransportError
from spark_impex_runner.spark.http.retry import IMMEDIATE, retry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.errors import SparkError
    from spark_impex_runner.models import RemoteFile
    from spark_impex_runner.spark.http.retry import T

# The most links in a row that bring no byte: an expired link is normal, four are an outage.
MAX_LINKS = 4
EXPIRED = frozenset({401, 403, 404, 410})


def has_expired(error: SparkError) -> bool:
    """Return whether a failed download may succeed with a new link.

    Inferred: links of a sibling document store live for about five minutes (documented), and the
    job's status then offers a new one. The same holds for a link to an unreachable host.
    """
    if isinstance(error, TransportError):
        return error.permanent
    return isinstance(error, SparkApiError) and error.status in EXPIRED


def with_fresh_links(
    remote: RemoteFile,
    partial: Path,
    download: Callable[[RemoteFile], T],
    renew: Callable[[SparkError, str], RemoteFile | None],
    clock: Clock,
) -> T:
    """Return the result of ``download``, called again with a new link after one has expired.

    ``renew`` gets the error and the hint of the retry. A long download may need many links. Raises
    the last error after ``MAX_LINKS`` links in a row without any growth of ``partial``, or if
    ``renew`` returns None.
    """
    link = remote

    def take_fresh(error: SparkError, hint: str) -> None:
        nonlocal link
        fresh = renew(error, hint)
        if fresh is None:
            raise error
        link = fresh

    return retry(
        lambda: download(link),
        replace(IMMEDIATE, attempts=MAX_LINKS),
        clock,
        transient=has_expired,
        progress=lambda: partial.stat().st_size if partial.exists() else 0,
        report=take_fresh,
    )
