"""What the runner does where no plugin decides: essential, asked last, never blocked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.hooks.specs import hookimpl
from spark_impex_runner.quantity import DURATION_SCHEMA, seconds
from spark_impex_runner.report import html, json, junit
from spark_impex_runner.spark import package
from spark_impex_runner.spark import status as statuses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spark_impex_runner.hooks.registry import Registry
    from spark_impex_runner.models import Artifact, Poll, Status, Verdict

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
    """Offer this process, the reports, and the two strategies that need no memory of the past."""
    registry.executor("local", "This process.", lambda _: None)
    registry.report("json", "the complete result, in a published schema", json.render)
    registry.report("junit", "the result for CI systems", junit.render)
    registry.report("html", "the result for people", html.render)
    registry.strategy("fixed", "Look at once, then every retry_interval (default 3 s).")
    registry.strategy(
        "exponential",
        "Look at once, then after retry_interval (default 3 s), growing by factor up to max.",
        _EXPONENTIAL,
    )


@hookimpl(trylast=True)
def impex_resolve_uri(uri: str) -> Sequence[str]:
    """Take a service URI as it stands."""
    return [uri]


@hookimpl(trylast=True)
def impex_poll_delay(poll: Poll) -> float:
    """Wait as ``exponential`` says, else as ``fixed``; what the server asks for is the least.

    A strategy whose plugin is blocked or passes ends here, too: the wait goes on.
    """
    if poll.checks == 0:
        return poll.retry_after or 0.0
    wait = poll.retry_interval or _INTERVAL
    if poll.strategy == "exponential":
        # The exponent is bounded so that a very long wait cannot overflow a float.
        grown = wait * min(float(poll.options.get("factor", 2)), _FACTOR) ** min(
            poll.checks - 1, 64
        )
        wait = min(grown, seconds(poll.options.get("max", _LONGEST)) or _LONGEST)
    return max(wait, poll.retry_after or 0.0)


@hookimpl(trylast=True)
def impex_poll_verdict(status: Status) -> Verdict:
    """Judge a status by the API's own words."""
    return statuses.verdict(status)


@hookimpl(trylast=True)
def impex_download_path(artifact: Artifact) -> str:
    """Keep the name that the tenant gave."""
    return artifact.name


@hookimpl(trylast=True)
def impex_check_download(artifact: Artifact) -> None:
    """Test the ZIP structure, which tells a web page as such, and compare the tenant's hash."""
    package.check(artifact)
