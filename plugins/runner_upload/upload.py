"""One package, or several, on the way to a runner."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from spark_impex_runner import errors, models, tools
from spark_impex_runner.tools.http import HttpClient, MultipartUpload

from . import answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class Upload:
    """Where packages go, and how."""

    url: str
    limit: int
    headers: Mapping[str, str] = field(repr=False)
    timeout: float
    verify: bool | str

    @classmethod
    def of(cls, job: models.Job, options: Mapping[str, Any]) -> Upload:
        """Read the options; raise ``StepError`` where they must not, or cannot, be used."""
        url, headers, verify = urlsplit(options["url"]), options["headers"], options["verify_tls"]
        if "@" in url.netloc:
            raise errors.StepError("url holds a user or a password; write headers instead")
        if headers and url.scheme == "http" and not tools.is_loopback(url.hostname or ""):
            raise errors.StepError(f"headers hold secrets and url is not https: {options['url']}")
        if isinstance(verify, str):
            verify = str(job.run.manifest.path.absolute().parent / verify)
        upload = cls(
            f"{options['url'].rstrip('/')}/api/v3/upload",
            tools.parse_size(options["body_limit"]),
            headers,
            tools.parse_duration(options["timeout"]),
            verify,
        )
        upload.client().close()
        return upload

    def client(self) -> HttpClient:
        """Return a client that masks the headers' values; raise ``StepError`` for a bad option."""
        try:
            return HttpClient(
                secrets=self.headers.values(), timeout=self.timeout, verify=self.verify
            )
        except errors.UsageError as error:
            raise errors.StepError(str(error)) from error

    def send(self, package: models.Artifact, check: Callable[[], None]) -> str:
        """Send a package from the disk; return what was done and what the runner says to it."""
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
                f"it makes a request of {len(form)} bytes, over the body_limit of {self.limit}; "
                "start the runner with a larger BODY_LIMIT and write the same as body_limit, or "
                "export fewer services"
            )
        headers = {**self.headers, "Accept": "application/json", "Content-Type": form.kind}
        try:
            reply = client.send("POST", self.url, headers, form)
        except errors.TransportError as error:
            raise errors.StepError(f"POST {self.url}: {answer.broken(error)}") from error
        except errors.SparkSdkError as error:  # a reply that is larger than it may be
            raise errors.StepError(f"POST {self.url}: {error}") from error
        said = client.mask(answer.words(reply))
        if not reply.good:
            raise errors.StepError(f"POST {self.url}: {answer.refused(reply, said)}")
        return f"sent to {self.url}, which answered HTTP {reply.status}{': ' if said else ''}{said}"
