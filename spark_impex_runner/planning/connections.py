"""The tenants of one run: each connection is opened once, each tenant has its limits once."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from spark_impex_runner.errors import SparkError, TransportError, UsageError
from spark_impex_runner.limits import RunLimits, TenantLimits
from spark_impex_runner.models import Auth
from spark_impex_runner.spark.client import Spark

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.models import Connection

_log = logging.getLogger(__name__)


def ask_job_limit(spark: Spark) -> int:
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
    _limits: dict[str, TenantLimits] = field(default_factory=dict)
    _run_limits: RunLimits = field(default_factory=RunLimits)
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

    def limits(self, name: str) -> TenantLimits:
        """Return the limits of a connection's tenant; two connections to one tenant share them."""
        spark, connection = self.connect(name), self.connections[name]
        with self._lock:
            if spark.url not in self._limits:
                jobs, downloads = self.jobs or connection.jobs, connection.downloads
                self._limits[spark.url] = TenantLimits(self._run_limits, jobs, downloads)
            return self._limits[spark.url]

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
