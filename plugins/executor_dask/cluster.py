"""A Dask cluster as an executor, whose workers tell the run what happens."""

from __future__ import annotations

import logging
import pickle
import threading
import uuid
from concurrent.futures import Executor
from functools import partial
from typing import TYPE_CHECKING, Any

import distributed

from spark_impex_runner import errors

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

_log = logging.getLogger(__name__)
_dask: Any = distributed  # partly typed

# What they log as tracebacks also comes back as the error of a task.
_NOISY = ("distributed", "distributed.client", "tornado.application")
# Seconds until a scheduler that does not answer is an error.
_TIMEOUT = 10


class Cluster(Executor):
    """The workers of a Dask cluster; a task whose worker dies is run by another one."""

    def __init__(self, address: str) -> None:
        for name in _NOISY:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            self._client = _dask.Client(address, timeout=_TIMEOUT, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            reason = " ".join(str(error.__cause__ or error).split()) or "no answer"
            raise errors.UsageError(
                f"--executor dask:{address}: no Dask scheduler can be reached there ({reason}); "
                "check the address and the network"
            ) from error
        if not self._client.nthreads():
            _log.warning("the Dask cluster at %s has no workers; waiting for one", address)
        # A task has side effects: Dask must not take two equal ones for one.
        self._executor = self._client.get_executor(pure=False)
        self._topics: list[str] = []

    def connect_events(self, receive: Callable[[str], None]) -> Callable[[str], None]:
        """Return the function by which a worker calls ``receive`` in this process."""
        topic = f"impex-{uuid.uuid4().hex}"
        self._client.subscribe_topic(topic, lambda event: receive(event[1]))
        self._topics.append(topic)
        return EventSender(topic)

    def call_workers(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call a function in the process of each worker, without waiting for any."""
        # On a thread: a worker may be out of reach. Dask's own ``wait=False`` is for coroutines.
        call = partial(self._client.run, function, *arguments, on_error="ignore")
        threading.Thread(target=call, name="impex-dask-call", daemon=True).start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a function on a worker, when one has a free thread."""
        # Packed: the scheduler unpacks what it is given, and need not have the runner installed.
        future: Future[Any] = self._executor.submit(run_packed, pickle.dumps((fn, args, kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster, which goes on without the run."""
        self._executor.shutdown(wait and not cancel_futures)
        for topic in self._topics:
            self._client.unsubscribe_topic(topic)
        self._client.close()


def run_packed(packed: bytes) -> Any:
    """Run a packed function; of all that the runner has, this alone is sent as code."""
    import pickle  # noqa: PLC0415 - it is sent without this module's names

    function, arguments, options = pickle.loads(packed)  # noqa: S301 - from the run
    return function(*arguments, **options)


# Functions of this module are pickled as code, not by their name.
run_packed.__module__ = "__main__"


class EventSender:
    """Sends texts to the run from a task on a worker, by way of the scheduler."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._worker: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        return EventSender, (self._topic,)

    def __call__(self, text: str) -> None:
        """Send a text; the first one on the thread of the task, which alone knows its worker."""
        self._worker = self._worker or _dask.get_worker()
        self._worker.log_event(self._topic, text)
