"""The ``runner_upload`` step: upload a package to a Hybrid Runner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from spark_impex_runner import Registry, StepOutput, hookimpl, models, tools

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "runner_upload"
DEFAULTS: Final[dict[str, Any]] = {
    # The runner's documented default is 30mb, which Node's body parsers read as MiB.
    "body_limit": "30MiB",
    "timeout": "2m",
    "verify_tls": True,
    "headers": {},
    "prove": False,
}
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
            **tools.SIZE_SCHEMA,
            "title": "Body limit",
            "description": (
                "Refuse to send more bytes than this in one request; set it to the runner's own "
                "BODY_LIMIT."
            ),
            "default": DEFAULTS["body_limit"],
            "examples": ["200MiB"],
        },
        "timeout": {
            **tools.DURATION_SCHEMA,
            "title": "Timeout",
            "description": "Longest time without a byte from the runner.",
            "default": DEFAULTS["timeout"],
            "examples": ["5m"],
        },
        "verify_tls": {
            "title": "Verify TLS",
            "description": "Whether to check the runner's certificate, or the path of a CA bundle.",
            "x-path": "read",
            "type": ["boolean", "string"],
            "default": DEFAULTS["verify_tls"],
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
        "prove": {
            "title": "Prove",
            "description": (
                "Ask the runner's /healthcheck and /version after the upload; the step fails "
                "unless it answers both."
            ),
            "type": "boolean",
            "default": DEFAULTS["prove"],
        },
    },
}


@hookimpl
def impex_register(registry: Registry) -> None:
    """Register the step."""
    registry.step(
        NAME,
        "sends an onpremises package to a Hybrid Runner",
        OPTIONS,
        file_filter="onpremises",
        dry_run=True,
        delivers=True,
        rehearse=_rehearse,
    )


def _rehearse(options: Mapping[str, Any], stand_ins: models.StandIns) -> Mapping[str, Any]:
    """Return options that send the package to a stand-in."""
    stand_ins.left_out.append("the runner and its checks of a package, TLS, and headers")
    left_out = {"headers", "verify_tls", "prove"}
    kept = {key: value for key, value in options.items() if key not in left_out}
    return {**kept, "url": stand_ins.url}


@hookimpl(trylast=True)
def impex_plan_step(job: models.Job, step: models.Step) -> str | None:
    """Describe the upload, for ``runner_upload`` only; raise ``StepError`` for bad options."""
    if step.uses != NAME:
        return None
    # Imported late: runs without this step, and every validation, do without the HTTP library.
    from .upload import Upload  # noqa: PLC0415

    upload = Upload.of(job, {**DEFAULTS, **step.options})
    question = ", then ask for /healthcheck and /version" if upload.asks else ""
    return f"send each package to {upload.url}, {upload.limit} bytes at most in a request{question}"


@hookimpl(trylast=True)
def impex_run_step(
    job: models.Job, step: models.Step, artifact: models.Artifact
) -> StepOutput | None:
    """Upload one package, for the step ``runner_upload`` only."""
    if step.uses != NAME:
        return None
    from .upload import Upload  # noqa: PLC0415

    upload = Upload.of(job, {**DEFAULTS, **step.options})
    return StepOutput(message=f"{artifact.name}: {upload.send(artifact, tools.stop_check(job))}")
