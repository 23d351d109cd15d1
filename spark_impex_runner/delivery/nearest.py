"""Suggest the nearest service or folder to one that a tenant does not have."""

from __future__ import annotations

from contextlib import suppress
from itertools import chain, islice
from typing import TYPE_CHECKING

from spark_impex_runner.errors import ErrorReply, ImpexError, NotFoundError, SparkApiError
from spark_impex_runner.spark.uri import Uri
from spark_impex_runner.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from spark_impex_runner.models import Request
    from spark_impex_runner.spark.client import Spark

_CODE = "SERVICE_NOT_FOUND"
# More suggestions would hide the error.
_MOST = 3
# Comparing a name with thousands of others takes a while.
_COMPARED = 20


def with_nearest(error: SparkApiError, request: Request, spark: Spark) -> SparkApiError:
    """Return the error with the services and folders that may be meant, if the tenant knows one.

    Sends one request at most, and none for other errors.
    """
    if not isinstance(error, NotFoundError) or error.code != _CODE:
        return error
    known: dict[str, None] = {}
    with suppress(ImpexError):  # the first error counts
        listed = spark.services_at_hand()
        known = dict.fromkeys(f"{each.folder}/{each.service}" for each in listed)
    folders = dict.fromkeys(name.partition("/")[0] for name in known)
    named = chain(_hints(_names(request.services), known), _hints(request.folders, folders))
    hints = list(islice(named, _MOST))
    if not hints:
        return error
    about = (error.status, error.code, error.type, error.details, error.request_id)
    reply = ErrorReply(*about, error.retry_after, error.cause)
    return SparkApiError.when(f"{error}; {', '.join(hints)}", reply)


def _names(requested: Sequence[str]) -> Iterator[str]:
    """Yield the services that are requested by name, each as ``FOLDER/SERVICE``."""
    uris = (Uri.of_wire(text) for text in requested)
    yield from dict.fromkeys(f"{uri.folder}/{uri.service}" for uri in uris if uri.service)


def _hints(names: Iterable[str], known: Mapping[str, None]) -> Iterator[str]:
    """Yield ``motor/prcing (did you mean 'motor/pricing'?)`` for names that are not known."""
    unknown = (name for name in names if name not in known)
    for name in islice(unknown, _COMPARED):
        if hint := did_you_mean(name, known):
            yield f"{name}{hint}"
