"""The SDK's ``ImpEx`` with ``Export``, ``Import`` and ``Migration``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

from spark_impex_runner.sdk.logger import get_logger
from spark_impex_runner.sdk.outside import Partial
from spark_impex_runner.sdk.translate import answering

if TYPE_CHECKING:
    import logging

    from spark_impex_runner.sdk.config import Config
    from spark_impex_runner.spark.client import Spark

NOT_IMPLEMENTED: Final = (
    "migrate() is not implemented, as in the official SDK; call exports and imports, or run a "
    "manifest with the step import"
)


class JobResource(Partial):
    """What both kinds of jobs have: a configuration, and no requests of another kind."""

    OUTSIDE = frozenset({"request", "default_headers"})

    def __init__(self, config: Config) -> None:
        self.config = config

    @property
    def logger(self) -> logging.Logger:
        """The logger of the configuration, for messages of the program's own."""
        return get_logger(**vars(self.config.logger))

    @property
    def base_uri(self) -> dict[str, str]:
        """The tenant's address and the version of the API."""
        return {"base_url": self.config.base_url.full, "version": "api/v4"}


class Export(JobResource):
    """Export jobs: the methods of ``Spark.impex.exports``."""

    def __init__(self, config: Config, spark: Spark) -> None:
        super().__init__(config)
        exports = spark.impex.exports
        self.describe = answering(exports.describe)
        self.initiate = answering(exports.initiate)
        self.get_status = answering(exports.get_status)
        self.cancel = answering(exports.cancel)
        self.download = answering(exports.download)


class Import(JobResource):
    """Import jobs: the methods of ``Spark.impex.imports``."""

    def __init__(self, config: Config, spark: Spark) -> None:
        super().__init__(config)
        imports = spark.impex.imports
        self.describe = answering(imports.describe)
        self.initiate = answering(imports.initiate)
        self.get_status = answering(imports.get_status)


class ImpEx:
    """Exports and imports of one tenant: the methods of ``Spark.impex``."""

    def __init__(self, config: Config, spark: Spark) -> None:
        self.config = config
        self._spark = spark
        self.exp = self.export = answering(spark.impex.export)
        self.imp = self.import_ = answering(spark.impex.import_)

    @staticmethod
    def only(config: Config, http_client: Any = None) -> ImpEx:  # noqa: ARG004 - the SDK's signature
        """Return the resource of a configuration; ``http_client`` is accepted and not used."""
        return ImpEx(config, config.open())

    @staticmethod
    def migration(exports: Config, imports: Config, http_client: Any = None) -> Migration:  # noqa: ARG004
        """Return the exports of one tenant with the imports of another."""
        return Migration(exports, imports)

    def close(self) -> None:
        """Close the connections."""
        self._spark.close()

    @property
    def exports(self) -> Export:
        """The single calls of an export."""
        return Export(self.config, self._spark)

    @property
    def imports(self) -> Import:
        """The single calls of an import."""
        return Import(self.config, self._spark)


class Migration:
    """The exports of one tenant, and the imports of another."""

    def __init__(self, exports: Config, imports: Config) -> None:
        self._sparks = exports.open(), imports.open()
        self.exports = Export(exports, self._sparks[0])
        self.imports = Import(imports, self._sparks[1])

    def close(self) -> None:
        """Close the connections."""
        for each in self._sparks:
            each.close()

    def migrate(self) -> NoReturn:
        """Raise ``NotImplementedError``, as the official SDK does."""
        raise NotImplementedError(NOT_IMPLEMENTED)
