"""How long a lease lasts, and the clock by which a process knows the age of its own."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds that a lease is worth, until it is renewed, and between looks at what others do.

    A process waits for so many seconds of ``patience`` for a store that it does not reach.
    """

    worth: float = 60.0
    renewal: float = 20.0
    look: float = 5.0
    patience: float = 600.0


def boot_time() -> float:
    """Return seconds that also pass while the machine is suspended.

    On Linux that is the boot clock. On macOS ``CLOCK_MONOTONIC`` goes on in sleep, unlike
    ``time.monotonic``, which reads another clock there. On Windows ``time.monotonic`` does.
    """
    for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"):
        if (clock := getattr(time, name, None)) is not None:
            return time.clock_gettime(clock)
    return time.monotonic()
