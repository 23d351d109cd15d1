from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.hooks.registry import Registry
from spark_impex_runner.models import Poll

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

MINUTES = 60.0

DRAWS = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=20)
LONG = st.floats(1.0, 20 * MINUTES)
KNOWN = (100.0,) * 5
# Durations that are spread evenly over the orders of magnitude.
SPREAD = [1200 ** (n / 300) for n in range(301)]


def poll(
    elapsed: float = 0.0,
    *,
    remaining: float = math.inf,
    durations: tuple[float, ...] = (),
    **more: float,
) -> Poll:
    """Return the state of a wait."""
    return Poll("adaptive", {}, 0, elapsed, remaining, **more, durations=durations)


def checks(duration: float, delay: Callable[[float], float]) -> list[float]:
    """Return when a job of that duration is looked at; the last look sees its end."""
    times = [delay(0.0)]
    while times[-1] < duration:
        times.append(times[-1] + delay(times[-1]))
    return times


def watch(
    adaptive: ModuleType, duration: float, past: list[float], draw: Callable[[], float]
) -> list[float]:
    """Return when a job is looked at by the strategy that knows these durations, newest first."""
    known = tuple(past)
    return checks(duration, lambda elapsed: adaptive.delay(poll(elapsed, durations=known), draw))


def cycle(draws: list[float]) -> Callable[[], float]:
    """Return a function that gives these numbers, again and again."""
    return itertools.cycle(draws).__next__


@given(duration=LONG, draws=DRAWS)
def test_end_is_seen_by_few_requests(
    adaptive: ModuleType, duration: float, draws: list[float]
) -> None:
    """From 1 s to 20 min: at most 23% late, at most 45 requests, whatever the jitter."""
    times = watch(adaptive, duration, [], cycle(draws))

    assert times[-1] <= duration * 1.23 + 1e-6
    assert len(times) <= 45


def test_new_jobs_are_seen_in_time(adaptive: ModuleType) -> None:
    """Spread from 1 s to 20 min: at most 15% late, by at most 25 requests."""
    draw = random.Random(1).random  # noqa: S311 - no secret depends on it
    runs = [(duration, watch(adaptive, duration, [], draw)) for duration in SPREAD]

    assert median(times[-1] / duration for duration, times in runs) <= 1.15
    assert median(len(times) for _, times in runs) <= 25


@given(duration=LONG, count=st.integers(5, 20), draws=DRAWS)
def test_known_duration_is_seen_at_once(
    adaptive: ModuleType, duration: float, count: int, draws: list[float]
) -> None:
    """With exact durations of the past: at most 5% late, at most 5 requests."""
    times = watch(adaptive, duration, [duration] * count, cycle(draws))

    assert times[-1] <= duration * 1.05 + 1e-6
    assert len(times) <= 5


@given(duration=LONG, draws=DRAWS)
def test_estimate_converges(adaptive: ModuleType, duration: float, draws: list[float]) -> None:
    """Each run learns only when it looked: 5% late at most from the second, 5 requests soon."""
    draw, past, requests = cycle(draws), [], []

    for _ in range(40):
        times = watch(adaptive, duration, past, draw)
        past.insert(0, times[-1])
        requests.append(len(times))

    assert max(past[:-1]) <= duration * 1.05 + 1e-6
    assert max(requests[1:]) <= 8
    assert max(requests[5:]) <= 5


@pytest.mark.parametrize("scatter", [0.05, 0.1])
def test_scattered_durations_are_tolerated(adaptive: ModuleType, scatter: float) -> None:
    """Durations that vary by a tenth still are seen 5% late at most, by 5 requests."""
    draw, late, requests = random.Random(1), [], []  # noqa: S311 - no secret depends on it
    for usual in SPREAD[::20]:
        past: list[float] = []
        for run in range(30):
            duration = usual * draw.gauss(1, scatter)
            times = watch(adaptive, duration, past, draw.random)
            past.insert(0, times[-1])
            if run >= 5:
                late.append(times[-1] / duration - 1)
                requests.append(len(times))

    assert median(late) <= 0.05
    assert median(requests) <= 5


@given(
    duration=st.floats(0.0, 20 * MINUTES),
    past=st.lists(st.floats(0.0, 20 * MINUTES), min_size=1, max_size=20),
    draws=DRAWS,
)
def test_wrong_history_does_little_harm(
    adaptive: ModuleType, duration: float, past: list[float], draws: list[float]
) -> None:
    """A job is never seen later than it usually ends, or later than without a past."""
    times = watch(adaptive, duration, past, cycle(draws))

    assert times[-1] <= max(*past[:5], 1.23, duration * 1.23) + 1e-6
    assert len(times) <= 60


@given(usual=st.floats(10.0, 20 * MINUTES), part=st.floats(0.0, 0.49), draw=st.floats(0.0, 1.0))
def test_shorter_job_is_seen_at_half_time(
    adaptive: ModuleType, usual: float, part: float, draw: float
) -> None:
    """Waiting in silence for the likely end is broken once: the third request comes then."""
    times = watch(adaptive, usual * part, [usual] * 5, lambda: draw)

    assert times[-1] <= usual / 2 + 1e-6
    assert len(times) <= 2


