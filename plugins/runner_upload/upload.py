"""One package, or several, on the way to a runner."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from spark_impex_runner.errors import (
    Interrupted,
    SparkSdkError,
    StepError,
    TransportError,
    UsageError,
)
from spark_impex_runner.manifest import quantity
from spark_impex_runner.masking import Masker
from spark_impex_runner.spark.form import Form
from spark_impex_runner.spark.tenant import is_loopback
from spark_impex_runner.spark.transport import Message, Transport

from . import answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spark_impex_runner.models import Artifact, Job


@dataclass(frozen=True, slots=True)
class Upload:
    """Where packages go, and how."""

    url: str
    limit: int
    headers: Mapping[str, str] = field(repr=False)
    timeout: float
    verify: bool | str

    @classmethod
    def of(cls, job: Job, options: Mapping[str, Any]) -> Upload:
        """Read the options; raise ``StepError`` where they must not, or cannot, be used."""
        url, headers, verify = urlsplit(options["url"]), options["headers"], options["verify_tls"]
        if "@" in url.netloc:
            raise StepError("url holds a user or a password; write headers instead")
        if headers and url.scheme == "http" and not is_loopback(url.hostname or ""):
            raise StepError(f"headers hold secrets and url is not https: {options['url']}")
        if isinstance(verify, str):
            verify = str(job.run.manifest.path.absolute().parent / verify)
        upload = cls(
            f"{options['url'].rstrip('/')}/api/v3/upload",
            quantity.size(options["body_limit"]),
            headers,
            quantity.seconds(options["timeout"]),
            verify,
        )
        upload.transport().close()
        return upload

    def transport(self) -> Transport:
        """Return what requests leave by, with the headers' values masked in what it says."""
        masker = Masker()
        for value in self.headers.values():
            masker.add(value)
        try:
            return Transport(masker, timeout=self.timeout, verify=self.verify)
        except UsageError as error:
            raise StepError(str(error)) from error

    def send(self, package: Artifact, stopping: Callable[[], bool]) -> str:
        """Send a package from the disk; return what was done and what the runner says to it."""

        def check() -> None:
            if stopping():
                raise Interrupted

        try:
            with package.path.open("rb") as file, closing(self.transport()) as transport:
                return self._send(Form.of(file, check=check), transport)
        except StepError as error:
            raise StepError(f"{package.name}: {error}") from error
        except OSError as error:
            raise StepError(f"{package.name}: {error.strerror}: {error.filename}") from error

    def _send(self, form: Form, transport: Transport) -> str:
        if len(form) > self.limit:
            raise StepError(
                f"it makes a request of {len(form)} bytes, over the body_limit of {self.limit}; "
                "start the runner with a larger BODY_LIMIT and write the same as body_limit, or "
                "export fewer services"
            )
        headers = {**self.headers, "Accept": "application/json", "Content-Type": form.kind}
        try:
            reply = transport.exchange(Message("POST", self.url, headers, form))
        except TransportError as error:
            raise StepError(f"POST {self.url}: {answer.broken(error)}") from error
        except SparkSdkError as error:  # a reply that is larger than it may be
            raise StepError(f"POST {self.url}: {error}") from error
        said = transport.masker.mask(answer.words(reply))
        if not reply.good:
            raise StepError(f"POST {self.url}: {answer.refused(reply, said)}")
        return f"sent to {self.url}, which answered HTTP {reply.status}{': ' if said else ''}{said}"
