"""The ``runner_upload`` step: a package goes to a Hybrid Runner that takes uploads."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from spark_impex_runner.errors import Interrupted, StepError, TransportError, UsageError
from spark_impex_runner.hookspecs import Made, hookimpl
from spark_impex_runner.manifest import quantity
from spark_impex_runner.masking import Masker
from spark_impex_runner.spark.form import Form
from spark_impex_runner.spark.tenant import is_loopback
from spark_impex_runner.spark.transport import Message, Transport

from . import answer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from spark_impex_runner.models import Artifact, Job, Step
    from spark_impex_runner.registry import Registry

NAME = "runner_upload"
# Documented: the runner's own default is 30mb, which means MiB to the servers of its kind.
BODY_LIMIT = "30MiB"
TIMEOUT = "2m"
OPTIONS: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["url"],
    "properties": {
        "url": {
            "title": "Runner",
            "description": (
                "Address of the Hybrid Runner, with its CUSTOM_API_ROUTE where it has one; "
                "/api/v3/upload is added to it."
            ),
            "type": "string",
            "pattern": r"^https?://[^/?#\s]+(/[^?#\s]*)?$",
            "patternErrorMessage": "not a URL such as http://runner:3000",
            "x-form": "a URL such as http://runner:3000",
            "examples": ["http://runner.acme.internal:3000"],
        },
        "body_limit": {
            **quantity.SIZE_SCHEMA,
            "title": "Body limit",
            "description": (
                "Refuse to send more bytes than this in one request; the same as the runner's "
                "own BODY_LIMIT."
            ),
            "default": BODY_LIMIT,
            "examples": ["200MiB"],
        },
        "timeout": {
            **quantity.DURATION_SCHEMA,
            "title": "Timeout",
            "description": "Longest silence of the runner, while it answers as well.",
            "default": TIMEOUT,
            "examples": ["5m"],
        },
        "verify_tls": {
            "title": "Verify TLS",
            "description": "Whether to check the runner's certificate, or the path of a CA bundle.",
            "type": ["boolean", "string"],
            "default": True,
            "examples": ["runner-ca.pem"],
        },
        "headers": {
            "title": "Headers",
            "description": (
                "Headers for a gateway in front of the runner; each value is a reference, as it "
                "may be a secret."
            ),
            "type": "object",
            "additionalProperties": {"type": "string", "x-secret": True},
            "propertyNames": {"pattern": "^[A-Za-z0-9-]+$"},
            "minProperties": 1,
            "examples": [{"Authorization": "${env:RUNNER_AUTHORIZATION}"}],
        },
    },
}


@hookimpl
def impex_register(registry: Registry) -> None:
    """Offer the step."""
    registry.step(
        NAME,
        "sends an onpremises package to a Hybrid Runner",
        OPTIONS,
        file_filter="onpremises",
        dry_run=True,
    )


def impex_plan_step(job: Job, step: Step) -> str | None:
    """Tell where packages would go; raise ``StepError`` where the options cannot work."""
    if step.uses != NAME:
        return None
    _connect(job, step.options).close()
    limit = step.options.get("body_limit", BODY_LIMIT)
    return f"upload each package of at most {limit} to {_endpoint(step.options)}"


@hookimpl(trylast=True)
def impex_run_step(job: Job, step: Step, artifact: Artifact) -> Made | None:
    """Send one package; answer for ``runner_upload`` only."""
    if step.uses != NAME:
        return None
    try:
        with closing(_connect(job, step.options)) as transport:
            told = _send(job, step.options, artifact.path, transport)
    except (StepError, TransportError) as error:
        raise StepError(f"{artifact.name}: {error}") from error
    except OSError as error:
        raise StepError(f"{artifact.name}: {error.strerror}: {error.filename}") from error
    return Made(message=f"{artifact.name}: {told}")


def _endpoint(options: Mapping[str, Any]) -> str:
    """Return where a package is sent to."""
    return f"{options['url'].rstrip('/')}/api/v3/upload"


def _connect(job: Job, options: Mapping[str, Any]) -> Transport:
    """Return what the package is sent by; raise ``StepError`` where it must not be."""
    url, headers = urlsplit(options["url"]), options.get("headers", {})
    if "@" in url.netloc:
        raise StepError("url holds a user or a password; write headers instead")
    if headers and url.scheme == "http" and not is_loopback(url.hostname or ""):
        raise StepError(f"headers hold secrets and url is not https: {options['url']}")
    masker = Masker()
    for value in headers.values():
        masker.add(value)
    verify = options.get("verify_tls", True)
    if isinstance(verify, str):
        verify = str(job.run.manifest.path.absolute().parent / verify)
    timeout = quantity.seconds(options.get("timeout", TIMEOUT))
    try:
        return Transport(masker, timeout=timeout, verify=verify)
    except UsageError as error:
        raise StepError(str(error)) from error


def _send(job: Job, options: Mapping[str, Any], package: Path, transport: Transport) -> str:
    """Send the package from the disk; return what was done and what the runner says to it."""

    def check() -> None:
        if job.stopping():
            raise Interrupted

    url = _endpoint(options)
    with package.open("rb") as file:
        form = Form.of(file, check=check)
        limit = quantity.size(options.get("body_limit", BODY_LIMIT))
        if len(form) > limit:
            raise StepError(
                f"it makes a request of {len(form)} bytes, over the body_limit of {limit}; start "
                "the runner with a larger BODY_LIMIT and write the same as body_limit, or "
                "export fewer services"
            )
        headers = {"Accept": "application/json", "Content-Type": form.kind}
        message = Message("POST", url, {**options.get("headers", {}), **headers}, form)
        try:
            reply = transport.exchange(message)
        except TransportError as error:
            raise StepError(f"POST {url}: {answer.broken(error)}") from error
    said = transport.masker.mask(answer.words(reply))
    if not reply.good:
        raise StepError(f"POST {url}: {answer.refused(reply, said)}")
    return f"sent to {url}, which answered HTTP {reply.status}{': ' if said else ''}{said}"
