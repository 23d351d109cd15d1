"""The HTTP calls in the result of a run: those of its targets and its planning, if wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from spark_impex_runner.models import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from spark_impex_runner.models import RunResult, TargetResult

PLUGIN = """
from spark_impex_runner import hookimpl

def send(options, report):
    assert report.results[0].http_calls

@hookimpl
def impex_register(registry):
    registry.notifier("calls", "Reads the calls.", None, send, http_calls=True)
    registry.notifier("plain", "Reads no calls.", None, print)"""


@pytest.fixture
def deliver(run: Any, serve: Callable[..., Any]) -> Callable[[str], RunResult]:
    """Return a function that runs a target with a notifier, always on the same tenant."""
    tenant = serve(job_seconds=3)

    def start(notifier: str) -> RunResult:
        plugin = run.folder / "caller.py"
        plugin.write_text(PLUGIN)
        run.below = f"notify: [{{uses: {notifier}, on: [always]}}]\nreport: {{json: report.json}}"
        target = "- {name: a, services: ['life/*'], skip_unchanged: true}"
        result: RunResult = run(tenant, target, plugin_files=[plugin])
        assert result.exit_code == 0
        return result

    return start


def calls(result: RunResult | TargetResult) -> list[tuple[str, str]]:
    """Return method and path of each call, which was answered with 200."""
    assert {each.status for each in result.http_calls} == {200}
    assert not result.http_calls_omitted
    return [(each.method, urlsplit(each.url).path) for each in result.http_calls]


def test_result_has_calls(deliver: Callable[[str], RunResult], run: Any) -> None:
    """Those of planning and those of the target's job; no report has any."""
    result = deliver("calls")

    assert calls(result) == [("POST", "/acme/api/v3/services/search")]
    [target] = result.results
    listed, created, *polls, download = calls(target)
    assert listed == ("GET", "/acme/api/v4/export/status")
    assert created == ("POST", "/acme/api/v4/export")
    assert set(polls) == {("GET", f"/acme/api/v4/export/{target.job_id}/status")}
    # The link of the package is a secret: nothing of its path is there.
    assert download == ("GET", "")
    assert "http_calls" not in (run.folder / "report.json").read_text()


def test_target_without_job_has_calls(deliver: Callable[[str], RunResult]) -> None:
    """They asked the tenant whether the target is unchanged."""
    deliver("calls")
    [target] = deliver("calls").results

    assert target.outcome is Outcome.UNCHANGED
    assert calls(target) == [("GET", "/api/v1/product/life/engines/getversions/annuity")]


def test_nothing_is_recorded_unless_asked(deliver: Callable[[str], RunResult]) -> None:
    """No notifier of the manifest asks for calls: the result has none."""
    result = deliver("plain")

    assert result.http_calls == result.results[0].http_calls == ()
