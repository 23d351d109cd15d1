"""What stands between the runner and each plugin: it names, tells what takes long, and traces.

Python cannot end a thread, so a plugin that hangs keeps its thread; what can be done is to say who
it is, and how to run without it.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from functools import wraps
from typing import TYPE_CHECKING, Any, cast

from spark_impex_runner.errors import ImpexError, PluginError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

_log = logging.getLogger(__name__)
# A logger of its own, so that a trace can be asked for alone.
TRACE = "spark_impex_runner.trace"
_trace = logging.getLogger(TRACE)

IMPORT = "import"
_LOADING = {IMPORT, "impex_register"}
# After so many seconds a call is told of, and again each time when that time has doubled.
_LOADING_SECONDS = 10.0
_HOOK_SECONDS = 60.0
# Between two looks at the calls under way.
_TICK = 1.0
# Longer texts are not shown: to cut one could leave a piece of a secret that nobody masks.
_LONGEST = 200
_FEW = 5


class PluginRaisedError(PluginError):
    """A plugin raised what is no error of ours; ``reason`` tells it without the plugin's name."""

    def __init__(self, plugin: Named, what: str, error: BaseException) -> None:
        words = " ".join(f"{type(error).__name__}: {error}".split())
        self.reason = f"{what} failed: {words}"
        super().__init__(f"plugin {plugin.label} failed in {what}: {words}{plugin.cure}")


@dataclass(frozen=True, slots=True)
class Named:
    """A plugin as messages call it; an essential one cannot be run without."""

    name: str
    distribution: str = ""
    essential: bool = False

    @property
    def label(self) -> str:
        """The name, and whose it is."""
        return f"{self.name} ({self.distribution})" if self.distribution else self.name

    @property
    def cure(self) -> str:
        """The end of a message: how to go on without the plugin."""
        return "" if self.essential else f"; -p no:{self.name} runs without it"


@dataclass(slots=True, eq=False)
class _Call:
    """One call of a plugin; ``due`` is after how many seconds it is told of next."""

    plugin: Named
    what: str
    arguments: Mapping[str, Any]
    began: float = field(default_factory=time.monotonic)
    due: float = field(init=False)
    result: Any = None

    def __post_init__(self) -> None:
        """Choose the time: a plugin is loaded soon, or something is wrong."""
        self.due = _LOADING_SECONDS if self.what in _LOADING else _HOOK_SECONDS

    def __str__(self) -> str:
        told = ", ".join(f"{name}={_short(value)}" for name, value in self.arguments.items())
        return f"{self.what}({told})" if self.arguments else self.what


class _Last(threading.local):
    """The last answer that a thread got of a plugin, and whose it was."""

    answer: Any = None
    who = Named("(nobody)")


