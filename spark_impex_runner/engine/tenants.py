"""The tenants of one run: each connection is opened once, each tenant has one queue."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from spark_impex_runner.engine.course import Gate, Pool
from spark_impex_runner.errors import SparkError, TransportError, UsageError
from spark_impex_runner.models import Auth
from spark_impex_runner.spark.client import Spark

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.models import Connection

_log = logging.getLogger(__name__)


class Lane:
    """The gates of one tenant, in the order in which a job comes to them.

    ``slots``: as many export jobs at once as the tenant allows. ``creating``: one create call at
    a time, with its look-ups, so that two targets that share a correlation id cannot take each
    other's job. ``arrivals``: so many finished jobs may be on their way home; the next one keeps
    its slot until there is room. ``downloads``: files at once.
    """

    def __init__(self, jobs: int | None, downloads: int) -> None:
        self._known = jobs is not None
        self.slots = Gate(jobs or 1)
        self.creating = Gate(1)
        self.arrivals = Gate(downloads)
        self.downloads = Gate(downloads, Pool.DOWNLOADS)

    def learn(self, spark: Spark) -> None:
        """Ask the tenant once how many jobs it allows; to be called inside of ``slots``."""
        if not self._known:
            self._known = True
            self.slots.widen(_ask_limit(spark) - 1)


def _ask_limit(spark: Spark) -> int:
    """Ask the tenant how many export jobs it allows; one when it does not say.

    Raises ``TransportError`` where the tenant cannot be reached at all.
    """
    try:
        return spark.impex.exports.job_limit()
    except SparkError as error:
        if isinstance(error, TransportError) and error.permanent:
            raise
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
                connection = self._located(name)
                try:
                    spark = Spark.connect(connection, self.clock, self.masker)
                except UsageError as error:
                    if len(self.connections) == 1:
                        raise
                    raise UsageError(f"connection {name}: {error}") from error
                self._open[name] = self._closing.enter_context(spark)
            return self._open[name]

    def lane(self, name: str) -> Lane:
        """Return the queue of a connection's tenant; two connections to one tenant share it."""
        spark, connection = self.connect(name), self.connections[name]
        with self._lock:
            if spark.url not in self._lanes:
                jobs = self.jobs or connection.jobs
                self._lanes[spark.url] = Lane(jobs, connection.downloads)
            return self._lanes[spark.url]

    def close(self) -> None:
        """Close every connection and stop every sandbox."""
        self._closing.close()

    def _located(self, name: str) -> Connection:
        """Start the connection's sandbox, if it is one, and point the connection at it."""
        connection = self.connections[name]
        if connection.sandbox is None:
            return connection
        # A run on a real tenant needs no emulated one.
        from spark_impex_runner.sandbox.server import Sandbox  # noqa: PLC0415

        try:
            sandbox = self._closing.enter_context(Sandbox(connection.sandbox))
        except (OSError, ValueError) as error:
            raise UsageError(f"connection {name}: cannot serve a sandbox: {error}") from error
        auth = connection.auth or Auth(token=sandbox.token)
        return replace(connection, sandbox=None, base_url=sandbox.base_url, auth=auth)
