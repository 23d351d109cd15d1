"""What the sandbox says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def test_health_needs_no_credentials(call: Any) -> None:
    """Anybody may ask whether the service is up."""
    answer = call("GET", f"{call.api}/health", headers={})

    assert (answer.status, answer.json) == (200, {"status": "UP"})


def test_the_configuration_tells_the_settings_as_strings(start: Callable[..., Any]) -> None:
    """Limits are what was set, and every value is a string; letter case does not matter."""
    call = start(job_limit=3, size_limit=1000)

    data = call.v1("GET", "/config/getsparkconfiguration").json["data"]

    assert data["ExportAPIJobLimit"] == "3"
    assert data["ImpExSizeLimit_InBytes"] == "1000"
    assert all(isinstance(value, str) for value in data.values())
