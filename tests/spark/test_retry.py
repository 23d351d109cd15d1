"""Repeats: the exact waits, what is retried, and Retry-After in both forms."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.errors import ErrorReply, SparkApiError, SparkError, TransportError
from spark_impex_runner.spark.http.response import retry_after
from spark_impex_runner.spark.http.retry import RetryPolicy, confirmed, retry, retry_hint

NOW = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)


def http_date(seconds: float) -> str:
    """Return the HTTP date of so many seconds after ``NOW``."""
    return format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)


def refused(status: int = 503, asked: str = "") -> SparkApiError:
    """Return the error of a reply, with what its Retry-After asks for."""
    seconds = retry_after({"Retry-After": asked}, NOW)
    return SparkApiError.when("refused", ErrorReply(status, retry_after=seconds))


def replay(*results: SparkError | str) -> Any:
    """Return a request that yields these results in order, and fails with those that are errors."""
    left = list(results)

    def once() -> str:
        result = left.pop(0)
        if isinstance(result, SparkError):
            raise result
        return result

    return once


def test_pauses_grow_up_to_cap(clock: Any) -> None:
    """Six attempts wait 1, 2, 4, 8, 16 s, each times the random draw; the last error is raised."""
    errors = [refused() for _ in range(6)]

    with pytest.raises(SparkApiError) as caught:
        retry(replay(*errors), RetryPolicy(draw=lambda: 0.5), clock)

    assert caught.value is errors[-1]
    assert clock.waits == [0.5, 1.0, 2.0, 4.0, 8.0]


def test_a_broken_connection_is_tried_again(clock: Any) -> None:
    """A reply after a transport error is returned; the last transport error is raised."""
    policy = RetryPolicy(attempts=2)

    assert retry(replay(TransportError("x"), "reply"), policy, clock) == "reply"
    with pytest.raises(TransportError, match="second"):
        retry(replay(TransportError("first"), TransportError("second")), policy, clock)


def test_a_permanent_failure_is_raised_at_once(clock: Any) -> None:
    """There is no pause with any policy."""
    with pytest.raises(SparkApiError):
        retry(replay(refused(400)), RetryPolicy(), clock, progress=lambda: 0)

    assert clock.waits == []


def test_retry_after_lengthens_pause(clock: Any) -> None:
    """Retry-After wins over a shorter draw and loses to a longer one."""
    once = replay(refused(429, "30"), refused(429, "0"), "reply")

    retry(once, RetryPolicy(draw=lambda: 1.0), clock)

    assert clock.waits == [30.0, 2.0]


@pytest.mark.parametrize("asked", ["3601", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_excessive_retry_after_is_ignored(clock: Any, asked: str) -> None:
    """Such a server is retried as one that names no time; the limit is an hour in total."""
    with pytest.raises(SparkApiError):
        retry(replay(*[refused(503, asked)] * 6), RetryPolicy(draw=lambda: 1.0), clock)

    assert clock.waits == [1.0, 2.0, 4.0, 8.0, 16.0]


def test_retry_after_sums_to_an_hour(clock: Any) -> None:
    """What would end later than that after the first failure is not granted."""
    once = replay(*[refused(503, "1700")] * 6)

    with pytest.raises(SparkApiError):
        retry(once, RetryPolicy(draw=lambda: 1.0), clock, progress=lambda: 0)

    assert clock.waits == [1700, 1700, 4.0, 8.0, 16.0]


def test_download_stalls_for_ten_minutes(clock: Any) -> None:
    """A lost network is retried up to the budget, then the last error is raised."""

    def gone() -> None:
        raise TransportError(f"gone at {clock.monotonic():.0f}")

    clock.wait(1000)
    with pytest.raises(TransportError, match="gone at 1607"):
        retry(gone, RetryPolicy(draw=lambda: 1.0), clock, progress=lambda: 0)

    assert clock.waits[1:7] == [1.0, 2.0, 4.0, 8.0, 16.0, 16.0]


def test_download_survives_network_outage(clock: Any) -> None:
    """Whatever the draw, two minutes are within the budget."""

    def back_after_two_minutes() -> str:
        if clock.monotonic() < 120:
            raise TransportError("gone")
        return "reply"

    policy = RetryPolicy(draw=lambda: 0.1)

    assert retry(back_after_two_minutes, policy, clock, progress=lambda: 0) == "reply"


def test_progressing_download_retries_forever(clock: Any) -> None:
    """Each step forward gives the whole budget back, and begins with the shortest wait."""
    position = 0

    def cut() -> str:
        nonlocal position
        clock.wait(700)
        position += 1
        if position == 50:
            return "reply"
        raise TransportError("cut")

    reply = retry(cut, RetryPolicy(draw=lambda: 1.0), clock, progress=lambda: position)

    assert reply == "reply"
    assert set(clock.waits) == {700, 1.0}


def test_long_attempt_does_not_fail(clock: Any) -> None:
    """A server without ranges may need more than the budget for one attempt."""
    requests = 0

    def slow() -> None:
        nonlocal requests
        requests += 1
        clock.wait(700)
        raise TransportError("cut")

    with pytest.raises(TransportError):
        retry(slow, RetryPolicy(attempts=3), clock, progress=lambda: 0)

    assert requests == 3


@pytest.mark.parametrize("asked", ["1", "90", "180", "900", "3600"])
def test_download_obeys_retry_after(clock: Any, asked: str) -> None:
    """A server with ``Retry-After`` is not given up earlier than one without."""
    policy = RetryPolicy(draw=lambda: 0.0)

    assert retry(replay(refused(503, asked), "reply"), policy, clock, progress=lambda: 0)
    assert clock.waits == [float(asked)] == [policy.pause(1, float(asked))]


@pytest.mark.parametrize("asked", ["", "0", "1", "30", "599", "7200", "soon", "-5"])
def test_any_retry_after_gets_ten_minutes(clock: Any, asked: str) -> None:
    """With any ``Retry-After``, retries last for at least ten minutes."""

    def refuse() -> None:
        raise refused(503, asked)

    with pytest.raises(SparkApiError):
        retry(refuse, RetryPolicy(draw=lambda: 1.0), clock, progress=lambda: 0)

    assert 600 <= clock.monotonic() <= 3600 + 600


def test_retry_names_attempt_and_end(clock: Any) -> None:
    """The hint has the number of attempts, or the end in UTC."""
    hints: list[str] = []

    def note(_: SparkError, hint: str) -> None:
        hints.append(hint)

    policy = RetryPolicy(draw=lambda: 1.0)
    retry(replay(refused(), refused(), 1), policy, clock, report=note)
    retry(replay(refused(asked="90"), 1), policy, clock, progress=lambda: 0, report=note)

    assert hints == [
        "retrying in 1 s (attempt 2 of 6)",
        "retrying in 2 s (attempt 3 of 6)",
        "retrying in 90 s (attempt 2, until 12:10Z)",
    ]


@pytest.mark.parametrize(("asked", "level"), [("29", logging.DEBUG), ("30", logging.WARNING)])
def test_a_long_wait_is_a_warning(clock: Any, caplog: Any, asked: str, level: int) -> None:
    """Half a minute without output looks like a hang."""
    caplog.set_level(logging.DEBUG)

    retry(replay(refused(503, asked), "reply"), RetryPolicy(draw=lambda: 1.0), clock)

    [record] = caplog.records
    assert record.levelno == level
    assert record.getMessage() == f"refused; retrying in {asked} s (attempt 2 of 6)"


@pytest.mark.parametrize(
    ("answers", "found", "waits"),
    [(["id", "other"], "id", []), (["", "id"], "id", [2.0]), (["", "", "id"], "", [2.0])],
)
def test_empty_reply_must_be_confirmed(
    clock: Any, answers: list[str], found: str, waits: list[float]
) -> None:
    """One answer that lists no job would cost a second job."""
    assert confirmed(partial(answers.pop, 0), clock) == found
    assert clock.waits == waits


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"x-retry-after": "7"}, 7.0),
        ({"Retry-After": format_datetime(NOW + timedelta(seconds=90), usegmt=True)}, 90.0),
        ({"Retry-After": format_datetime(NOW - timedelta(seconds=90), usegmt=True)}, 0.0),
        ({"Retry-After": "Fri, 02 Jan 2026 12:00:05 -0000"}, 5.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "1.5"}, 1.5),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "9" * 400}, 366 * 86_400),
        ({"Retry-After": "\u0663"}, None),
        ({"Retry-After": http_date(90), "Date": "soon"}, 90.0),
        ({"Retry-After": http_date(90), "Date": ""}, 90.0),
        ({"Retry-After": http_date(3602), "Date": http_date(3600)}, 2.0),
        ({"Retry-After": http_date(-3598), "Date": http_date(-3600)}, 2.0),
        ({"Retry-After": http_date(-3602), "Date": http_date(-3600)}, 0.0),
        ({"Retry-After": http_date(9), "Date": "Thu, 01 Jan 1970 00:00:00 GMT"}, 9.0),
        ({"Retry-After": http_date(9), "Date": "Fri, 31 Dec 9999 23:59:59 GMT"}, 9.0),
        ({"Retry-After": http_date(10**7), "Date": http_date(10**7 - 2)}, 2.0),
        ({"Retry-After": http_date(10**7)}, None),
    ],
)
def test_retry_after_is_read_in_both_forms(headers: Any, seconds: float | None) -> None:
    """Seconds and HTTP dates are understood, nonsense is ignored."""
    assert retry_after(headers, NOW) == seconds


@given(st.text(), st.text())
def test_no_retry_after_breaks_the_client(text: str, date: str) -> None:
    """Whatever a server sends gives a wait of 0 or more, or none."""
    seconds = retry_after({"Retry-After": text, "Date": date}, NOW)

    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    ("left", "end"),
    [
        (0, ""),
        (1, ", until 12:00Z"),
        (60, ", until 12:01Z"),
        (86_399, ", until 11:59Z"),
        (86_400, ", until 2026-01-03 12:00Z"),
        (366 * 86_400 - 1, "-03 11:59Z"),
        (366 * 86_400, ""),
    ],
)
def test_hint_names_an_end_within_a_year(clock: Any, left: float, end: str) -> None:
    """A later one is nobody's plan, and a passed one no news."""
    hint = retry_hint(clock, 5, 2, left)

    assert hint.startswith("retrying in 5 s (attempt 2")
    assert hint.endswith(f"{end})")
    assert (", until" in hint) is bool(end)
