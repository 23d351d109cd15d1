"""Read small objects below one address, and write them conditionally."""

from __future__ import annotations

import logging
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import obstore
from obstore import exceptions

from spark_impex_runner.blocking import AT_LEAST, CALLS, END, Background, mark_abandoned
from spark_impex_runner.clock import Clock
from spark_impex_runner.errors import (
    Interrupted,
    StateError,
    StateUnavailableError,
    UsageError,
)
from spark_impex_runner.object_store.clients import bucket
from spark_impex_runner.state.remote.failures import explained, is_bucket_missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from spark_impex_runner.object_store.address import Address

_log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

# An object has a few KiB. The lease lasts a minute: no request may take much of it.
_TIMEOUTS = {"timeout": "15s", "connect_timeout": "5s"}
_RETRIES = {"max_retries": 8, "retry_timeout": timedelta(seconds=40)}
# Refusals of a write without a reason, after which it is given up.
_CONFLICTS = 5
# Seconds for a request that is sent after the run was stopped, to record how it ended.
_LAST = 1.0


class RefusedError(Exception):
    """The object is not the one that a conditional write expects; ``found`` is what is there."""

    def __init__(self, found: Found | None = None) -> None:
        super().__init__("the condition of a write was not met")
        self.found = found


@dataclass(frozen=True, slots=True)
class Found:
    """An object: its bytes, what identifies this version of it, and the store's time of it."""

    data: bytes
    version: Mapping[str, str]
    modified: datetime


def _interruptible(
    method: Callable[Concatenate[Objects, P], R],
) -> Callable[Concatenate[Objects, P], R]:
    """Send a method's requests on another thread: no signal reaches Python within obstore."""

    @wraps(method)
    def call(self: Objects, /, *args: P.args, **options: P.kwargs) -> R:
        return self.interruptible(lambda: method(self, *args, **options))

    return call


class Objects:
    """The objects below one address.

    Soon after ``clock`` was stopped its methods raise ``Interrupted`` instead of waiting for a
    store that does not reply; that store is not asked again.
    """

    def __init__(self, address: Address, clock: Clock | None = None) -> None:
        self.place = str(address)
        self._clock = clock or Clock()
        # Acquired by the first request that was abandoned.
        self._silent = threading.Lock()
        self._address = address
        self._root = f"{address.path}/" if address.path else ""
        with self._translated_errors():
            opened = bucket(address.scheme, address.bucket, {})
            self._store = opened.open(_TIMEOUTS, _RETRIES)
            # For what is repeated anyway, or must not be repeated for long.
            self._once = opened.open(_TIMEOUTS, {**_RETRIES, "max_retries": 0})

    def interruptible(self, send: Callable[[], R]) -> R:
        """Return the result of a request, or raise ``Interrupted`` soon after a stop."""
        clock, now = self._clock, time.monotonic()
        grace = min(max(CALLS, now - clock.stopped_at + _LAST), END)
        try:
            if not self._silent.locked():
                call = Background(send)
                if call.wait(lambda: max(clock.stopped_at + grace, now + AT_LEAST), clock):
                    return call.result()
        except KeyboardInterrupt:
            mark_abandoned()
            clock.stop(signal.SIGINT)  # what ends the command now must not wait, either
            raise
        if self._silent.acquire(blocking=False):
            mark_abandoned()
            _log.warning("%s did not reply after the signal and was abandoned", self.place)
        raise Interrupted(clock.signum, unanswered=True)

    @_interruptible
    def get(self, key: str, *, once: bool = False) -> Found | None:
        """Return an object, None if there is none."""
        with self._translated_errors():
            try:
                found = obstore.get(self._once if once else self._store, self._root + key)
                data = bytes(found.bytes())
            except FileNotFoundError as error:
                if is_bucket_missing(error):
                    raise
                return None
        return Found(data, _version(found.meta), found.meta["last_modified"])

    @_interruptible
    def put(
        self, key: str, data: bytes, expected: Mapping[str, str] | None, *, once: bool = False
    ) -> Mapping[str, str]:
        """Write an object in place of the ``expected`` version, None for a new one.

        Raises ``RefusedError`` if another version, or none, is there.
        """
        mode: Any = "create" if expected is None else dict(expected)
        store = self._once if once else self._store
        with self._translated_errors():
            try:
                made = obstore.put(store, self._root + key, data, mode=mode, use_multipart=False)
            except (exceptions.AlreadyExistsError, exceptions.PreconditionError) as error:
                raise RefusedError from error
            except FileNotFoundError as error:
                if is_bucket_missing(error):
                    raise
                raise RefusedError from error
        return _version(made)

    @_interruptible
    def put_always(self, key: str, data: bytes) -> None:
        """Write an object in place of any other."""
        with self._translated_errors():
            obstore.put(self._store, self._root + key, data, use_multipart=False)

    @_interruptible
    def list(self, folder: str) -> dict[str, Mapping[str, str]]:
        """Return the keys below a folder, with the version of each."""
        with self._translated_errors():
            found = obstore.list(self._store, self._root + folder).collect()
        return {each["path"].removeprefix(self._root): _version(each) for each in found}

    @_interruptible
    def has(self, folder: str) -> bool:
        """Return whether there is any object below a folder."""
        with self._translated_errors():
            return any(obstore.list(self._store, self._root + folder, chunk_size=1))

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except UsageError as error:
            raise StateError(f"{self.place}: {error}") from error
        except (exceptions.BaseError, FileNotFoundError) as error:
            raise explained(error, self._address) from error


def _version(meta: Any) -> Mapping[str, str]:
    # Google compares the generation, the others the ETag.
    return {name: meta[name] for name in ("e_tag", "version") if meta[name]}


def write(
    objects: Objects, key: str, data: bytes, nonce: str, expected: Mapping[str, str] | None
) -> Mapping[str, str]:
    """Write an object conditionally, and recognise the own write after a lost reply.

    ``data`` contains the ``nonce``, which no other write has. Raises ``RefusedError`` with what is
    there instead of the ``expected`` version.
    """
    for _ in range(_CONFLICTS):
        try:
            return objects.put(key, data, expected)
        except RefusedError:
            found = objects.get(key)
        if found and nonce.encode() in found.data:
            return found.version
        # S3 refuses a write that meets another request, even where nothing has changed.
        if (found.version if found else None) != expected:
            raise RefusedError(found)
    raise StateUnavailableError(
        f"{objects.place}/{key}: the store refuses each write; try again later"
    )
