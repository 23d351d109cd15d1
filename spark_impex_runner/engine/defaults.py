"""The default implementations of the hooks: called last, and never blocked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.hooks.specs import hookimpl
from spark_impex_runner.quantity import DURATION_SCHEMA, seconds
from spark_impex_runner.report import html, json
from spark_impex_runner.spark import package
from spark_impex_runner.spark import status as statuses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spark_impex_runner.hooks.registry import Registry
    from spark_impex_runner.models import Artifact, Poll, RunResult, Status, Verdict

_INTERVAL = 3.0
_LONGEST = 60.0
_FACTOR = 1000.0
_EXPONENTIAL = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "factor": {
            "type": "number",
            "exclusiveMinimum": 1,
            "default": 2,
            "title": "Growth",
            "description": "Each wait is this many times the one before.",
        },
        "max": {
            **DURATION_SCHEMA,
            "default": "60s",
            "title": "Longest wait",
            "description": "No wait is longer than this.",
        },
    },
}


@hookimpl(trylast=True)
def impex_register(registry: Registry) -> None:
    """Register the local executor, the reports, and the two simplest strategies."""
    registry.executor("local", "This process.", lambda _: None)
    registry.report("json", "the complete result, in a published schema", json.render)
    registry.report("junit", "the result for CI systems", _junit)
    registry.report("html", "the result for people", html.render)
    registry.strategy("fixed", "Look at once, then every retry_interval (default 3 s).")
    registry.strategy(
        "exponential",
        "Look at once, then after retry_interval (default 3 s), growing by factor up to max.",
        _EXPONENTIAL,
    )


def _junit(result: RunResult) -> str:
    from spark_impex_runner.report import junit  # noqa: PLC0415 - few runs need an XML library

    return junit.render(result)


@hookimpl(trylast=True)
def impex_resolve_uri(uri: str) -> Sequence[str]:
    """Return a service URI as it is."""
    return [uri]


@hookimpl(trylast=True)
def impex_poll_delay(poll: Poll) -> float:
    """Return the delay of ``exponential``, or of ``fixed`` for any other strategy.

    A strategy whose plugin is blocked or returns None falls back to ``fixed``. No delay is shorter
    than the server's ``Retry-After``.
    """
    if poll.checks == 0:
        return poll.retry_after or 0.0
    wait = poll.retry_interval or _INTERVAL
    if poll.strategy == "exponential":
        # Bounded, since a float overflows at 1000.0 ** 103.
        grown = wait * min(float(poll.options.get("factor", 2)), _FACTOR) ** min(
            poll.checks - 1, 64
        )
        wait = min(grown, seconds(poll.options.get("max", _LONGEST)) or _LONGEST)
    return max(wait, poll.retry_after or 0.0)


@hookimpl(trylast=True)
def impex_poll_verdict(status: Status) -> Verdict:
    """Return the verdict that the API's status words mean."""
    return statuses.verdict(status)


@hookimpl(trylast=True)
def impex_download_path(artifact: Artifact) -> str:
    """Return the name that the tenant gave."""
    return artifact.name


@hookimpl(trylast=True)
def impex_check_download(artifact: Artifact) -> None:
    """Check the ZIP structure, and compare the hash that the tenant reports."""
    package.check(artifact)
