"""The SDK's ``Client``: one tenant, and its ImpEx."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, NoReturn

from spark_impex_runner.errors import SparkSdkError
from spark_impex_runner.masking import Masker
from spark_impex_runner.sdk.config import Config
from spark_impex_runner.sdk.impex import ImpEx
from spark_impex_runner.sdk.outside import Partial, outside
from spark_impex_runner.spark.http.message import HttpRequest
from spark_impex_runner.spark.http.response import HttpResponse, api_error
from spark_impex_runner.spark.tenant import is_safe_to_call

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from spark_impex_runner.sdk.config import Options

_log = logging.getLogger(__name__)
_NOT_USED: Final = (
    "http_client is accepted but not used: requests are sent by the runner's own client; a proxy "
    "comes from HTTPS_PROXY, a CA bundle from the argument verify_tls"
)


class TenantClient(Partial):
    """What both clients have: a configuration, and no other resource than ImpEx.

    Arguments are those of the official SDK, and ``verify_tls`` (False, or the path of a CA bundle).
    ``http_client`` is accepted and not used. Sends nothing. Raises ``SparkError`` for arguments
    that cannot be used.
    """

    OUTSIDE = frozenset(
        {"folders", "services", "batches", "logs", "transforms", "health", "files", "wasm"}
    )

    def __init__(
        self,
        *,
        http_client: Any = None,
        config: Config | None = None,
        **options: Unpack[Options],
    ) -> None:
        self.config = config or Config(**options)
        self.http_client = http_client
        if http_client is not None:
            _log.warning(_NOT_USED)

    @classmethod
    def use(cls, config: Config, http_client: Any = None) -> Self:
        """Return a client of an existing configuration."""
        return cls(config=config, http_client=http_client)

    @staticmethod
    def health_check(*_: Any, **__: Any) -> NoReturn:
        """Raise ``OutsideImpExError``."""
        outside("Client.health_check")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.config.base_url.full!r})"


class Client(TenantClient):
    """A client of one tenant; a context manager. See ``TenantClient`` for its arguments."""

    def __init__(
        self,
        *,
        http_client: Any = None,
        config: Config | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(http_client=http_client, config=config, **options)
        self._spark = self.config.open()

    @property
    def impex(self) -> ImpEx:
        """Exports and imports."""
        return ImpEx(self.config, self._spark)

    @staticmethod
    def download(url: str, auth: Any = None) -> bytes:
        """Return the file at a URL, without sending credentials; raise ``SparkError``.

        Packages of a job come verified from ``impex.exports.download``.
        """
        if auth is not None:
            outside("credentials for Client.download")
        if not is_safe_to_call(url):
            raise SparkSdkError("only https:// URLs are downloaded, and http:// on loopback", url)
        # Imported on use: see ``HttpClient.transport``.
        from spark_impex_runner.spark.http.transport import Transport  # noqa: PLC0415

        masker = Masker()
        transport = Transport(masker)
        try:
            with transport.open(HttpRequest("GET", url, {"Accept-Encoding": "identity"})) as stream:
                body = stream.body() if stream.status >= 300 else b"".join(stream.chunks())
                reply = HttpResponse(stream.status, stream.headers, buffer=body)
        finally:
            transport.close()
        if not reply.good:
            raise api_error(reply, "the download", "", masker)
        return body

    def close(self) -> None:
        """Close the connections; the client cannot be used afterwards."""
        self._spark.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
