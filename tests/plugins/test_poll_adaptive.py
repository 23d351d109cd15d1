from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.models import Poll
from spark_impex_runner.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

MINUTES = 60.0


def poll(elapsed: float = 0.0, *, remaining: float = math.inf, **more: float) -> Poll:
    """Return the state of a wait."""
    return Poll("adaptive", {}, 0, elapsed, remaining, **more)


def checks(duration: float, delay: Callable[[float], float]) -> list[float]:
    """Return when a job of that duration is looked at; the last look sees its end."""
    times = [delay(0.0)]
    while times[-1] < duration:
        times.append(times[-1] + delay(times[-1]))
    return times


@given(
    duration=st.floats(1.0, 20 * MINUTES),
    draws=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=20),
)
def test_the_end_is_seen_in_time_by_few_requests(
    adaptive: ModuleType, duration: float, draws: list[float]
) -> None:
    """From 1 s to 20 min: at most 15% late, at most 60 requests, whatever the jitter."""
    count = iter(range(1000))

    times = checks(
        duration,
        lambda elapsed: adaptive.delay(poll(elapsed), lambda: draws[next(count) % len(draws)]),
    )

    assert times[-1] <= duration * 1.15 + 1e-6
    assert len(times) <= 60


@given(duration=st.floats(0.0, 1.0), draw=st.floats(0.0, 1.0))
def test_a_short_job_is_seen_at_the_first_or_second_look(
    adaptive: ModuleType, duration: float, draw: float
) -> None:
    """Even the shortest job costs no more than about a second."""
    times = checks(duration, lambda elapsed: adaptive.delay(poll(elapsed), lambda: draw))

    assert times[-1] <= 1.15
    assert len(times) <= 2


@given(
    state=st.builds(
        Poll,
        strategy=st.just("adaptive"),
        options=st.just({}),
        checks=st.integers(0, 1000),
        elapsed=st.floats(0, 1e6),
        remaining=st.floats(-10, 1e6),
        retry_interval=st.none() | st.floats(0, 1e4),
        retry_after=st.none() | st.floats(0, 1e4),
    ),
    draw=st.floats(0, 1),
)
def test_floors_and_the_deadline_hold(adaptive: ModuleType, state: Poll, draw: float) -> None:
    """A wait is never shorter than was asked for, and never longer than what is left."""
    wait = adaptive.delay(state, lambda: draw)

    assert 0 <= wait <= max(state.remaining, 0)
    if wait < state.remaining:
        assert wait >= max(state.retry_interval or 0, state.retry_after or 0)


@pytest.mark.parametrize(
    ("state", "seconds"),
    [
        (poll(), 1.0),
        (poll(0.4), 0.6),
        (poll(10), 1.5),
        (poll(100), 15.0),
        (poll(3600), 120.0),
        (poll(10, retry_interval=5.0), 5.0),
        (poll(10, retry_after=30.0), 30.0),
        (poll(10, retry_after=2.0, retry_interval=3.0), 3.0),
        (poll(100, remaining=4.0), 4.0),
        (poll(100, remaining=4.0, retry_after=30.0), 4.0),
        (poll(100, remaining=-1.0), 0.0),
    ],
)
def test_waits_without_jitter(adaptive: ModuleType, state: Poll, seconds: float) -> None:
    """A wait is a share of the job's age, between the floors and the deadline."""
    assert adaptive.delay(state, lambda: 0.0) == pytest.approx(seconds)


def test_jitter_shortens_a_wait_by_a_tenth_at_most(adaptive: ModuleType) -> None:
    """Runs that began together drift apart."""
    draw = random.Random(1).random  # noqa: S311 - no secret depends on it
    waits = [adaptive.delay(poll(100), draw) for _ in range(100)]

    assert len(set(waits)) == 100
    assert min(waits) >= 13.5
    assert max(waits) <= 15.0


def test_the_hook_answers_for_its_own_strategy_only(adaptive: ModuleType) -> None:
    """Other strategies are left to others; its own gets a wait."""
    other = Poll("fixed", {}, 0, 0.0, 100.0)

    assert adaptive.impex_poll_delay(other) is None
    assert 0.9 <= adaptive.impex_poll_delay(poll()) <= 1.0


def test_the_strategy_is_offered(adaptive: ModuleType) -> None:
    """A manifest may name it."""
    registry = Registry("builtin")

    adaptive.impex_register(registry)

    assert "adaptive" in registry.strategies
