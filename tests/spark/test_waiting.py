"""The wait for a job: what it tolerates, what it reports, and when it ends."""

from __future__ import annotations

from typing import Any

import pytest

from spark_impex_runner import errors
from spark_impex_runner.spark.exports import Exports
from spark_impex_runner.spark.status import parse_status, verdict
from spark_impex_runner.spark.waiting import JobWaiter

RUNNING = {"id": "1", "status": "in_progress"}
DONE = {
    "id": "1",
    "status": "closed",
    "errors": None,
    "outputs": {"files": [{"file": "https://files.example/package.zip"}]},
}


def test_an_outage_of_minutes_ends_no_wait(
    session_to: Any, script: Any, reply: Any, clock: Any
) -> None:
    """A wait without a number of checks outlasts what the repeats of one request do not."""
    server = script(reply(RUNNING), *[reply(status=503)] * 20, reply(DONE))

    done = Exports(session_to(server)).get_status("1", retry_interval=3)

    assert (done.data["status"], len(server.seen)) == ("closed", 22)
    assert clock.monotonic() > 60


def test_an_outage_of_ten_minutes_is_raised(
    session_to: Any, script: Any, reply: Any, clock: Any
) -> None:
    """As what it is, long before the half hour is over."""
    server = script(reply(RUNNING), reply(status=503))

    with pytest.raises(errors.ServiceUnavailableError):
        Exports(session_to(server)).get_status("1", retry_interval=3)

    assert 600 <= clock.monotonic() < 700


def test_max_checks_limits_failures(session_to: Any, script: Any, reply: Any) -> None:
    """Who counts checks gets the failure that outlasts the repeats of one request."""
    server = script(reply(RUNNING), reply({"code": "DOWN"}, status=503))

    with pytest.raises(errors.ServiceUnavailableError):
        Exports(session_to(server)).get_status("1", max_retries=9)

    assert len(server.seen) == 1 + 6


def test_failed_check_announces_retry(
    session_to: Any, script: Any, reply: Any, caplog: Any
) -> None:
    """What failed and where, the attempt, and until when the tenant may be out of sight."""
    server = script(
        reply(status=503, headers={"Retry-After": "16"}), reply(status=502), reply(DONE)
    )
    waiter = Exports(session_to(server)).waiter("1", interval=5)

    waiter.until_done()

    name = f"export job 1 on {server.url}/acme"
    first, second = [record.getMessage() for record in caplog.records]
    hint = "retrying in 16 s (attempt 2, until 12:10Z)"
    assert first.startswith(f"the status of {name} is unavailable, {hint}: ")
    assert "retrying in 5 s (attempt 3, until 12:10Z): GET api/v4/export/1/status" in second


@pytest.mark.parametrize(
    ("deadline", "end"),
    [(60, ", until 12:01Z"), (2 * 86_400, ", until 2026-01-04 12:00Z"), (1e12, "")],
)
def test_doubtful_reply_is_checked_again(
    session_to: Any, script: Any, reply: Any, caplog: Any, deadline: float, end: str
) -> None:
    """The hint names the deadline with its date, or none that is years away."""
    failed = {"id": "1", "status": "failed", "errors": None}
    session = session_to(script(reply(failed), reply(RUNNING), reply(DONE)))

    Exports(session).waiter("1", interval=5, deadline=deadline).until_done()

    [record] = caplog.records
    assert record.getMessage().endswith(f", retrying in 5 s (attempt 2{end})")


def test_attempts_count_from_the_last_answer(
    session_to: Any, script: Any, reply: Any, caplog: Any
) -> None:
    """After a good answer, a failure is a first one again."""
    server = script(reply(status=502), reply(RUNNING), reply(status=502), reply(DONE))

    Exports(session_to(server)).waiter("1", interval=5).until_done()

    assert [record.getMessage().count("(attempt 2,") for record in caplog.records] == [1, 1]


def test_stalled_wait_ends(http: Any, clock: Any) -> None:
    """Each new status restarts the limit."""
    statuses = iter(["queued", "in_progress", *["processing"] * 9])

    def check() -> Any:
        return parse_status({"id": "1", "status": next(statuses)})

    waiter = JobWaiter("job 1", http, check, verdict, interval=10, stall_after=25)

    with pytest.raises(errors.RetryTimeoutError, match="still 'processing' unchanged for 25 s"):
        waiter.until_done()

    assert clock.monotonic() == 20 + 30


def test_transient_failure_confirms_nothing(session_to: Any, script: Any, reply: Any) -> None:
    """Only an answer can agree with the one before."""
    denied = reply({"code": "INVALID_JOB_ID", "type": "invalid_input"}, status=500)
    server = script(denied, reply(status=503), reply(RUNNING), denied, reply(DONE))

    Exports(session_to(server)).waiter("1").until_done()

    assert len(server.seen) == 5


def test_error_of_the_api_is_final(session_to: Any, script: Any, reply: Any) -> None:
    """At once, also where the reply before was a proxy's that only a second one would confirm."""
    server = script(reply(status=403), reply({"code": "FORBIDDEN"}, status=403), reply(DONE))

    with pytest.raises(errors.SparkApiError, match="FORBIDDEN"):
        Exports(session_to(server)).waiter("1").until_done()

    assert len(server.seen) == 2


def test_created_job_has_no_news(http: Any, caplog: Any) -> None:
    """Its first status was known before; at a limit that is the last one reported."""
    caplog.set_level("DEBUG")
    created = parse_status({"id": "1", "status": "created"})

    with pytest.raises(errors.RetryTimeoutError, match="still 'created' after 1 status checks"):
        JobWaiter("job 1", http, lambda: created, verdict, max_checks=1).until_done()

    assert caplog.messages == []
