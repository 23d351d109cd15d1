"""Place times on the axis of the timeline."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_DAY = 86_400.0
# Distances between ticks in seconds, up to a day; longer ones are whole days.
_STEPS = (
    *(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800),
    *(3600, 7200, 10_800, 21_600, 43_200),
)
# So many labels fit beside each other at 768 px; at 375 px every second one is hidden.
_TICKS = 8


@dataclass(frozen=True, slots=True)
class Scale:
    """The time span of the picture: from ``start`` on, ``seconds`` (more than 0) long."""

    start: datetime
    seconds: float

    @classmethod
    def covering(cls, times: Iterable[datetime]) -> Scale:
        """Return the smallest scale with all of these times."""
        every = list(times)
        first = min(every)
        # The axis of a run of no length is a millisecond long, since nothing divides by 0.
        return cls(first, max((max(every) - first).total_seconds(), 0.001))

    def percent(self, at: datetime) -> float:
        """Return the position of a time from 0 to 100; times outside stand at the edge."""
        share = (at - self.start).total_seconds() / self.seconds
        return round(100 * min(max(share, 0.0), 1.0), 2)

    def ticks(self) -> Iterator[tuple[float, str]]:
        """Yield position and label of each tick: round times of the day in UTC, dates at 0:00."""
        step = next((each for each in _STEPS if self.seconds <= each * _TICKS), 0.0)
        step = step or _DAY * math.ceil(self.seconds / _DAY / _TICKS)
        first = math.ceil((self.start - _EPOCH).total_seconds() / step)
        # Two ticks more than can fit, so that rounding loses none.
        for number in range(first, first + _TICKS + 2):
            at = _EPOCH + timedelta(seconds=number * step)
            if (at - self.start).total_seconds() <= self.seconds:
                yield self.percent(at), _label(at, step)


def _label(at: datetime, step: float) -> str:
    """Return a time as precisely as the distance between ticks requires."""
    if step >= _DAY or (step >= 60 and not (at.hour or at.minute)):
        return f"{at.day} {at:%b}"
    if step >= 60:
        return f"{at:%H:%M}"
    return f"{at:%H:%M:%S}" if step >= 1 else f"{at:%H:%M:%S.%f}"[: -4 if step < 0.1 else -5]


def clock_time(at: datetime) -> str:
    """Return the time of the day in UTC, ``12:00:05``."""
    return f"{at.astimezone(timezone.utc):%H:%M:%S}"