@given(
    past=st.lists(st.floats(0.0, 1e4), min_size=1, max_size=5),
    index=st.integers(0, 4),
    more=st.floats(0.0, 1e4),
)
def test_more_history_delays_first_request(
    adaptive: ModuleType, past: list[float], index: int, more: float
) -> None:
    """What is learned is monotone: one longer duration moves the likely end later or not at all."""
    longer = [*past]
    longer[index % len(past)] += more

    before = watch(adaptive, 0.0, past, lambda: 0.0)
    after = watch(adaptive, 0.0, longer, lambda: 0.0)

    assert after[0] >= before[0] - 1e-9


def test_only_the_last_five_durations_count(adaptive: ModuleType) -> None:
    """What a job took long ago is forgotten."""
    recent = (100.0, 101.0, 99.0, 100.0, 102.0)

    assert adaptive.delay(poll(60, durations=(*recent, 1.0, 1.0)), lambda: 0.0) == adaptive.delay(
        poll(60, durations=recent), lambda: 0.0
    )


@given(duration=st.floats(0.0, 1.0), draw=st.floats(0.0, 1.0))
def test_short_job_is_seen_early(adaptive: ModuleType, duration: float, draw: float) -> None:
    """Even the shortest job costs no more than about a second."""
    times = checks(duration, lambda elapsed: adaptive.delay(poll(elapsed), lambda: draw))

    assert times[-1] <= 1.23
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
        durations=st.lists(st.floats(0, 1e5), max_size=20).map(tuple),
    ),
    draw=st.floats(0, 1),
)
def test_floors_and_deadline_hold(adaptive: ModuleType, state: Poll, draw: float) -> None:
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
        (poll(10), 2.3),
        (poll(100), 23.0),
        (poll(3600), 120.0),
        (poll(10, retry_interval=5.0), 5.0),
        (poll(10, retry_after=30.0), 30.0),
        (poll(10, retry_after=2.0, retry_interval=3.0), 3.0),
        (poll(100, remaining=4.0), 4.0),
        (poll(100, remaining=4.0, retry_after=30.0), 4.0),
        (poll(100, remaining=-1.0), 0.0),
        (poll(0, durations=KNOWN), 1.0),
        (poll(1, durations=KNOWN), 49.0),
        (poll(50, durations=KNOWN), 47.0),
        (poll(96.1, durations=KNOWN), 4.0),
        (poll(97, durations=KNOWN), 4.0),
        (poll(105, durations=KNOWN), 5.0),
        (poll(113, durations=KNOWN), 13.0),
        (poll(497, durations=KNOWN), 114.31),
        (poll(3600, durations=KNOWN), 120.0),
        (poll(50, durations=(100.0,)), 35.0),
        (poll(0, durations=(2.0,)), 0.2),
        (poll(0, durations=(0.0,)), 0.05),
        (poll(0, durations=(0.1,)), 0.05),
        (poll(0, durations=KNOWN, retry_after=30.0), 30.0),
        (poll(97, durations=KNOWN, retry_interval=5.0), 5.0),
        (poll(50, durations=KNOWN, remaining=10.0), 10.0),
    ],
)
def test_waits_without_jitter(adaptive: ModuleType, state: Poll, seconds: float) -> None:
    """A wait is a share of the job's age, or ends at a likely moment; floors and deadline hold."""
    assert adaptive.delay(state, lambda: 0.0) == pytest.approx(seconds)


def test_jitter_is_at_most_a_tenth(adaptive: ModuleType) -> None:
    """Runs that began together drift apart."""
    draw = random.Random(1).random  # noqa: S311 - no secret depends on it
    waits = [adaptive.delay(poll(100), draw) for _ in range(100)]

    assert len(set(waits)) == 100
    assert min(waits) >= 20.7
    assert max(waits) <= 23.0


def test_jitter_near_end_is_small(adaptive: ModuleType) -> None:
    """Runs that began together do not ask together, and yet not far from the likely end."""
    draw = random.Random(1).random  # noqa: S311 - no secret depends on it
    waits = [adaptive.delay(poll(50, durations=KNOWN), draw) for _ in range(100)]

    assert len(set(waits)) == 100
    assert 46.03 <= min(waits) <= 46.2
    assert 46.8 <= max(waits) <= 47.0


def test_other_strategies_are_ignored(adaptive: ModuleType) -> None:
    """Other strategies are left to others; its own gets a wait."""
    other = Poll("fixed", {}, 0, 0.0, 100.0)

    assert adaptive.impex_poll_delay(other) is None
    assert 0.9 <= adaptive.impex_poll_delay(poll()) <= 1.0


def test_strategy_is_registered(adaptive: ModuleType) -> None:
    """A manifest may name it."""
    registry = Registry("builtin")

    adaptive.impex_register(registry)

    assert "adaptive" in registry.strategies


@given(
    similar=st.lists(st.floats(0.0, 1e4), min_size=1, max_size=20).map(tuple),
    elapsed=st.floats(0.0, 2e4),
)
def test_similar_jobs_delay_no_request(
    adaptive: ModuleType, similar: tuple[float, ...], elapsed: float
) -> None:
    """A new request may be much quicker than those of its size: it is not looked at any later."""
    alone = poll(elapsed)

    wait = adaptive.delay(replace(alone, similar=similar), lambda: 0.0)

    assert wait <= adaptive.delay(alone, lambda: 0.0)


def test_similar_jobs_add_requests(adaptive: ModuleType) -> None:
    """Close to where jobs of its size end, a new job is looked at every few per cent."""
    alone = poll(99.0)

    assert adaptive.delay(replace(alone, similar=KNOWN), lambda: 0.0) == pytest.approx(4)
    assert adaptive.delay(alone, lambda: 0.0) == pytest.approx(99 * 0.23)
