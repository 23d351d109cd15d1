"""HTTP for plugins, with the guarantees of the client that talks to tenants.

A plugin that notifies a server needs few lines::

    from spark_impex_runner.tools.http import HttpClient

    with HttpClient(secrets=[token], timeout=30) as client:
        reply = client.send("POST", url, {"Authorization": f"Bearer {token}"}, body, attempts=4)
    if not reply.good:
        raise StepError(f"the server answers HTTP {reply.status}")
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from spark_impex_runner.clock import Clock
from spark_impex_runner.errors import SparkApiError
from spark_impex_runner.masking import Masker
from spark_impex_runner.spark.http.message import HttpRequest
from spark_impex_runner.spark.http.multipart import MultipartUpload
from spark_impex_runner.spark.http.response import HttpResponse, api_error
from spark_impex_runner.spark.http.retry import RetryPolicy, retry
from spark_impex_runner.spark.http.transport import Stream, Transport

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["HttpClient", "HttpResponse", "HttpStream", "MultipartUpload"]

# All pauses between the attempts of one request take at most so many seconds: a plugin that needs
# longer retries by itself.
_LONGEST_WAIT = 60.0


class HttpClient:
    """Send requests to servers that are no tenants; safe to share by threads.

    A request has no credentials but those in its headers: ``.netrc`` files and cookies are ignored.
    Redirects are not followed. The proxy variables of the environment apply. Errors contain no URL,
    and ``secrets`` are masked in the log of the HTTP library.

    ``timeout`` (seconds) limits connecting and the time between two bytes; a request takes at most
    three times as long, counted from the last piece of its body that was sent. ``verify`` is True,
    False or the path of a CA bundle. Raises ``UsageError`` for an invalid argument.
    """

    def __init__(
        self, *, secrets: Iterable[str] = (), timeout: float = 60.0, verify: bool | str = True
    ) -> None:
        self._masker = Masker()
        for each in secrets:
            self._masker.add(each)
        self._clock = Clock()
        self._transport = Transport(self._masker, timeout=timeout, verify=verify, clock=self._clock)

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterable[bytes] | None = None,
        *,
        attempts: int = 1,
    ) -> HttpResponse:
        """Send a request and return the reply with its whole body, whatever its status.

        A ``body`` that is no bytes needs a length (``len``) and is iterated again for each attempt.
        Up to ``attempts`` requests are sent while the failure is transient (no connection, 408,
        425, 429, 5xx), with pauses of at most 60 seconds in all.

        Raises:
            TransportError: there is no reply.
            SparkSdkError: the body of a reply of 2xx has more than 8 MiB.
        """
        request = HttpRequest(method, url, headers or {}, body)
        policy = RetryPolicy(attempts=attempts, budget=_LONGEST_WAIT)
        reply: HttpResponse

        def once() -> None:
            nonlocal reply
            reply = self._transport.send(request)
            if not reply.good:
                # Only errors are retried, so a status outside 2xx becomes one.
                raise api_error(reply, method, "", self._masker)

        # The caller judges the status of the last reply by itself.
        with suppress(SparkApiError):
            retry(once, policy, self._clock)
        return reply

    def stream(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterable[bytes] | None = None,
    ) -> HttpStream:
        """Send a request and return the reply as a context manager, its body still to be read.

        Raises ``TransportError`` if there is no reply.
        """
        return HttpStream(self._transport.open(HttpRequest(method, url, headers or {}, body)))

    def add_secret(self, secret: str) -> None:
        """Mask one more secret from now on."""
        self._masker.add(secret)

    def mask(self, text: str) -> str:
        """Return ``text`` with every known secret replaced by ``***``."""
        return self._masker.mask(text)

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class HttpStream:
    """A reply whose body is still to be read; a context manager that frees the connection.

    ``status`` is the reply's number, ``headers`` ignores case, ``url`` is that of the request.
    """

    def __init__(self, stream: Stream) -> None:
        self.status, self.headers, self.url = stream.status, stream.headers, stream.url
        self._stream = stream

    def chunks(self) -> Iterator[bytes]:
        """Yield the body as it was sent, in pieces of at most 1 MiB.

        Raises ``TransportError`` if it is cut off, or if less than 16 KiB arrive in 5 minutes.
        """
        return self._stream.chunks()

    def close(self) -> None:
        """Return the connection to the pool, or close it if the body was not read to its end."""
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.__exit__(kind, error, trace)
