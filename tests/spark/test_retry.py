"""Repeats: the exact waits, what is repeated, and Retry-After in both forms."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.errors import TransportError
from spark_impex_runner.spark.reply import HttpResponse, retry_after
from spark_impex_runner.spark.retry import Patience, is_passing

NOW = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)


def http_date(seconds: float) -> str:
    """Return the HTTP date of so many seconds after ``NOW``."""
    return format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)


def replay(*results: HttpResponse | TransportError) -> Any:
    """Return a request that yields these results in order."""
    left = list(results)

    def once() -> HttpResponse:
        result = left.pop(0)
        if isinstance(result, TransportError):
            raise result
        return result

    return once


def test_waits_grow_up_to_the_ceiling_times_the_draw(clock: Any) -> None:
    """Six attempts wait 1, 2, 4, 8, 16 s, each times the random draw."""
    patience = Patience(clock, draw=lambda: 0.5)

    reply = patience.repeat(replay(*[HttpResponse(503)] * 6), is_passing)

    assert reply.status == 503
    assert clock.waits == [0.5, 1.0, 2.0, 4.0, 8.0]


def test_a_broken_connection_is_tried_again(clock: Any) -> None:
    """A reply after a transport error is returned; the last transport error is raised."""
    patience = Patience(clock, attempts=2, draw=lambda: 1.0)

    assert patience.repeat(replay(TransportError("x"), HttpResponse(200)), is_passing).good
    with pytest.raises(TransportError, match="second"):
        patience.repeat(replay(TransportError("first"), TransportError("second")), is_passing)


def test_the_server_may_ask_for_a_longer_wait(clock: Any) -> None:
    """Retry-After wins over a shorter draw and loses to a longer one."""
    patience = Patience(clock, draw=lambda: 1.0)
    results = [HttpResponse(429, {"Retry-After": after}) for after in ("30", "0")]

    patience.repeat(replay(*results, HttpResponse(200)), is_passing)

    assert clock.waits == [30.0, 2.0]


@pytest.mark.parametrize("asked", ["3601", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_wait_beyond_the_limit_counts_as_none(clock: Any, asked: str) -> None:
    """Such a server is retried as one that names no time; the limit is an hour in total."""
    patience = Patience(clock, draw=lambda: 1.0)
    reply = HttpResponse(503, {"Retry-After": asked})

    assert patience.repeat(replay(*[reply] * 6), is_passing).status == 503
    assert clock.waits == [1.0, 2.0, 4.0, 8.0, 16.0]


def test_the_waits_asked_for_add_up_to_an_hour(clock: Any) -> None:
    """What would end later than that after the first failure is not granted."""
    patience = Patience(clock, draw=lambda: 1.0)
    reply = HttpResponse(503, {"Retry-After": "1700"})

    patience.repeat_while_moving(replay(*[reply] * 6), is_passing, lambda: 0)

    assert clock.waits == [1700, 1700, 4.0, 8.0, 16.0]


def test_a_download_is_borne_for_ten_minutes_without_a_step_forward(clock: Any) -> None:
    """A network that is gone is tried again up to the budget, and then the last error is raised."""

    def gone() -> HttpResponse:
        raise TransportError(f"gone at {clock.monotonic():.0f}")

    clock.wait(1000)
    with pytest.raises(TransportError, match="gone at 1607"):
        Patience(clock, draw=lambda: 1.0).repeat_while_moving(gone, is_passing, lambda: 0)

    assert clock.waits[1:7] == [1.0, 2.0, 4.0, 8.0, 16.0, 16.0]


def test_a_download_survives_a_network_that_is_gone_for_minutes(clock: Any) -> None:
    """Whatever the draw, two minutes are within the budget."""

    def back_after_two_minutes() -> HttpResponse:
        if clock.monotonic() < 120:
            raise TransportError("gone")
        return HttpResponse(200)

    patience = Patience(clock, draw=lambda: 0.1)

    assert patience.repeat_while_moving(back_after_two_minutes, is_passing, lambda: 0).good


def test_a_download_that_moves_is_repeated_for_ever(clock: Any) -> None:
    """Each step forward gives the whole budget back, and begins with the shortest wait."""
    position = 0

    def cut() -> HttpResponse:
        nonlocal position
        clock.wait(700)
        position += 1
        if position == 50:
            return HttpResponse(200)
        raise TransportError("cut")

    reply = Patience(clock, draw=lambda: 1.0).repeat_while_moving(cut, is_passing, lambda: position)

    assert reply.good
    assert set(clock.waits) == {700, 1.0}


def test_a_long_attempt_alone_does_not_end_a_download(clock: Any) -> None:
    """A server without ranges may need more than the budget for one attempt."""
    requests = 0

    def slow() -> HttpResponse:
        nonlocal requests
        requests += 1
        clock.wait(700)
        raise TransportError("cut")

    with pytest.raises(TransportError):
        Patience(clock, attempts=3).repeat_while_moving(slow, is_passing, lambda: 0)

    assert requests == 3


@pytest.mark.parametrize("asked", ["1", "90", "180", "900", "3600"])
def test_a_download_waits_as_the_server_asks(clock: Any, asked: str) -> None:
    """A polite server is not given up earlier than a silent one."""
    patience = Patience(clock, draw=lambda: 0.0)
    results = [HttpResponse(503, {"Retry-After": asked}), HttpResponse(200)]

    reply = patience.repeat_while_moving(replay(*results), is_passing, lambda: 0)

    assert reply.good
    assert clock.waits == [float(asked)]


@pytest.mark.parametrize("asked", ["", "0", "1", "30", "599", "7200", "soon", "-5"])
def test_no_download_server_gets_less_patience(clock: Any, asked: str) -> None:
    """Whatever time a server names, its file is asked for during ten minutes at least."""
    reply = HttpResponse(503, {"Retry-After": asked})

    Patience(clock, draw=lambda: 1.0).repeat_while_moving(lambda: reply, is_passing, lambda: 0)

    assert 600 <= clock.monotonic() <= 3600 + 600


@pytest.mark.parametrize(
    ("status", "data", "passing"),
    [
        (200, None, False),
        (302, None, False),
        (400, None, False),
        (401, None, False),
        (408, None, True),
        (425, None, True),
        (429, None, True),
        (500, None, True),
        (500, {"type": "invalid_input"}, False),
        (500, ["odd"], True),
        (502, None, True),
        (504, {"type": "other"}, True),
    ],
)
def test_what_may_pass_by_itself(status: int, data: Any, passing: bool) -> None:
    """A permanent error that comes as HTTP 500 is told by its type."""
    assert is_passing(HttpResponse(status, {}, data)) is passing


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
