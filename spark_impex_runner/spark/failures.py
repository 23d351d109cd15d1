"""What a failed request means: whether it is transient, and what the tenant may have done."""

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

TRANSIENT = frozenset({408, 425, 429})
# After these the tenant has certainly not created a job.
_REFUSED = frozenset({425, 429})
# Documented for imports: EXCEEDED_FILE_SIZE, "... exceeds the upload limit ...". How an export
# says it is not published: the code, or words of a size and of a limit, are taken for it.
_CODE = "EXCEEDED_FILE_SIZE"
_SIZE = re.compile(r"\bsize\b", re.IGNORECASE)
_LIMIT = re.compile(r"\b(limit|exceed)", re.IGNORECASE)


def is_transient(error: ImpexError) -> bool:
    """Tell whether the same request may succeed later.

    Documented: the v4 API reports permanent errors as HTTP 500 of the type ``invalid_input``.
    """
    if isinstance(error, SparkApiError):
        permanent = error.type == "invalid_input" or is_too_large(error)
        return error.status in TRANSIENT or (error.status >= 500 and not permanent)
    return isinstance(error, TransportError) and not error.permanent


def is_too_large(error: ImpexError) -> bool:
    """Tell whether a package is, or would be, larger than it may be: less has to be asked for."""
    if isinstance(error, SparkApiError):
        return mentions_size_limit(f"{error.code} {error.details}")
    return isinstance(error, TooLargeError)


def mentions_size_limit(text: str) -> bool:
    """Tell whether the tenant's words about a failure mean that a package is too large."""
    return _CODE in text or bool(_SIZE.search(text) and _LIMIT.search(text))


def is_unknown_job(error: SparkError) -> bool:
    """Tell whether the tenant does not know a job: 500 INVALID_JOB_ID (documented for imports).

    A 404 counts only with a code of the API: that of a proxy says nothing about the job.
    """
    if not isinstance(error, SparkApiError):
        return False
    return error.code == "INVALID_JOB_ID" or (error.status == 404 and bool(error.code))


def is_not_api_reply(error: SparkError) -> bool:
    """Tell whether a reply was none of the API's, as when a proxy sends a page of its own."""
    if isinstance(error, SparkApiError):
        return error.status == 404 and not error.code
    return type(error) is SparkSdkError


def unconfirmed(error: SparkError) -> str:
    """Return the kind of an error that counts only if the next answer agrees, else nothing.

    It denies a job, or is not the tenant's own word: it has no code of the API, as a proxy's page.
    """
    if isinstance(error, SparkApiError):
        if is_unknown_job(error):
            return "unknown"
        return "" if error.code else "refused"
    return "unreadable" if type(error) is SparkSdkError else ""


def may_have_created(error: SparkError) -> bool:
    """Tell whether a job may exist although the create call failed: no reply, or none to trust."""
    if not error.sent:
        return False
    if isinstance(error, SparkApiError):
        return is_transient(error) and error.status not in _REFUSED
    return True
