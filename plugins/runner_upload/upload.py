"""Upload packages to a Hybrid Runner."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from spark_impex_runner import errors, models, tools
from spark_impex_runner.tools.http import HttpClient, MultipartUpload

from .reply import (
    is_page,
    no_service_message,
    refusal_message,
    reply_text,
    transport_message,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_UPLOAD = "/api/v3/upload"
# In the SDK's changelog (0.2.1) and in the documentation.
_QUESTIONS = ("/healthcheck", "/version")


@dataclass(frozen=True, slots=True)
class Upload:
    """The validated options of an upload."""

    url: str
    limit: int
    headers: Mapping[str, str] = field(repr=False)
    timeout: float
    verify: bool | str
    asks: bool

    @classmethod
    def of(cls, job: models.Job, options: Mapping[str, Any]) -> Upload:
        """Parse the options; raise ``StepError`` if they are invalid or unsafe."""
        url, headers, verify = urlsplit(options["url"]), options["headers"], options["verify_tls"]
        if "@" in url.netloc:
            raise errors.StepError("url contains a user or a password; use headers instead")
        if headers and url.scheme == "http" and not tools.is_loopback(url.hostname or ""):
            raise errors.StepError(f"headers hold secrets, but url is not https: {options['url']}")
        if isinstance(verify, str):
            verify = str(job.run.manifest.path.absolute().parent / verify)
        upload = cls(
            f"{options['url'].rstrip('/')}{_UPLOAD}",
            tools.parse_size(options["body_limit"]),
            headers,
            tools.parse_duration(options["timeout"]),
            verify,
            options["prove"],
        )
        upload.client().close()
        return upload

    def client(self) -> HttpClient:
        """Return a client that masks the headers; raise ``StepError`` for bad TLS options."""
        try:
            return HttpClient(
                secrets=self.headers.values(), timeout=self.timeout, verify=self.verify
            )
        except errors.UsageError as error:
            raise errors.StepError(str(error)) from error

    def send(self, package: models.Artifact, check: Callable[[], None]) -> str:
        """Upload a package and return the result with the runner's reply, in one line."""
        try:
            with package.path.open("rb") as file, self.client() as client:
                return self._send(MultipartUpload(file, check=check), client)
        except errors.StepError as error:
            raise errors.StepError(f"{package.name}: {error}") from error
        except OSError as error:
            raise errors.StepError(f"{package.name}: {error.strerror}: {error.filename}") from error

    def _send(self, form: MultipartUpload, client: HttpClient) -> str:
        if len(form) > self.limit:
            raise errors.StepError(
                f"the request has {len(form)} bytes, over the body_limit of {self.limit}; start "
                "the runner with a larger BODY_LIMIT and set body_limit to the same, or export "
                "fewer services"
            )
        headers = {**self.headers, "Accept": "application/json", "Content-Type": form.kind}
        try:
            reply = client.send("POST", self.url, headers, form)
        except errors.TransportError as error:
            raise errors.StepError(f"POST {self.url}: {transport_message(error)}") from error
        except errors.SparkSdkError as error:  # the reply exceeds the client's limit
            raise errors.StepError(f"POST {self.url}: {error}") from error
        text = client.mask(reply_text(reply))
        if not reply.good:
            raise errors.StepError(f"POST {self.url}: {refusal_message(reply, text)}")
        sent = f"sent to {self.url}, which answered HTTP {reply.status}{': ' if text else ''}{text}"
        if not self.asks:
            return sent
        return "; ".join([sent, *(self._ask(path, client) for path in _QUESTIONS)])

    def _ask(self, path: str, client: HttpClient) -> str:
        """Return the runner's reply to a path below its URL; raise ``StepError`` unless it is good.

        The forms of both replies are not documented, so any but an HTML page counts: that is of a
        server that answers every path.
        """
        url = f"{self.url.removesuffix(_UPLOAD)}{path}"
        try:
            reply = client.send("GET", url, {**self.headers, "Accept": "application/json"})
        except (errors.TransportError, errors.SparkSdkError) as error:
            raise errors.StepError(f"uploaded, but GET {url}: {error}") from error
        text = client.mask(reply_text(reply))
        if not reply.good or is_page(reply):
            raise errors.StepError(f"uploaded, but GET {url}: {no_service_message(reply, text)}")
        return f"{path} answers {text or f'HTTP {reply.status}'}"
