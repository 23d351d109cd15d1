"""The SDK's ``AsyncClient``: the same calls, each on a thread with a client of its own."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

from spark_impex_runner.sdk.client import Client, TenantClient
from spark_impex_runner.sdk.impex import NOT_IMPLEMENTED, JobResource
from spark_impex_runner.sdk.translate import answering

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from typing_extensions import Self

    from spark_impex_runner.sdk.config import Config
    from spark_impex_runner.spark.client import Spark

P = ParamSpec("P")
R = TypeVar("R")


def _awaited(
    config: Config, method: Callable[[Spark], Callable[P, R]]
) -> Callable[P, Awaitable[R]]:
    """Return a coroutine function that calls a method of ``Spark`` on a thread.

    Its client is not shared, only its token: so a task that is cancelled ends only its own
    requests, and the job of its export.
    """

    async def call(*arguments: P.args, **named: P.kwargs) -> R:
        spark = config.open_another()

        def work() -> R:
            with spark:
                return method(spark)(*arguments, **named)

        try:
            return await asyncio.to_thread(work)
        except asyncio.CancelledError:
            spark.clock.stop(signal.SIGINT)
            raise

    return call


class AsyncExport(JobResource):
    """Export jobs: the methods of ``Spark.impex.exports`` as coroutines."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.describe = _awaited(config, lambda spark: answering(spark.impex.exports.describe))
        self.initiate = _awaited(config, lambda spark: answering(spark.impex.exports.initiate))
        self.get_status = _awaited(config, lambda spark: answering(spark.impex.exports.get_status))
        self.cancel = _awaited(config, lambda spark: answering(spark.impex.exports.cancel))
        self.download = _awaited(config, lambda spark: answering(spark.impex.exports.download))


class AsyncImport(JobResource):
    """Import jobs: the methods of ``Spark.impex.imports`` as coroutines."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.describe = _awaited(config, lambda spark: answering(spark.impex.imports.describe))
        self.initiate = _awaited(config, lambda spark: answering(spark.impex.imports.initiate))
        self.get_status = _awaited(config, lambda spark: answering(spark.impex.imports.get_status))


class AsyncImpEx:
    """Exports and imports of one tenant: the methods of ``Spark.impex`` as coroutines."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.exp = self.export = _awaited(config, lambda spark: answering(spark.impex.export))
        self.imp = self.import_ = _awaited(config, lambda spark: answering(spark.impex.import_))

    @staticmethod
    def only(config: Config, http_client: Any = None) -> AsyncImpEx:  # noqa: ARG004 - not used
        """Return the resource of a configuration; ``http_client`` is accepted and not used."""
        return AsyncImpEx(config)

    @staticmethod
    def migration(
        exports: Config,
        imports: Config,
        http_client: Any = None,  # noqa: ARG004 - accepted and not used
    ) -> AsyncMigration:
        """Return the exports of one tenant with the imports of another."""
        return AsyncMigration(exports, imports)

    @property
    def exports(self) -> AsyncExport:
        """The single calls of an export."""
        return AsyncExport(self.config)

    @property
    def imports(self) -> AsyncImport:
        """The single calls of an import."""
        return AsyncImport(self.config)

    async def describe(self, *, as_json: bool = False) -> Any:
        """Return the listings of exports and imports: two replies, or their data by name."""
        both = await asyncio.gather(self.exports.describe(), self.imports.describe())
        return {"exports": both[0].data, "imports": both[1].data} if as_json else both


class AsyncMigration:
    """The exports of one tenant, and the imports of another."""

    def __init__(self, exports: Config, imports: Config) -> None:
        self.exports = AsyncExport(exports)
        self.imports = AsyncImport(imports)

    async def migrate(self) -> NoReturn:
        """Raise ``NotImplementedError``, as the official SDK does."""
        raise NotImplementedError(NOT_IMPLEMENTED)


class AsyncClient(TenantClient):
    """A client of one tenant for asyncio; see ``TenantClient`` for its arguments."""

    @property
    def impex(self) -> AsyncImpEx:
        """Exports and imports."""
        return AsyncImpEx(self.config)

    @staticmethod
    async def download(url: str, auth: Any = None) -> bytes:
        """Return the file at a URL, as ``Client.download`` does."""
        return await asyncio.to_thread(Client.download, url, auth)

    async def close(self) -> None:
        """Do nothing: each call has closed its connections."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
