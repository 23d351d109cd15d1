"""The tenants of one run: each connection is opened once, each tenant has one queue."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from spark_impex_runner.errors import SparkError, UsageError
from spark_impex_runner.models import Auth
from spark_impex_runner.sandbox.server import Sandbox
from spark_impex_runner.spark.client import Spark

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.models import Connection

_log = logging.getLogger(__name__)

_MOST_JOBS = 16


class Lane:
    """One tenant's queue: as many export jobs at once as the tenant allows."""

    def __init__(self, jobs: int | None, downloads: int) -> None:
        self._jobs = jobs
        self._downloads = threading.BoundedSemaphore(downloads)
        self._slots: threading.BoundedSemaphore | None = None
        self._opening = threading.Lock()
        # One create call at a time, with its look-ups: so two targets that share a correlation id
        # cannot take each other's job.
        self.creating = threading.Lock()
        # A worker for each job in flight and for each download behind it. What the tenant allows
        # is asked later; workers that nobody needs are never started.
        self.workers = (jobs or _MOST_JOBS) + downloads

    @contextmanager
    def job_slot(self, spark: Spark) -> Iterator[None]:
        """Hold one of the tenant's export slots."""
        with self._opening:
            if self._slots is None:
                self._slots = threading.BoundedSemaphore(self._jobs or _ask_limit(spark))
        with self._slots:
            yield

    @contextmanager
    def download_slot(self) -> Iterator[None]:
        """Hold one of the connection's download slots."""
        with self._downloads:
            yield


def _ask_limit(spark: Spark) -> int:
    """Ask the tenant how many export jobs it allows; one when it does not say."""
    try:
        return spark.impex.exports.job_limit()
    except SparkError as error:
        # Whatever is wrong will be told again, and better, by the create call.
        _log.debug("the job limit of %s could not be read, taking 1: %s", spark.url, error)
        return 1


@dataclass
class Tenants:
    """Opens connections on first use and closes them with the run."""

    connections: Mapping[str, Connection]
    clock: Clock
    masker: Masker
    jobs: int | None = None
    _open: dict[str, Spark] = field(default_factory=dict)
    _lanes: dict[str, Lane] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closing: ExitStack = field(default_factory=ExitStack)

    def connect(self, name: str) -> Spark:
        """Return the open client of a connection. Sends nothing to the tenant.

        Raises ``UsageError`` when the address or the credentials are missing.
        """
        with self._lock:
            if name not in self._open:
                spark = Spark.connect(self._located(name), self.clock, self.masker)
                self._open[name] = self._closing.enter_context(spark)
            return self._open[name]

    def lane(self, name: str) -> Lane:
        """Return the queue of a connection's tenant; two connections to one tenant share it."""
        spark, connection = self.connect(name), self.connections[name]
        with self._lock:
            made = Lane(self.jobs or connection.jobs, connection.downloads)
            return self._lanes.setdefault(spark.url, made)

    def close(self) -> None:
        """Close every connection and stop every sandbox."""
        self._closing.close()

    def _located(self, name: str) -> Connection:
        """Start the connection's sandbox, if it is one, and point the connection at it."""
        connection = self.connections[name]
        if connection.sandbox is None:
            return connection
        try:
            sandbox = self._closing.enter_context(Sandbox(connection.sandbox))
        except (OSError, ValueError) as error:
            raise UsageError(f"connection {name}: cannot serve a sandbox: {error}") from error
        auth = connection.auth or Auth(token=sandbox.token)
        return replace(connection, sandbox=None, base_url=sandbox.base_url, auth=auth)
