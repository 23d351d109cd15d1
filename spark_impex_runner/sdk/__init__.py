"""The official SDK's ImpEx, for programs that change their import line only.

``import cspark.sdk as Spark`` becomes ``import spark_impex_runner.sdk as Spark``. Everything is
done by ``spark_impex_runner.Spark``; what the SDK has besides ImpEx raises ``OutsideImpExError``
where it is used.
"""

from __future__ import annotations

from typing import Any

from spark_impex_runner.errors import (
    ApiErrorCause,
    BadRequestError,
    ConflictError,
    ForbiddenError,
    GatewayTimeoutError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
    RetryTimeoutError,
    ServiceUnavailableError,
    SparkApiError,
    SparkError,
    SparkSdkError,
    UnauthorizedError,
    UnknownApiError,
    UnprocessableEntityError,
    UnsupportedMediaTypeError,
)
from spark_impex_runner.sdk.asynchronous import (
    AsyncClient,
    AsyncExport,
    AsyncImpEx,
    AsyncImport,
    AsyncMigration,
)
from spark_impex_runner.sdk.client import Client
from spark_impex_runner.sdk.config import BaseUrl, Config
from spark_impex_runner.sdk.impex import Export, ImpEx, Import, Migration
from spark_impex_runner.sdk.logger import LoggerOptions, get_logger
from spark_impex_runner.sdk.outside import NAMES, OutsideImpExError, placeholder
from spark_impex_runner.sdk.response import HttpResponse
from spark_impex_runner.version import __version__

__title__ = "spark-impex-runner"
about = f"{__title__} {__version__}"
sdk_version = __version__

__all__ = [
    "ApiErrorCause",
    "AsyncClient",
    "AsyncExport",
    "AsyncImpEx",
    "AsyncImport",
    "AsyncMigration",
    "BadRequestError",
    "BaseUrl",
    "Client",
    "Config",
    "ConflictError",
    "Export",
    "ForbiddenError",
    "GatewayTimeoutError",
    "HttpResponse",
    "ImpEx",
    "Import",
    "InternalServerError",
    "LoggerOptions",
    "Migration",
    "NotFoundError",
    "OutsideImpExError",
    "RateLimitError",
    "RetryTimeoutError",
    "ServiceUnavailableError",
    "SparkApiError",
    "SparkError",
    "SparkSdkError",
    "UnauthorizedError",
    "UnknownApiError",
    "UnprocessableEntityError",
    "UnsupportedMediaTypeError",
    "__title__",
    "__version__",
    "about",
    "get_logger",
    "sdk_version",
]


def __getattr__(name: str) -> Any:
    if name in NAMES:
        return placeholder(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
