"""Which failures of a tenant may pass, and what a failed create call may have done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.errors import (
    SparkApiError,
    SparkError,
    SparkSdkError,
    TransportError,
    may_pass_by_itself,
)

if TYPE_CHECKING:
    from spark_impex_runner.spark.client import Spark

# After these the tenant has certainly not begun a job.
_REFUSED = frozenset({425, 429})


def may_pass(error: SparkError) -> bool:
    """Tell whether the same request may succeed later."""
    if isinstance(error, SparkApiError):
        return may_pass_by_itself(error.status, error.type)
    return isinstance(error, TransportError)


def unreadable(error: SparkError) -> bool:
    """Tell whether a reply was no API reply at all, as when a proxy puts its own page in place."""
    if isinstance(error, SparkApiError):
        return error.status == 404 and not error.code
    return type(error) is SparkSdkError


def may_have_created(error: SparkError) -> bool:
    """Tell whether a job may exist although the create call failed: no reply, or none to trust."""
    if isinstance(error, SparkApiError):
        return may_pass(error) and error.status not in _REFUSED
    return True


def forgotten(error: SparkError) -> bool:
    """Tell whether the tenant does not know a job: 500 INVALID_JOB_ID (documented for imports).

    A 404 counts only with a code of the API: that of a proxy says nothing about the job.
    """
    if not isinstance(error, SparkApiError):
        return False
    return error.code == "INVALID_JOB_ID" or (error.status == 404 and bool(error.code))


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
