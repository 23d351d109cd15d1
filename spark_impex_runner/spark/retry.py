"""Repeating a safe request: which replies deserve it, how long to wait, when to give up."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_impex_runner.errors import TransportError, may_pass_by_itself
from spark_impex_runner.spark.reply import retry_after

if TYPE_CHECKING:
    from spark_impex_runner.clock import Clock
    from spark_impex_runner.spark.reply import HttpResponse

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """How a safe request is repeated: full jitter below a growing ceiling.

    At most ``attempts`` requests; before repeat ``n`` (from 0) the wait is
    ``draw() * min(ceiling, first * 2**n)`` seconds, or what the server asked for if that is
    longer. A server that asks for more than ``longest`` seconds is not waited for here.

    ``still`` is how long (seconds) a download may stand still: long enough for a network that is
    gone for some minutes or a server that is restarted, too short to hold up a run for an hour.
    """

    clock: Clock
    attempts: int = 6
    first: float = 1.0
    ceiling: float = 16.0
    longest: float = 120.0
    still: float = 600.0
    draw: Callable[[], float] = random.random

    def repeat(
        self, once: Callable[[], HttpResponse], passing: Callable[[HttpResponse], bool]
    ) -> HttpResponse:
        """Call ``once`` until it yields a reply that is not ``passing``, or patience ends.

        Returns the last reply, whatever it is; raises the last ``TransportError``.
        """
        return self._repeat(once, passing, _Budget(self, 0.0, lambda: 0))

    def repeat_while_moving(
        self,
        once: Callable[[], HttpResponse],
        passing: Callable[[HttpResponse], bool],
        position: Callable[[], int],
    ) -> HttpResponse:
        """Call ``once`` like ``repeat``, but as long as ``position`` grows.

        Patience ends ``still`` seconds and ``attempts`` requests after the last step forward.
        """
        return self._repeat(once, passing, _Budget(self, self.still, position))

    def _repeat(
        self,
        once: Callable[[], HttpResponse],
        passing: Callable[[HttpResponse], bool],
        budget: _Budget,
    ) -> HttpResponse:
        while True:
            try:
                reply = once()
            except TransportError as error:
                if error.permanent or not budget.lasts():
                    raise
                asked = 0.0
            else:
                asked = retry_after(reply.headers, self.clock.now()) or 0.0
                if asked > self.longest or not passing(reply) or not budget.lasts():
                    return reply
            pause = max(asked, self.draw() * budget.pause)
            _log.debug("request %d in a row failed; the next in %.1f s", budget.failures, pause)
            self.clock.wait(pause)


class _Budget:
    """The failures since the last step forward, and whether they are still to be borne.

    Both limits must be passed before it ends: a long attempt alone does not end a download, and
    neither do many quick ones.
    """

    def __init__(self, patience: Patience, still: float, position: Callable[[], int]) -> None:
        self._patience = patience
        self._still = still
        self._position = position
        self._begin()

    def _begin(self) -> None:
        self._at = self._position()
        self._since = self._patience.clock.monotonic()
        self._ceiling = self._patience.first
        self.failures = 0
        self.pause = 0.0

    def lasts(self) -> bool:
        """Count one failure, set the longest ``pause`` after it; False where it was the last."""
        if self._position() > self._at:
            self._begin()
        self.failures += 1
        self.pause = min(self._patience.ceiling, self._ceiling)
        self._ceiling *= 2
        waited = self._patience.clock.monotonic() - self._since
        return self.failures < self._patience.attempts or waited < self._still


def is_passing(reply: HttpResponse) -> bool:
    """Tell whether a failure may pass by itself."""
    said = reply.data if isinstance(reply.data, Mapping) else {}
    return may_pass_by_itself(reply.status, said.get("type"))
