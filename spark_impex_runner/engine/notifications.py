"""Send the notifications of a run's end; a failure here does not change the run's outcome."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from spark_impex_runner.blocking import AT_LEAST, END, Background
from spark_impex_runner.errors import ImpexError
from spark_impex_runner.models import Outcome
from spark_impex_runner.report.headline import outcome
from spark_impex_runner.text import plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.hooks.registry import Notifier
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.models import Notification, RunResult

_log = logging.getLogger("spark_impex_runner.events")
# The outcomes of a single target that are events, whatever the outcome of the whole run.
_TARGET_EVENTS = (Outcome.TIMED_OUT, Outcome.CANCELLED, Outcome.HELD)


def events_of(result: RunResult) -> frozenset[str]:
    """Return the values of ``on`` that a run's result matches."""
    event = outcome(result)
    if event == "interrupted":
        event = "cancelled"
    elif event == "succeeded" and result.problems:  # a report was not written
        event = "partial"
    of_targets = {each.outcome.value for each in result.results if each.outcome in _TARGET_EVENTS}
    return frozenset({"always", event, *of_targets})


def notify(
    notifications: Sequence[Notification],
    result: RunResult,
    notifiers: Mapping[str, Notifier],
    clock: Clock,
    masker: Masker,
) -> list[str]:
    """Send the notifications that match a masked result, all at once, and wait for them.

    Returns a line for each that was not sent. A call is abandoned after its ``timeout``, and when
    the run has to end after a signal.
    """
    events = events_of(result)
    calls = [
        _Call(f"notify[{index}] ({each.uses})", each, notifiers[each.uses])
        for index, each in enumerate(notifications)
        if events & set(each.on) and each.uses in notifiers
    ]
    began = time.monotonic()
    threads = [Background(partial(call.make, result)) for call in calls]
    failures = []
    for call, thread in zip(calls, threads, strict=True):
        timeout = call.notification.timeout

        def end(timeout: float = timeout) -> float:
            # AT_LEAST: a run that a signal ended still has to send that it was cancelled.
            return min(began + timeout, max(clock.stopped_at + END, began + AT_LEAST))

        error = call.error if thread.wait(end, clock) else _timeout_error(timeout, clock)
        level = logging.WARNING if error else logging.INFO
        event = "notification.failed" if error else "notification.sent"
        text = masker.mask(f"{call.name}: {error or 'sent'}")
        _log.log(level, "%s", text, extra={"event": event, "run_id": result.run_id})
        failures += [text] if error else []
    return failures


def _timeout_error(timeout: float, clock: Clock) -> str:
    stopped = time.monotonic() >= clock.stopped_at + END
    return "not sent before the run ended" if stopped else f"timed out after {timeout:g} s"


@dataclass(slots=True)
class _Call:
    """One call of a notifier; ``error`` is what went wrong, in one line."""

    name: str
    notification: Notification
    notifier: Notifier
    error: str = field(default="", init=False)

    def make(self, result: RunResult) -> None:
        """Call the plugin."""
        try:
            self.notifier.send(self.notification.options, result)
        except ImpexError as error:
            self.error = plain(str(error))
        except BaseException as error:  # noqa: BLE001 - a warning, whatever it is
            _log.debug("a notifier failed", exc_info=error)
            plugin = self.notifier.provider
            self.error = plain(f"plugin {plugin} failed: {type(error).__name__}: {error}")
