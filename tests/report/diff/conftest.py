"""Differences of every kind, in untrusted names and values."""

from __future__ import annotations

import pytest

from spark_impex_runner.models.comparison import (
    Change,
    Diff,
    ServiceDiff,
    Unknown,
    VersionContents,
    VersionDiff,
)


@pytest.fixture
def diff() -> Diff:
    """Return differences in two services, one of which has several versions."""
    old, new = (VersionContents("motor", "pricing", number) for number in ("1.4.1", "1.4.2"))
    changes = (
        Change(
            "inputs", "age", "", None, '{"cell":"B4","default":40,"description":"","type":"number"}'
        ),
        Change("inputs", "fee", "", '{"cell":"B5"}', None),
        Change("defaults", "factor", "default", "1", "1.1"),
        Change("outputs", "premium", "type", '"number"', '"text"'),
        Change("outputs", "tax", "type", '"number"', '"text"'),
        Change("outputs", "premium", "description", f'"{"x" * 400}a"', f'"{"x" * 400}b"'),
        Change("settings", "VersionLabel", "value", '"rc"', '"release"'),
        Change("module", "module", "sha256", f'"{"0" * 64}"', f'"{"1" * 64}"'),
    )
    unknown = (Unknown("workbook", "the package states no hash of it, and holds no such file"),)
    versions = (
        VersionDiff(old, old, (Change("files", "a\x1b[31m.bin", "sha256", '"0"', '"1"'),), ()),
        VersionDiff(old, new, changes, unknown, ("_pricing.wasm",)),
    )
    services = (
        ServiceDiff("", "life/<b>term", ("1.0.0",)),
        ServiceDiff("motor/pricing", "motor/pricing", ("1.4.2",), (), versions),
    )
    files = (Change("files", "note.txt", "", None, '{"sha256":"00"}'),)
    return Diff("old.zip", "new.zip", services, files, (Unknown("all", "OLD is empty"),))
