"""The listing of jobs: ages by the tenant's own clock, and forms that are no listing."""

from __future__ import annotations

from typing import Any

import pytest

from spark_impex_runner.errors import SparkSdkError
from spark_impex_runner.spark.exports import Exports
from spark_impex_runner.spark.jobs import ListedJob

HOUR = 3600.0


@pytest.mark.parametrize(
    ("age", "seconds", "older"),
    [
        (HOUR, 60, True),
        (HOUR, 3000, False),  # ages are exact to ten minutes
        (HOUR, HOUR, False),
        (60, HOUR, False),
        (None, 0, False),  # the server says no time
        (-HOUR, 0, False),  # created after the time of the reply
        (HOUR, -60, False),  # the clock of this machine was set back
        (100 * HOUR, 0, False),  # ended jobs are listed for an hour
    ],
)
def test_a_job_is_older_only_for_certain(age: float | None, seconds: float, older: bool) -> None:
    """What cannot be right about a time does not push a job aside."""
    assert ListedJob("id", age=age).is_older(seconds) is older


@pytest.mark.parametrize("listing", [[], {}, {"recent_exports": []}, {"in_progress_exports": 1}])
def test_unknown_listing_form_fails(session_to: Any, script: Any, reply: Any, listing: Any) -> None:
    """A reply of another form does not mean that there are no jobs."""
    exports = Exports(session_to(script(reply(listing))))

    with pytest.raises(SparkSdkError, match="in an unknown form"):
        exports.listed()


def test_null_lists_hold_no_job(session_to: Any, script: Any, reply: Any) -> None:
    """A tenant may write null for an empty list."""
    listing = {"in_progress_exports": None, "recent_exports": None}

    assert Exports(session_to(script(reply(listing)))).listed() == ()


def test_invalid_times_are_unknown(session_to: Any, script: Any, reply: Any) -> None:
    """A job with an invalid time stamp is listed without an age."""
    stamps = ["soon", None, 5, "0001-01-01T00:00:00+14:00", "2026-01-02T11:55:00Z"]
    jobs = [
        {"id": str(number), "data": {"created_timestamp": stamp}}
        for number, stamp in enumerate(stamps)
    ]
    listing = {"in_progress_exports": jobs, "recent_exports": []}

    found = Exports(session_to(script(reply(listing)))).listed()

    assert sorted(each.id for each in found) == ["0", "1", "2", "3", "4"]
    assert [each.id for each in found if each.age is not None] == ["4"]
