"""Exports: what is asked for is packed, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any


def test_an_export_ends_closed_with_one_package(call: Any) -> None:
    """A job without duration is closed at the first look and names its one file."""
    status = call.export(inputs={"services": ["motor/pricing"]}, correlation_id="c-1")

    assert status["status"] == "closed"
    assert status["errors"] is None
    assert status["correlation_id"] == "c-1"
    assert status["outputs"]["files"][0]["file"].endswith("/package.zip")
