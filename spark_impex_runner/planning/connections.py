"""The connections of one run: one client for each connection, one set of limits for each tenant."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from spark_impex_runner.errors import UsageError
from spark_impex_runner.limits import RunLimits, TenantLimits
from spark_impex_runner.models import Auth
from spark_impex_runner.spark.client import Spark
from spark_impex_runner.spark.running_jobs import RunningJobs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.models import Connection


@dataclass
class Connections:
    """Open each connection on first use, and close all of them at the end of the run."""

    settings: Mapping[str, Connection]
    clock: Clock
    masker: Masker
    jobs: int | None = None
    _open: dict[str, Spark] = field(default_factory=dict)
    _limits: dict[str, TenantLimits] = field(default_factory=dict)
    _running: dict[str, RunningJobs] = field(default_factory=dict)
    _run_limits: RunLimits = field(default_factory=RunLimits)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closing: ExitStack = field(default_factory=ExitStack)

    def client(self, name: str) -> Spark:
        """Return the client of a connection, without sending a request.

        Raises ``UsageError`` if the address or the credentials are missing.
        """
        with self._lock:
            if name not in self._open:
                connection = self._resolve_sandbox(name)
                try:
                    spark = Spark.connect(connection, self.clock, self.masker)
                except UsageError as error:
                    if len(self.settings) == 1:  # the message needs no name then
                        raise
                    raise UsageError(f"connection {name}: {error}") from error
                self._open[name] = self._closing.enter_context(spark)
            return self._open[name]

    def limits(self, name: str) -> TenantLimits:
        """Return the limits of a connection's tenant, shared by all connections to that tenant."""
        spark, connection = self.client(name), self.settings[name]
        with self._lock:
            # By address, not by name: the tenant counts jobs, whichever credentials created them.
            if spark.url not in self._limits:
                jobs, downloads = self.jobs or connection.jobs, connection.downloads
                self._limits[spark.url] = TenantLimits(self._run_limits, jobs, downloads)
            return self._limits[spark.url]

    def running(self, name: str) -> RunningJobs:
        """Return the running jobs of a connection's tenant, as its credentials see them."""
        spark = self.client(name)
        with self._lock:
            return self._running.setdefault(name, RunningJobs(spark.impex.exports))

    def running_beside(self, name: str) -> tuple[RunningJobs, ...]:
        """Return what other open connections to the same tenant see of its running jobs."""
        url = self.client(name).url
        with self._lock:
            others = [other for other, spark in self._open.items() if spark.url == url]
        return tuple(self.running(other) for other in others if other != name)

    def close(self) -> None:
        """Close every connection and stop every sandbox."""
        self._closing.close()

    def _resolve_sandbox(self, name: str) -> Connection:
        """Return the connection; one to a sandbox starts it, and gets its address and token."""
        connection = self.settings[name]
        if connection.sandbox is None:
            return connection
        # Loaded on use: a run on a real tenant does not need the sandbox.
        from spark_impex_runner.sandbox.server import Sandbox  # noqa: PLC0415

        try:
            sandbox = self._closing.enter_context(Sandbox(connection.sandbox))
        except (OSError, ValueError) as error:
            raise UsageError(f"connection {name}: cannot start the sandbox: {error}") from error
        auth = connection.auth or Auth(token=sandbox.token)
        return replace(connection, base_url=sandbox.base_url, auth=auth)
