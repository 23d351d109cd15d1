"""Which failures of a tenant may pass, and what a failed create call may have done."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from spark_impex_runner.errors import (
    SparkApiError,
    SparkError,
    SparkSdkError,
    TooLargeError,
    TransportError,
    may_pass_by_itself,
)
from spark_impex_runner.spark.retry import is_unknown_job

if TYPE_CHECKING:
    from spark_impex_runner.errors import ImpexError
    from spark_impex_runner.spark.client import Spark

forgotten = is_unknown_job
# After these the tenant has certainly not begun a job.
_REFUSED = frozenset({425, 429})
# Documented for imports: EXCEEDED_FILE_SIZE, "... exceeds the upload limit ...". How an export
# says it is not published: the code, or words of a size and of a limit, are taken for it.
_CODE = "EXCEEDED_FILE_SIZE"
_SIZE = re.compile(r"\bsize\b", re.IGNORECASE)
_LIMIT = re.compile(r"\b(limit|exceed)", re.IGNORECASE)


def may_pass(error: SparkError) -> bool:
    """Tell whether the same request may succeed later."""
    if isinstance(error, SparkApiError):
        return may_pass_by_itself(error.status, error.type) and not too_large(error)
    return isinstance(error, TransportError) and not error.permanent


def too_large(error: ImpexError) -> bool:
    """Tell whether less has to be asked for: a package would be, or is, larger than it may be."""
    if isinstance(error, SparkApiError):
        return speaks_of_size(f"{error.code} {error.details}")
    return isinstance(error, TooLargeError)


def speaks_of_size(said: str) -> bool:
    """Tell whether the tenant's words about a failure mean that a package is too large."""
    return _CODE in said or bool(_SIZE.search(said) and _LIMIT.search(said))


def unreadable(error: SparkError) -> bool:
    """Tell whether a reply was no API reply at all, as when a proxy puts its own page in place."""
    if isinstance(error, SparkApiError):
        return error.status == 404 and not error.code
    return type(error) is SparkSdkError


def may_have_created(error: SparkError) -> bool:
    """Tell whether a job may exist although the create call failed: no reply, or none to trust."""
    if not error.sent:
        return False
    if isinstance(error, SparkApiError):
        return may_pass(error) and error.status not in _REFUSED
    return True


def gone(error: SparkError, spark: Spark, job_id: str) -> bool:
    """Tell whether a job is not there any more: its status says so, and the listing agrees.

    One wrong answer would otherwise cost a second job. Where the listing cannot be had, the job
    counts as there.
    """
    if not forgotten(error):
        return False
    try:
        return all(each.id != job_id for each in spark.impex.exports.listed())
    except SparkError:
        return False
