"""Repeating a safe request: which replies deserve it, how long to wait, when to give up."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from spark_impex_runner.errors import TransportError

if TYPE_CHECKING:
    from spark_impex_runner.clock import Clock
    from spark_impex_runner.spark.reply import HttpResponse

_log = logging.getLogger(__name__)

_PASSING = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Patience:
    """How a safe request is repeated: full jitter below a growing ceiling.

    At most ``attempts`` requests; before repeat ``n`` (from 0) the wait is
    ``draw() * min(ceiling, first * 2**n)`` seconds, or what the server asked for if that is
    longer. A server that asks for more than ``longest`` seconds is not waited for here.
    """

    clock: Clock
    attempts: int = 6
    first: float = 1.0
    ceiling: float = 16.0
    longest: float = 120.0
    still: float = 600.0
    draw: Callable[[], float] = random.random

    def repeat(
        self,
        once: Callable[[], HttpResponse],
        passing: Callable[[HttpResponse], bool],
    ) -> HttpResponse:
        """Call ``once`` until it yields a reply that is not ``passing``, or patience ends.

        Returns the last reply, whatever it is; raises the last ``TransportError``.
        """
        ceiling, left = self.first, self.attempts
        while True:
            left -= 1
            try:
                reply = once()
            except TransportError:
                if left < 1:
                    raise
                asked = 0.0
            else:
                asked = retry_after(reply.headers, self.clock.now()) or 0.0
                if left < 1 or asked > self.longest or not passing(reply):
                    return reply
            pause = max(asked, self.draw() * min(self.ceiling, ceiling))
            ceiling *= 2
            _log.debug("a request failed; the next of %d more in %.1f s", left, pause)
            self.clock.wait(pause)

    def repeat_while_moving(
        self,
        once: Callable[[], HttpResponse],
        passing: Callable[[HttpResponse], bool],
        position: Callable[[], int],
    ) -> HttpResponse:
        """Call ``once`` like ``repeat``, but as long as ``position`` grows.

        Patience ends ``still`` seconds after the last step forward, so that a network that is gone
        for some minutes is waited for.
        """
        at, since, ceiling = position(), self.clock.monotonic(), self.first
        while True:
            try:
                reply = once()
            except TransportError:
                error, asked = True, 0.0
                if self._stands_still(position() > at, since):
                    raise
            else:
                error, asked = False, retry_after(reply.headers, self.clock.now()) or 0.0
                hopeless = asked > self.longest or self._stands_still(position() > at, since)
                if hopeless or not passing(reply):
                    return reply
            if position() > at:
                at, since, ceiling = position(), self.clock.monotonic(), self.first
            pause = max(asked, self.draw() * min(self.ceiling, ceiling))
            ceiling *= 2
            _log.debug("a download %s, going on in %.1f s", "broke" if error else "waits", pause)
            self.clock.wait(pause)

    def _stands_still(self, moved: bool, since: float) -> bool:
        return not moved and self.clock.monotonic() - since >= self.still


def is_passing(reply: HttpResponse) -> bool:
    """Tell whether a failure may pass by itself.

    Documented: the v4 API reports permanent errors as HTTP 500 of the type ``invalid_input``.
    """
    if reply.status >= 500:
        said = reply.data if isinstance(reply.data, Mapping) else {}
        return said.get("type") != "invalid_input"
    return reply.status in _PASSING


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds that ``Retry-After`` asks for, in either of its forms, else None.

    ``x-retry-after``, which the TypeScript SDK reads, counts where the standard one is absent.
    """
    text = (headers.get("Retry-After") or headers.get("x-retry-after") or "").strip()
    if not text:
        return None
    try:
        if text.isdecimal():
            return float(text)
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=timezone.utc)
    return max(0.0, (when - now).total_seconds())
