"""What differs between two packages, and what does not count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.report.diff.summary import summary

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("workbooks", [False, True], ids=["onpremises", "migrate"])
def test_unchanged_tenants_do_not_differ(
    workshop: Any, differences: Callable[..., Any], *, workbooks: bool
) -> None:
    """Another job, other dates, another tenant's name and ids: nothing of that counts."""
    workshop.workbooks = workbooks
    old = workshop.package("motor/pricing/1.4.1", "motor/pricing/1.4.2", "life/term/1.0.0")
    workshop.tenant = "other"
    new = workshop.package("motor/pricing/1.4.1", "motor/pricing/1.4.2", "life/term/1.0.0")

    diff = differences(old, new)

    assert (diff.services, diff.files, diff.unknown) == ((), (), ())
    assert old.read_bytes() != new.read_bytes()


def value(**more: Any) -> list[dict[str, Any]]:
    """Return the inputs with the first one changed."""
    first = {"name": "value", "description": "Value", "address": "B2", "default": 20000}
    second = {"name": "factor", "description": "Risk", "address": "B3", "default": 1.0}
    return [first | more, second]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"inputs": [*value(), {"name": "age"}]}, "1 input added"),
        ({"inputs": value()[:1]}, "1 input removed"),
        ({"inputs": value(default=5)}, "1 input changed default"),
        ({"inputs": value(default="x")}, "1 input changed type, 1 input changed default"),
        ({"inputs": value(address="C9")}, "1 input changed cell"),
        ({"inputs": value(description="?", address="C9")}, "1 input changed cell and description"),
        ({"outputs": []}, "1 output removed"),
        (
            {"outputs": [{"name": "premium", "description": "P", "address": "B6"}]},
            "1 output changed",
        ),
        ({"description": "Monthly."}, "1 setting changed"),
        ({"label": "rc"}, "1 setting changed"),
        ({"files": {"model.wasm": b"\0asm\x01\0\0\0?"}}, "module changed"),
        ({"files": {"a.xlsx": b"PK"}}, "1 setting changed, workbook changed"),
    ],
)
def test_each_difference_is_counted(
    workshop: Any, differences: Callable[..., Any], changed: dict[str, Any], expected: str
) -> None:
    """One line says how many inputs, outputs and so on differ between two versions."""
    old = workshop.package("motor/pricing/1.4.1")
    new = workshop.package("motor/pricing/1.4.2", **changed)

    [service] = differences(old, new).services

    assert summary(service).startswith(f"motor/pricing 1.4.1 -> 1.4.2: {expected}")
