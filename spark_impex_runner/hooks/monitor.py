"""Calls of plugins: name the plugin that failed, warn of slow calls, and trace each call.

Python cannot end a thread, so a plugin that hangs keeps its thread. All that the runner can do is
to name the plugin, and the option that runs without it.
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
# A logger of its own, so that -vv can turn on the trace alone.
TRACE = "spark_impex_runner.trace"
_trace = logging.getLogger(TRACE)

IMPORT = "import"
_LOADING = {IMPORT, "impex_register"}
# A call that lasts this long is warned of, and again each time its duration has doubled.
_LOADING_SECONDS = 10.0
_HOOK_SECONDS = 60.0
# How often the calls in progress are checked.
_CHECK_SECONDS = 1.0
# A longer text is not shown at all: cut, it could end in half a secret, which no masker finds.
_LONGEST = 200
_FEW = 5


class PluginRaisedError(PluginError):
    """A plugin raised an error that is none of ours; ``reason`` leaves out the plugin's name."""

    def __init__(self, plugin: PluginRef, what: str, error: BaseException) -> None:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        self.reason = f"{what} failed: {text}"
        super().__init__(f"plugin {plugin.label} failed in {what}: {text}{plugin.how_to_disable}")


@dataclass(frozen=True, slots=True)
class PluginRef:
    """A plugin as messages name it; the runner cannot do without an essential one."""

    name: str
    distribution: str = ""
    essential: bool = False

    @property
    def label(self) -> str:
        """The name, with the distribution in parentheses."""
        return f"{self.name} ({self.distribution})" if self.distribution else self.name

    @property
    def how_to_disable(self) -> str:
        """The end of a message: the option that runs without the plugin."""
        return "" if self.essential else f"; -p no:{self.name} runs without it"


@dataclass(slots=True, eq=False)
class _Call:
    """A call in progress; ``next_warning`` is the duration at which it is warned of next."""

    plugin: PluginRef
    what: str
    arguments: Mapping[str, Any]
    began: float = field(default_factory=time.monotonic)
    next_warning: float = field(init=False)
    result: Any = None
    thread: int = field(default_factory=threading.get_ident)

    def __post_init__(self) -> None:
        self.next_warning = _LOADING_SECONDS if self.what in _LOADING else _HOOK_SECONDS

    def __str__(self) -> str:
        text = ", ".join(f"{name}={_label_of(value)}" for name, value in self.arguments.items())
        return f"{self.what}({text})" if self.arguments else self.what

    @property
    def target(self) -> str:
        """The name of the target that the call works on, empty if it works on none."""
        job = self.arguments.get("job")
        return str(job.target.name) if job is not None else ""

    def describe(self) -> str:
        """Return the plugin, with the target and the step that it works on."""
        step = self.arguments.get("step")
        parts = [f"target {self.target}"] if self.target else []
        parts += [f"step {step.uses}"] if step is not None else []
        parts += [f"plugin {self.plugin.label}", *([] if step is not None else [self.what])]
        return ", ".join(parts)


class _LastAnswer(threading.local):
    """The last answer that a plugin gave on this thread, and that plugin."""

    answer: Any = None
    plugin = PluginRef("(none)")


