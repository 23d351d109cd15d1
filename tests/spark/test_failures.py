"""Failed requests are classified: retry, look for the job, or end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spark_impex_runner.errors import (
    ErrorReply,
    IntegrityError,
    JobError,
    SparkApiError,
    SparkError,
    SparkSdkError,
    TooLargeError,
    TransportError,
)
from spark_impex_runner.spark import failures, jobs
from spark_impex_runner.spark.jobs import ListedJob

if TYPE_CHECKING:
    from collections.abc import Callable

INVALID = "invalid_input"


def refused(status: int, code: str = "", type_: str = "", details: str = "") -> SparkApiError:
    """Return the error of an HTTP reply."""
    return SparkApiError.when("refused", ErrorReply(status, code, type_, details))


FAILURES = [
    # error, the same request may succeed, no API reply, a job may exist, the job is unknown
    (TransportError("reset"), True, False, True, False),
    (TransportError("no host", sent=False), True, False, False, False),
    (TransportError("no host", permanent=True), False, False, True, False),
    (SparkSdkError("HTML in place of JSON"), False, True, True, False),
    (JobError("failed"), False, False, True, False),
    (IntegrityError("cut"), False, False, True, False),
    (refused(400), False, False, False, False),
    (refused(400, "INVALID_REQUEST"), False, False, False, False),
    (refused(401), False, False, False, False),
    (refused(404), False, True, False, False),
    (refused(404, "SERVICE_NOT_FOUND"), False, False, False, True),
    (refused(408), True, False, True, False),
    (refused(409), False, False, False, False),
    (refused(425), True, False, False, False),
    (refused(426), False, False, False, False),
    (refused(429), True, False, False, False),
    (refused(500), True, False, True, False),
    (refused(500, "INVALID_REQUEST", INVALID), False, False, False, False),
    (refused(500, "INVALID_JOB_ID", INVALID), False, False, False, True),
    (refused(503, "WEATHER"), True, False, True, False),
    (refused(503, "EXCEEDED_FILE_SIZE"), False, False, False, False),
    (refused(503, "", "", "the size exceeds 200 MB"), False, False, False, False),
    (refused(429, "", "", "the rate exceeds the window's size"), True, False, False, False),
]


@pytest.mark.parametrize(
    ("error", "passing", "strange", "unclear", "unknown"),
    FAILURES,
    ids=[f"{type(row[0]).__name__}-{number}" for number, row in enumerate(FAILURES)],
)
def test_each_failure_has_its_meaning(
    error: SparkError, passing: bool, strange: bool, unclear: bool, unknown: bool
) -> None:
    """An error is transient, unreadable, a possible success, or denies the job."""
    assert failures.is_transient(error) is passing
    assert failures.is_not_api_reply(error) is strange
    assert failures.may_have_created(error) is unclear
    assert failures.is_unknown_job(error) is unknown


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (refused(500, "INVALID_JOB_ID", INVALID), "unknown"),
        (refused(404, "NOT_FOUND"), "unknown"),
        (refused(404), "refused"),
        (refused(403), "refused"),
        (refused(403, "FORBIDDEN"), ""),
        (SparkSdkError("HTML in place of JSON"), "unreadable"),
        (JobError("failed"), ""),
        (TransportError("reset"), ""),
    ],
)
def test_second_reply_confirms_these_errors(error: SparkError, kind: str) -> None:
    """A denied job, and whatever may be a proxy's; the API's own errors are final."""
    assert failures.unconfirmed(error) == kind


@pytest.mark.parametrize(
    ("error", "large"),
    [
        (TooLargeError("300 MB"), True),
        (JobError("the size exceeds the limit"), False),
        (refused(500, "EXCEEDED_FILE_SIZE", INVALID), True),
        (refused(413, "", "", "Size limit reached"), True),
        (refused(413, "", "", "the limit of jobs is 1"), False),
        (refused(400, "SIZE", "", "the size is no number"), False),
    ],
)
def test_size_and_limit_mean_too_large(error: SparkError, large: bool) -> None:
    """The error code, or a message that mentions size and limit, decides."""
    assert failures.is_too_large(error) is large


def unlisted() -> tuple[ListedJob, ...]:
    """Fail as a tenant whose listing cannot be had."""
    raise TransportError("reset")


@pytest.mark.parametrize(
    ("error", "listed", "gone"),
    [
        (refused(500, "INVALID_JOB_ID", INVALID), lambda: (), True),
        (refused(404, "NOT_FOUND"), lambda: (ListedJob("other"),), True),
        (refused(404, "NOT_FOUND"), lambda: (ListedJob("other"), ListedJob("id")), False),
        (refused(404, "NOT_FOUND"), unlisted, False),
        (refused(404), lambda: (), False),
        (refused(503), lambda: (), False),
        (TransportError("reset"), lambda: (), False),
    ],
    ids=["unlisted", "others", "listed", "no-listing", "proxy", "passing", "reset"],
)
def test_listing_must_confirm_gone_job(
    error: SparkError, listed: Callable[[], tuple[ListedJob, ...]], gone: bool
) -> None:
    """A status that denies the job does not count where the listing has it or cannot be had."""
    assert jobs.is_gone(error, "id", listed) is gone
