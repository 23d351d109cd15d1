"""What was asked for is compared with what the tenant says it delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.models import Outcome, Request, ServiceVersion, Status
from spark_impex_runner.sandbox.tenant import exports
from spark_impex_runner.spark.completeness import is_unspecified, missing

if TYPE_CHECKING:
    from collections.abc import Callable

TARGET = "- {name: a, services: [motor/pricing, motor/claims], missing: %s}"
PRICING = ServiceVersion("motor", "pricing", version="1.4.2", version_id="AB")
LIFE = ServiceVersion("life", "annuity")


def status_of(services: tuple[ServiceVersion, ...], versions: tuple[ServiceVersion, ...]) -> Status:
    """Return the status of a finished job that names these."""
    return Status("id", "closed", services=services, service_versions=versions)


@pytest.mark.parametrize(
    ("services", "versions", "expected"),
    [((), (), True), ((LIFE,), (), False), ((), (LIFE,), False), ((LIFE,), (LIFE,), False)],
)
def test_unspecified_contents(
    services: tuple[ServiceVersion, ...], versions: tuple[ServiceVersion, ...], expected: bool
) -> None:
    """A status is unspecified only if it lists neither services nor versions."""
    assert is_unspecified(status_of(services, versions)) is expected


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (Request(folders=("motor", "life")), []),
        (Request(folders=("motor", "home")), ["folder home"]),
        (Request(services=("motor/pricing", "life/annuity")), []),
        (Request(services=("motor/pricing[1.4]",)), []),
        (Request(services=("motor/pricing[1.5]",)), ["service motor/pricing[1.5]"]),
        (Request(services=("life/other", "life/annuity")), ["service life/other"]),
        (Request(services=("motor/annuity",)), ["service motor/annuity"]),
        (Request(version_ids=("ab", "AB")), []),
        (Request(version_ids=("ab", "cd")), ["version cd"]),
        (
            Request(folders=("x",), services=("x/y",), version_ids=("z",)),
            ["folder x", "service x/y", "version z"],
        ),
    ],
)
def test_missing_items_are_named(request_: Request, expected: list[str]) -> None:
    """Folders, services and version ids are searched in both lists of the status."""
    assert missing(request_, status_of((LIFE,), (PRICING,))) == expected
    assert missing(request_, status_of((PRICING,), (LIFE,))) == expected


@pytest.mark.parametrize(
    ("policy", "outcome"), [("fail", Outcome.FAILED), ("warn", Outcome.SUCCEEDED)]
)
def test_missing_service_in_package(
    run: Any,
    serve: Callable[..., Any],
    only: Any,
    monkeypatch: pytest.MonkeyPatch,
    policy: str,
    outcome: Outcome,
) -> None:
    """A missing service fails the target, or warns under ``missing: warn``."""
    whole = exports.listing
    monkeypatch.setattr(
        exports, "listing", lambda versions: whole([v for v in versions if v.service == "pricing"])
    )

    result = only(run(serve(), TARGET % policy))

    assert result.outcome is outcome
    lines = [result.error] if policy == "fail" else result.warnings
    assert [*lines] == ["requested but not delivered: service motor/claims"]


@pytest.mark.parametrize(
    ("kept", "warnings"),
    [
        ((), ["the tenant did not report which services it delivered"]),
        (("service_versions",), []),
        (("services",), []),
    ],
)
def test_null_lists_are_a_warning(
    run: Any,
    serve: Callable[..., Any],
    only: Any,
    monkeypatch: pytest.MonkeyPatch,
    kept: tuple[str, ...],
    warnings: list[str],
) -> None:
    """A tenant that lists nothing is trusted, with a warning; one list of two is enough."""
    whole = exports.listing

    def listing(versions: Any) -> dict[str, Any]:
        return {key: each if key in kept else None for key, each in whole(versions).items()}

    monkeypatch.setattr(exports, "listing", listing)
    sandbox = serve(job_seconds=0)

    result = only(run(sandbox, TARGET % "fail"))

    assert (result.outcome, list(result.warnings)) == (Outcome.SUCCEEDED, warnings)
    assert sum(request.path.endswith("/status") for request in sandbox.requests) == 2