class Watch:
    """Watches the calls of plugins, on whatever thread they are."""

    def __init__(self) -> None:
        self._calls: set[_Call] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._last = _Last()

    @property
    def answered(self) -> Named:
        """Whose the last answer was that this thread got of a hook."""
        return self._last.who

    def watched(
        self, plugin: Named, hook: str, function: Callable[..., Any], names: tuple[str, ...]
    ) -> Callable[..., Any]:
        """Return a plugin's function, watched; ``names`` are its arguments'."""

        @wraps(function)
        def call(*values: Any) -> Any:
            arguments = dict(zip(names, values, strict=False))
            return self.run(plugin, hook, lambda: function(*values), arguments)

        return call

    def watched_wrapper(
        self, plugin: Named, hook: str, function: Callable[..., Any], names: tuple[str, ...]
    ) -> Callable[..., Any]:
        """Return a plugin's wrapper, whose two halves are watched; what it wraps is not."""

        @wraps(function)
        def halves(*values: Any) -> Generator[Any, Any, Any]:
            arguments = dict(zip(names, values, strict=False))
            inner = function(*values)

            def half(go_on: Callable[[Any], Any], value: Any) -> _Half:
                return cast("_Half", self.run(plugin, hook, lambda: _half(go_on, value), arguments))

            if half(inner.send, None).ended:
                raise _wrong_yields(plugin, hook)
            try:
                result = yield
            except BaseException as error:  # noqa: BLE001 - it goes to the wrapper, which may raise it
                second = half(inner.throw, error)
            else:
                second = half(inner.send, result)
            if second.passed:
                raise second.passed
            if not second.ended:
                raise _wrong_yields(plugin, hook)
            return second.result

        return halves

    def run(
        self,
        plugin: Named,
        what: str,
        function: Callable[[], Any],
        arguments: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call a plugin. What it raises, but for our own errors, becomes a ``PluginRaisedError``.

        ``SystemExit`` does, too: a plugin does not end the process.
        """
        call = _Call(plugin, what, arguments or {})
        try:
            with self._during(call):
                result = function()
                call.result = result.result if isinstance(result, _Half) else result
                self._note(call, passing=isinstance(result, _Half))
        except ImpexError:
            raise
        except KeyboardInterrupt as error:
            # Ctrl-C reaches the main thread only.
            if threading.current_thread() is threading.main_thread():
                raise
            raise PluginRaisedError(plugin, what, error) from error
        except GeneratorExit as error:
            if what not in _LOADING:
                raise  # a wrapper is being closed
            raise PluginRaisedError(plugin, what, error) from error
        except BaseException as error:
            _log.debug("plugin %s failed in %s", plugin.name, what, exc_info=error)
            raise PluginRaisedError(plugin, what, error) from error
        return result

    def _note(self, call: _Call, *, passing: bool) -> None:
        """Remember whose an answer is; a wrapper may be ``passing`` on what another one gave."""
        last = self._last
        if call.result is not None and not (passing and call.result is last.answer):
            last.answer, last.who = call.result, call.plugin

    def timed(self, plugin: Named, what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that a plugin offers, which is told of where it takes long.

        What it raises and returns is for whoever asked for it, and may be a secret.
        """

        @wraps(function)
        def call(*values: Any, **named: Any) -> Any:
            with self._during(_Call(plugin, what, {})):
                return function(*values, **named)

        return call

    @contextmanager
    def _during(self, call: _Call) -> Iterator[None]:
        """Look at a call while it is under way, and trace it at its end."""
        with self._lock:
            self._calls.add(call)
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep_looking, daemon=True)
                self._thread.start()
        ended = "raised an error"
        try:
            yield
            ended = _result(call.result) if call.what.startswith("impex_") else "done"
        finally:
            self._calls.discard(call)
            _tell(call, ended)

    def look(self, now: float) -> None:
        """Tell of each call that has been under way for long."""
        for call in list(self._calls):
            seconds = now - call.began
            if seconds < call.due:
                continue
            call.due = 2 * seconds
            # A step may have a day's work to do; all else is quick, or something is wrong.
            level = logging.INFO if call.what == "impex_run_step" else logging.WARNING
            _log.log(
                level,
                "plugin %s has been in %s for %.0f s%s",
                call.plugin.label,
                call,
                seconds,
                call.plugin.cure,
                extra={"event": "plugin.slow"},
            )

    def _keep_looking(self) -> None:
        never = threading.Event()
        while not never.wait(_TICK):
            with self._lock:
                if not self._calls:
                    self._thread = None
                    return
            self.look(time.monotonic())


def _tell(call: _Call, ended: str) -> None:
    """Trace a call; the log's filter masks what it says."""
    if not _trace.isEnabledFor(logging.DEBUG):
        return
    seconds = time.monotonic() - call.began
    detail = {"plugin": call.plugin.name, "hook": call.what, "seconds": round(seconds, 6)}
    _trace.debug(
        "plugin %s: %s: %s, %.1f ms",
        call.plugin.label,
        call,
        ended,
        seconds * 1000,
        extra={"event": "plugin.called", "detail": detail},
    )


@dataclass(frozen=True, slots=True)
class _Half:
    """How one half of a wrapper went: it may have let the error pass that was raised in it."""

    ended: bool = False
    result: Any = None
    passed: BaseException | None = None


def _half(go_on: Callable[[Any], Any], value: Any) -> _Half:
    """Run one half of a wrapper, with a value or an error that it is to see."""
    try:
        return _Half(result=go_on(value))
    except StopIteration as end:
        return _Half(ended=True, result=end.value)
    except BaseException as error:
        if error is value:
            return _Half(passed=error)
        raise


def _wrong_yields(plugin: Named, hook: str) -> PluginError:
    return PluginError(f"plugin {plugin.label} failed in {hook}: a wrapper has to yield once")


def _result(value: Any) -> str:
    """Return a result in a few words."""
    if isinstance(value, (list, tuple)):
        shown = [_result(each) for each in value[:_FEW]]
        more = [f"{len(value) - _FEW} more"] if len(value) > _FEW else []
        return f"[{', '.join([*shown, *more])}]"
    short = _short(value)
    named = isinstance(value, (str, int, float, type(None), Enum)) or short == type(value).__name__
    return short if named else f"{type(value).__name__} {short}"


def _short(value: Any) -> str:
    """Return what people call a thing; a text is shown as a whole or not at all."""
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, str):
        return repr(value) if len(value) <= _LONGEST else f"a text of {len(value)} characters"
    if value is None or isinstance(value, (int, float)):
        return repr(value)
    for attribute in ("name", "uses", "event", "word", "exit_code", "checks", "provider"):
        found = getattr(value, attribute, None)
        if isinstance(found, (str, int)):
            return str(found)
    target = getattr(getattr(value, "target", None), "name", None)
    return str(target or getattr(value, "id", "") or type(value).__name__)
