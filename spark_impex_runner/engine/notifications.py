"""Telling others how a run ended; nothing that goes wrong here changes how it did."""

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
    from spark_impex_runner.delivery.context import Context
    from spark_impex_runner.hooks.registry import Notifier
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.models import Notification, Run, RunResult

_log = logging.getLogger("spark_impex_runner.events")
# The ends of a single target that are told, whatever the whole run's is.
_OF_TARGETS = (Outcome.TIMED_OUT, Outcome.CANCELLED, Outcome.HELD)


def ends(result: RunResult) -> frozenset[str]:
    """Return the words of ``on`` that fit the end of a run."""
    word = outcome(result)
    if word == "interrupted":
        word = "cancelled"
    elif word == "succeeded" and result.problems:
        word = "partial"
    of_targets = {each.outcome.value for each in result.results if each.outcome in _OF_TARGETS}
    return frozenset({"always", word, *of_targets})


def tell(run: Run, result: RunResult, context: Context) -> None:
    """Tell everybody whom the manifest names for this end, all at once, and wait for them.

    ``result`` has no secrets. A call that takes longer than its ``timeout``, or than a run takes
    to end after a signal, is abandoned.
    """
    notifiers = context.hooks.registry.notifiers
    send(run.manifest.notify, result, notifiers, context.clock, context.masker)


def send(
    notify: Sequence[Notification],
    result: RunResult,
    notifiers: Mapping[str, Notifier],
    clock: Clock,
    masker: Masker,
) -> None:
    """Send the notifications that fit the end of a run, as ``tell`` does."""
    words = ends(result)
    calls = [
        _Call(f"notify[{index}] ({each.uses})", each, notifiers[each.uses])
        for index, each in enumerate(notify)
        if words & set(each.on) and each.uses in notifiers
    ]
    began = time.monotonic()
    sending = [Background(partial(call.make, result)) for call in calls]
    for call, thread in zip(calls, sending, strict=True):
        timeout = call.notification.timeout

        def end(timeout: float = timeout) -> float:
            return min(began + timeout, max(clock.stopped_at + END, began + AT_LEAST))

        fault = call.fault if thread.wait(end, clock) else _unsent(timeout, clock)
        level = logging.WARNING if fault else logging.INFO
        event = "notification.failed" if fault else "notification.sent"
        text = masker.mask(f"{call.name}: {fault or 'sent'}")
        _log.log(level, "%s", text, extra={"event": event, "run_id": result.run_id})


def _unsent(timeout: float, clock: Clock) -> str:
    """Say why a call was left behind."""
    stopped = time.monotonic() >= clock.stopped_at + END
    return "no end before that of the run" if stopped else f"no end within {timeout:g} s"


@dataclass(slots=True)
class _Call:
    """One call of a notifier; ``fault`` is what went wrong, in one line."""

    name: str
    notification: Notification
    notifier: Notifier
    fault: str = field(default="", init=False)

    def make(self, result: RunResult) -> None:
        """Call the plugin."""
        try:
            self.notifier.send(self.notification.options, result)
        except ImpexError as error:
            self.fault = plain(str(error))
        except BaseException as error:  # noqa: BLE001 - a warning, whatever it is
            _log.debug("a notifier failed", exc_info=error)
            plugin = self.notifier.provider
            self.fault = plain(f"plugin {plugin} failed: {type(error).__name__}: {error}")
