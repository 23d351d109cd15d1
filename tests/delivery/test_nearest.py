"""A service that the tenant does not have is shown with the nearest one that it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.models import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable


def listings(sandbox: Any) -> int:
    """Return how often services were listed."""
    return sum(request.path.endswith("/services/search") for request in sandbox.requests)


def test_misspelt_service_has_a_suggestion(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """By one request after the failure; the version does not matter."""
    sandbox = serve()

    result = only(run(sandbox, "- {name: a, services: ['motor/prcing[1.4.2]']}"))

    assert result.outcome is Outcome.FAILED
    assert result.error.endswith("; motor/prcing (did you mean 'motor/pricing'?)")
    assert "SERVICE_NOT_FOUND" in result.error
    assert listings(sandbox) == 1


def test_misspelt_folder_has_a_suggestion(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """One that exists has none."""
    result = only(run(serve(), "- {name: a, folders: [life, motr]}"))

    assert result.error.endswith("; motr (did you mean 'motor'?)")


def test_known_listing_is_used(run: Any, serve: Callable[..., Any]) -> None:
    """Several targets share one request, and a pattern has listed the services before."""
    sandbox = serve()
    targets = """
        - {name: a, services: ['motor/*', 'motor/prcing']}
        - {name: b, services: ['lif/annuity']}
    """

    errors = [each.error for each in run(sandbox, targets).results]

    assert errors[0].endswith("; motor/prcing (did you mean 'motor/pricing'?)")
    assert errors[1].endswith("; lif/annuity (did you mean 'life/annuity'?)")
    assert listings(sandbox) == 1


@pytest.mark.parametrize(
    ("services", "faults", "listed"),
    [
        ("qqqq/zzzz", (), 1),
        ("motor/prcing", ("search@1-=503",), 1),
        ("motor/prcing", ("search@1-=403",), 1),
        ("'motor/pricing[9.9.9]'", (), 1),
        ("motor/prcing", ("create@1=invalid",), 0),
    ],
    ids=["nothing is near", "no answer", "no permission", "only the version", "another error"],
)
def test_error_stays_without_suggestion(
    run: Any, serve: Callable[..., Any], only: Any, services: str, faults: Any, listed: int
) -> None:
    """The tenant's own words are what counts; a failed listing is not retried."""
    sandbox = serve(*faults)

    result = only(run(sandbox, f"- {{name: a, services: [{services}]}}"))

    assert result.outcome is Outcome.FAILED
    assert "POST api/v4/export" in result.error
    assert "did you mean" not in result.error
    assert listings(sandbox) == listed
