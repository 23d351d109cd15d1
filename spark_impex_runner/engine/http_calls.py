"""The HTTP calls of a run, recorded if one of its notifiers asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from spark_impex_runner.spark.http.calls import CallLog

if TYPE_CHECKING:
    from collections.abc import Callable

    from spark_impex_runner.models import TargetResult
    from spark_impex_runner.planning.stages import Prepared

P = ParamSpec("P")
R = TypeVar("R")


def are_wanted(prepared: Prepared) -> bool:
    """Return whether a notifier of the manifest asks for the HTTP calls."""
    notifiers = prepared.hooks.registry.notifiers
    used = (notifiers.get(each.uses) for each in prepared.run.manifest.notify)
    return any(each.http_calls for each in used if each)


class TargetCalls:
    """The logs of the HTTP calls of targets, by name; none unless a notifier asks for them."""

    def __init__(self, prepared: Prepared) -> None:
        self._wanted = are_wanted(prepared)
        self._clock = prepared.connections.clock
        self._logs: dict[str, CallLog] = {}

    def recorded(
        self, function: Callable[Concatenate[str, P], R]
    ) -> Callable[Concatenate[str, P], R]:
        """Return a function of a target's name that records the calls of ``function``."""
        if not self._wanted:
            return function

        def call(name: str, /, *args: P.args, **kwargs: P.kwargs) -> R:
            log = self._logs.setdefault(name, CallLog(self._clock))
            with log.recording():
                return function(name, *args, **kwargs)

        return call

    def added_to(self, results: dict[str, TargetResult]) -> dict[str, TargetResult]:
        """Return the results with their calls."""
        logs = self._logs
        return {
            name: logs[name].added_to(result) if name in logs else result
            for name, result in results.items()
        }
