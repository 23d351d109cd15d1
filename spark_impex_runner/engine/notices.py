"""Telling others how a run ended; nothing that goes wrong here changes how it did."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spark_impex_runner.errors import ImpexError
from spark_impex_runner.models import Outcome
from spark_impex_runner.report.headline import outcome
from spark_impex_runner.report.words import plain

if TYPE_CHECKING:
    from spark_impex_runner.engine.context import Context
    from spark_impex_runner.models import Notification, Run, RunResult
    from spark_impex_runner.registry import Notifier

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

    ``result`` has no secrets. Whoever takes longer than the ``timeout`` is left behind: the
    process does not wait for their threads when it ends.
    """
    words, clock, notifiers = ends(result), context.clock, context.hooks.registry.notifiers
    calls = [
        _Call(f"notify[{index}] ({each.uses})", each, notifiers[each.uses])
        for index, each in enumerate(run.manifest.notify)
        if words & set(each.on)
    ]
    began = clock.monotonic()
    threads = [call.thread(result) for call in calls]
    for thread in threads:
        thread.start()
    for call, thread in zip(calls, threads, strict=True):
        timeout = call.notification.timeout
        thread.join(max(0.0, timeout - (clock.monotonic() - began)))
        fault = f"no end within {timeout:g} s" if thread.is_alive() else call.fault
        level = logging.WARNING if fault else logging.INFO
        event = "notification.failed" if fault else "notification.sent"
        text = context.masker.mask(f"{call.name}: {fault or 'sent'}")
        _log.log(level, "%s", text, extra={"event": event, "run_id": run.id})


@dataclass(slots=True)
class _Call:
    """One call of a notifier; ``fault`` is what went wrong, in one line."""

    name: str
    notification: Notification
    notifier: Notifier
    fault: str = field(default="", init=False)

    def thread(self, result: RunResult) -> threading.Thread:
        """Return the thread of the call."""
        return threading.Thread(target=self.make, name=self.name, args=(result,), daemon=True)

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
