"""Record the HTTP calls of a target, or of a run's planning, for notifiers that ask for them.

The log is a context variable: a helper thread has the one of the thread that started it.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING, Final, TypeVar

from spark_impex_runner.errors import ImpexError
from spark_impex_runner.masking import Masker
from spark_impex_runner.models import HttpCall, RunResult, TargetResult
from spark_impex_runner.spark.http.message import HttpRequest
from spark_impex_runner.spark.http.urls import split
from spark_impex_runner.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

    from spark_impex_runner.clock import Clock

_Result = TypeVar("_Result", RunResult, TargetResult)
# A job that is polled for hours must not fill the memory.
MOST: Final = 1000


class CallLog:
    """The newest HTTP calls that began in its ``recording`` blocks; threads may share it."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._newest: deque[HttpCall] = deque(maxlen=MOST)
        self._count = 0
        self._lock = threading.Lock()

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record the calls of the block, and of threads that have a copy of its context."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def add(self, call: HttpCall) -> None:
        """Add a call that has ended."""
        with self._lock:
            self._newest.append(call)
            self._count += 1

    def calls(self) -> tuple[HttpCall, ...]:
        """Return the calls so far, in the order in which they began."""
        with self._lock:
            return tuple(sorted(self._newest, key=attrgetter("started")))

    def added_to(self, result: _Result) -> _Result:
        """Return a result with the calls so far, and the number of those that were dropped."""
        calls = self.calls()
        omitted = self._count - len(calls)
        return replace(result, http_calls=calls, http_calls_omitted=omitted)


_current: ContextVar[CallLog | None] = ContextVar("impex_http_calls", default=None)


class CallRecord:
    """One HTTP call in progress, which goes to the log of its context, if there is one.

    A context manager that calls ``end``. Set ``status`` when the reply is there.
    """

    def __init__(self, request: HttpRequest, masker: Masker) -> None:
        self.status = 0
        self._request = request
        self._masker = masker
        self._log = _current.get()
        if self._log:
            self._started = self._log.clock.now()
            self._since = self._log.clock.monotonic()

    def end(self, error: BaseException | None = None) -> None:
        """Record the call unless it is recorded; ``error`` is why its reply is not complete."""
        log, self._log = self._log, None
        if not log:
            return
        text = self._masker.mask(one_line(str(error))) if isinstance(error, ImpexError) else ""
        log.add(
            HttpCall(
                self._request.method,
                # One text for the hundreds of status requests of a job.
                sys.intern(_shown_url(self._request)),
                self._started,
                log.clock.monotonic() - self._since,
                self.status,
                text,
            )
        )

    @contextmanager
    def ended_by_errors(self) -> Iterator[None]:
        """End with an error of the block, else leave the end to the reader of the reply."""
        try:
            yield
        except BaseException as error:
            self.end(error)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self.end(error)


def _shown_url(request: HttpRequest) -> str:
    """Return the URL of a request without anything that may be secret."""
    parts = split(request.url)
    host = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return f"{host}{parts.path}" if request.public_path else host


# For a reply that is part of another record; no log exists when this module is imported.
UNRECORDED: Final = CallRecord(HttpRequest("", "", {}), Masker())
