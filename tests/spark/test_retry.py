"""Repeats: the exact waits, what is repeated, and Retry-After in both forms."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.errors import TransportError
from spark_impex_runner.spark.reply import HttpResponse
from spark_impex_runner.spark.retry import Patience, is_passing, retry_after

NOW = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)


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


def test_a_server_that_asks_for_too_much_is_not_waited_for(clock: Any) -> None:
    """Beyond two minutes the reply is handed back at once."""
    reply = Patience(clock).repeat(replay(HttpResponse(503, {"Retry-After": "121"})), is_passing)

    assert reply.status == 503
    assert clock.waits == []


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
    ],
)
def test_retry_after_is_read_in_both_forms(headers: Any, seconds: float | None) -> None:
    """Seconds and HTTP dates are understood, nonsense is ignored."""
    assert retry_after(headers, NOW) == seconds


@given(st.text())
def test_no_retry_after_breaks_the_client(text: str) -> None:
    """Whatever a server sends gives a wait of 0 or more, or none."""
    seconds = retry_after({"Retry-After": text}, NOW)

    assert seconds is None or seconds >= 0
