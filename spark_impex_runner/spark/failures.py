"""Classify failed requests: transient or not, and what the tenant may have done."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from spark_impex_runner.errors import (
    SparkApiError,
    SparkError,
    SparkSdkError,
    TooLargeError,
    TransportError,
)

if TYPE_CHECKING:
    from spark_impex_runner.errors import ImpexError

# Request Timeout, Too Early, Too Many Requests.
TRANSIENT = frozenset({408, 425, 429})
# With these the tenant refuses before it does anything, so it has created no job.
_REFUSED = frozenset({425, 429})
# Documented for imports: EXCEEDED_FILE_SIZE, "... exceeds the upload limit ...". The reply of an
# export is not published (inferred: the same code, or a text that mentions a size and a limit).
_CODE = "EXCEEDED_FILE_SIZE"
_SIZE = re.compile(r"\bsize\b", re.IGNORECASE)
_LIMIT = re.compile(r"\b(limit|exceed)", re.IGNORECASE)


def is_transient(error: ImpexError) -> bool:
    """Return whether the same request may succeed later.

    Documented: the v4 API reports permanent errors as HTTP 500 of the type ``invalid_input``.
    """
    if isinstance(error, SparkApiError):
        permanent = error.type == "invalid_input" or is_too_large(error)
        return error.status in TRANSIENT or (error.status >= 500 and not permanent)
    return isinstance(error, TransportError) and not error.permanent


def is_too_large(error: ImpexError) -> bool:
    """Return whether a package exceeds the tenant's size limit: the request must be split."""
    if isinstance(error, SparkApiError):
        return mentions_size_limit(f"{error.code} {error.details}")
    return isinstance(error, TooLargeError)


def mentions_size_limit(text: str) -> bool:
    """Return whether the tenant's message means that a package is too large."""
    return _CODE in text or bool(_SIZE.search(text) and _LIMIT.search(text))


def is_unknown_job(error: SparkError) -> bool:
    """Return whether the tenant does not know a job: 500 INVALID_JOB_ID (documented for imports).

    A 404 counts only with an error code of the API: a proxy's 404 says nothing about the job.
    """
    if not isinstance(error, SparkApiError):
        return False
    return error.code == "INVALID_JOB_ID" or (error.status == 404 and bool(error.code))


def is_not_api_reply(error: SparkError) -> bool:
    """Return whether the reply did not come from the API, such as a proxy's page."""
    if isinstance(error, SparkApiError):
        return error.status == 404 and not error.code
    return type(error) is SparkSdkError


def unconfirmed(error: SparkError) -> str:
    """Return the kind of an error that the next reply must confirm, otherwise an empty text.

    The error says that a job does not exist, or has no error code of the API, as a proxy's page.
    """
    if isinstance(error, SparkApiError):
        if is_unknown_job(error):
            return "unknown"
        return "" if error.code else "refused"
    return "unreadable" if type(error) is SparkSdkError else ""


def may_have_created(error: SparkError) -> bool:
    """Return whether a failed create call may nevertheless have created a job."""
    if not error.sent:
        return False
    if isinstance(error, SparkApiError):
        return is_transient(error) and error.status not in _REFUSED
    return True