class CallMonitor:
    """Monitors the calls of plugins on all threads."""

    def __init__(self) -> None:
        self._calls: set[_Call] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._last = _LastAnswer()

    @property
    def last_answer_from(self) -> PluginRef:
        """The plugin that gave the last answer of a hook on this thread."""
        return self._last.plugin

    def in_progress(self) -> list[_Call]:
        """Return the call on this thread, or all calls if a plugin's own thread asks."""
        calls, thread = list(self._calls), threading.get_ident()
        own = [each for each in calls if each.thread == thread]
        return sorted(own, key=lambda each: each.began)[-1:] or calls

    def monitored(
        self, plugin: PluginRef, hook: str, function: Callable[..., Any], names: tuple[str, ...]
    ) -> Callable[..., Any]:
        """Return a plugin's function with monitoring; ``names`` are its arguments'."""

        @wraps(function)
        def call(*values: Any) -> Any:
            arguments = dict(zip(names, values, strict=False))
            return self.run(plugin, hook, lambda: function(*values), arguments)

        return call

    def monitored_wrapper(
        self, plugin: PluginRef, hook: str, function: Callable[..., Any], names: tuple[str, ...]
    ) -> Callable[..., Any]:
        """Return a plugin's wrapper whose two halves are monitored, but not what it wraps."""

        @wraps(function)
        def wrapper(*values: Any) -> Generator[Any, Any, Any]:
            arguments = dict(zip(names, values, strict=False))
            inner = function(*values)

            def half(resume: Callable[[Any], Any], value: Any) -> _WrapperHalf:
                run = self.run(plugin, hook, lambda: _run_half(resume, value), arguments)
                return cast("_WrapperHalf", run)

            if half(inner.send, None).ended:
                raise _wrong_yields(plugin, hook)
            try:
                result = yield
            except BaseException as error:  # noqa: BLE001 - the wrapper decides what becomes of it
                second = half(inner.throw, error)
            else:
                second = half(inner.send, result)
            if second.passed:
                raise second.passed
            if not second.ended:
                raise _wrong_yields(plugin, hook)
            return second.result

        return wrapper

    def run(
        self,
        plugin: PluginRef,
        what: str,
        function: Callable[[], Any],
        arguments: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call a plugin, and turn each error but ours into ``PluginRaisedError``.

        ``SystemExit`` is turned, too: a plugin must not end the process.
        """
        call = _Call(plugin, what, arguments or {})
        try:
            with self._tracked(call):
                result = function()
                call.result = result.result if isinstance(result, _WrapperHalf) else result
                self._record_answer(call, wrapped=isinstance(result, _WrapperHalf))
        except ImpexError:
            raise
        except KeyboardInterrupt as error:
            # Python delivers Ctrl-C to the main thread only; elsewhere the plugin raised it.
            if threading.current_thread() is threading.main_thread():
                raise
            raise PluginRaisedError(plugin, what, error) from error
        except GeneratorExit as error:
            if what not in _LOADING:
                raise  # Python raises it in a wrapper that is closed early.
            raise PluginRaisedError(plugin, what, error) from error
        except BaseException as error:
            _log.debug("plugin %s failed in %s", plugin.name, what, exc_info=error)
            raise PluginRaisedError(plugin, what, error) from error
        return result

    def _record_answer(self, call: _Call, *, wrapped: bool) -> None:
        last = self._last
        # A wrapper that returns the very answer it was given did not make it.
        if call.result is not None and not (wrapped and call.result is last.answer):
            last.answer, last.plugin = call.result, call.plugin

    def timed(
        self, plugin: PluginRef, what: str, function: Callable[..., Any]
    ) -> Callable[..., Any]:
        """Return a function of a plugin's offer with a warning where it is slow.

        Its errors and results are left alone and out of the trace: a source returns secrets.
        """

        @wraps(function)
        def call(*values: Any, **options: Any) -> Any:
            with self._tracked(_Call(plugin, what, {})):
                return function(*values, **options)

        return call

    @contextmanager
    def _tracked(self, call: _Call) -> Iterator[None]:
        """Check a call while it is in progress, and trace it at its end."""
        with self._lock:
            self._calls.add(call)
            if self._thread is None:
                self._thread = threading.Thread(target=self._warn_until_idle, daemon=True)
                self._thread.start()
        ended = False
        try:
            yield
            ended = True
        finally:
            self._calls.discard(call)
            if _trace.isEnabledFor(logging.DEBUG):
                _trace_call(call, ended=ended)

    def warn_if_slow(self, now: float) -> None:
        """Log each call whose duration has reached its next warning."""
        for call in list(self._calls):
            seconds = now - call.began
            if seconds < call.next_warning:
                continue
            call.next_warning = 2 * seconds
            # A step may have hours of work; any other hook that is slow is broken or blocked.
            _log.log(
                logging.INFO if call.what == "impex_run_step" else logging.WARNING,
                "plugin %s has been in %s for %.0f s%s",
                call.plugin.label,
                call,
                seconds,
                call.plugin.how_to_disable,
                extra={"event": "plugin.slow"},
            )

    def _warn_until_idle(self) -> None:
        never = threading.Event()
        while not never.wait(_CHECK_SECONDS):
            # Under the lock: a call that is added now must find this thread, or start another.
            with self._lock:
                if not self._calls:
                    self._thread = None
                    return
            self.warn_if_slow(time.monotonic())


def _trace_call(call: _Call, *, ended: bool) -> None:
    outcome = "raised an error"
    if ended:
        outcome = _result_text(call.result) if call.what.startswith("impex_") else "done"
    seconds = time.monotonic() - call.began
    detail = {"plugin": call.plugin.name, "hook": call.what, "seconds": round(seconds, 6)}
    _trace.debug(
        "plugin %s: %s: %s, %.1f ms",
        call.plugin.label,
        call,
        outcome,
        seconds * 1000,
        extra={"event": "plugin.called", "detail": detail},
    )


@dataclass(frozen=True, slots=True)
class _WrapperHalf:
    """The outcome of half a wrapper; ``passed`` is the error that it let pass."""

    ended: bool = False
    result: Any = None
    passed: BaseException | None = None


def _run_half(resume: Callable[[Any], Any], value: Any) -> _WrapperHalf:
    """Resume a wrapper with a value, or with an error."""
    try:
        return _WrapperHalf(result=resume(value))
    except StopIteration as end:
        return _WrapperHalf(ended=True, result=end.value)
    except BaseException as error:
        if error is value:
            return _WrapperHalf(passed=error)
        raise


def _wrong_yields(plugin: PluginRef, hook: str) -> PluginError:
    return PluginError(f"plugin {plugin.label} failed in {hook}: a wrapper has to yield once")


def _result_text(value: Any) -> str:
    """Return a short text for a hook's result."""
    if isinstance(value, (list, tuple)):
        items = [_result_text(each) for each in value[:_FEW]]
        more = [f"{len(value) - _FEW} more"] if len(value) > _FEW else []
        return f"[{', '.join([*items, *more])}]"
    label, kind = _label_of(value), type(value).__name__
    plain = isinstance(value, (str, int, float, type(None), Enum)) or label == kind
    return label if plain else f"{kind} {label}"


def _label_of(value: Any) -> str:
    """Return a name for a value; a text is shown whole or not at all."""
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, str):
        return repr(value) if len(value) <= _LONGEST else f"a text of {len(value)} characters"
    if value is None or isinstance(value, (int, float)):
        return repr(value)
    for attribute in ("name", "uses", "event", "status", "exit_code", "checks", "provider"):
        found = getattr(value, attribute, None)
        if isinstance(found, (str, int)):
            return str(found)
    target = getattr(getattr(value, "target", None), "name", None)
    return str(target or getattr(value, "id", "") or type(value).__name__)
