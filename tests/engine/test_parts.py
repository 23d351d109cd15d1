"""A request that is too large for one package is delivered in parts, as one target."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.models import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TARGET = "- {name: a, folders: [life, motor], version_filter: all, on_interrupt: leave}"
URIS = ["life/annuity[1.0.0]", "motor/claims[2.0.0]", "motor/pricing[1.4.1]"]
URIS += ["motor/pricing[1.4.2]"]
# A package may hold two of the versions below, and not three.
TWO = 35_000


@pytest.fixture
def tree(tree: Path) -> Path:
    """Return the usual tree, whose versions have ten thousand bytes that nothing compresses."""
    for version in tree.glob("*/*/*"):
        noise = hashlib.shake_256(str(version.relative_to(tree)).encode())
        (version / "model.data").write_bytes(noise.digest(10_000))
    return tree


def created(sandbox: Any) -> int:
    """Return how many create calls reached the tenant."""
    return sum(r.method == "POST" and r.path.endswith("/export") for r in sandbox.requests)


@pytest.mark.parametrize(("over_limit", "refused"), [("errors", 0), ("refuse", 1)])
def test_a_request_that_is_too_large_is_delivered_in_parts(
    run: Any, serve: Callable[..., Any], only: Any, over_limit: str, refused: int
) -> None:
    """Whether the tenant refuses it or its job fails: two jobs, one target, one receipt."""
    sandbox = serve(size_limit=TWO, over_limit=over_limit)

    result = only(run(sandbox, TARGET))

    assert (result.outcome, result.error) == (Outcome.SUCCEEDED, "")
    assert [each.uri for each in result.service_versions] == URIS
    assert [each.name for each in result.artifacts] == ["package-1.zip", "package-2.zip"]
    assert (created(sandbox), sandbox.jobs_created) == (3, 3 - refused)
    assert (result.job_id, len(result.job_ids)) == (result.job_ids[0], 2)
    assert "the request was divided into parts 1 and 2: " in result.warnings[0]
    assert "EXCEEDED_FILE_SIZE" in result.warnings[0]
