"""Values are compared as people expect: numbers within a tolerance, all else exactly."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spark_impex_runner.plugins.calculate.values import Tolerance, differences, problem

from spark_impex_runner.hooks.manager import make_plugin_manager

NONE = {"exact": False}
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**15), 10**15)


def agree(old: Any, new: Any, **option: Any) -> bool:
    """Return whether two values agree within a tolerance."""
    tolerance = Tolerance.of(option or {"exact": True})
    return not list(differences("x", old, new, tolerance))


@pytest.mark.parametrize(
    ("old", "new", "option", "same"),
    [
        (1.0, 1, {"exact": True}, True),
        (0.1, 0.1 + 1e-15, {"exact": True}, False),
        (155.51, 155.515, {"absolute": 0.005}, True),
        (155.51, 155.5151, {"absolute": 0.005}, False),
        (123456789012.4, 123456789012.0, {"digits": 12}, True),
        (123456789012.6, 123456789012.0, {"digits": 12}, False),
        (0.9999999999995, 1.0, {"digits": 12}, True),
        (9.99999999999e5, 1e6, {"digits": 12}, True),
        (9.9999999999e5, 1e6, {"digits": 12}, False),
        (0, 1e-17, {"digits": 12}, False),
        (0, 1e-17, {"absolute": 1e-9}, True),
        (0.0, -0.0, {"digits": 12}, True),
        (1.005, 1.01, {"decimals": 2}, True),
        (1.0049, 1.01, {"decimals": 2}, False),
        (100, 101, {"relative": 0.01}, True),
        (100, 102, {"relative": 0.01}, False),
        (1, True, {"absolute": 5}, False),
        (True, True, {"exact": True}, True),
        ("#N/A", "#N/A", {"exact": True}, True),
        ("#N/A", "#VALUE!", {"absolute": 5}, False),
        (1, "1", {"absolute": 5}, False),
        (None, None, {"exact": True}, True),
        (None, 0, {"absolute": 5}, False),
    ],
)
def test_values_within_tolerance(old: Any, new: Any, option: dict[str, Any], *, same: bool) -> None:
    """In both directions."""
    assert agree(old, new, **option) is same
    assert agree(new, old, **option) is same


@given(NUMBERS, NUMBERS, st.integers(1, 15))
def test_more_digits_are_stricter(old: float, new: float, digits: int) -> None:
    """What agrees to N digits agrees to fewer, and everything agrees with itself."""
    if agree(old, new, digits=digits + 1):
        assert agree(old, new, digits=digits)
    assert agree(old, old, digits=digits)
    assert agree(old, new, digits=digits) == agree(new, old, digits=digits)


def test_tables_are_compared_by_cell() -> None:
    """Rows count from 1; a table with another number of rows differs as a whole."""
    old = [{"age": 1, "rate": 2.5}, {"age": 2, "rate": 3.5}]
    new = [{"age": 1, "rate": 2.5}, {"age": 2, "rate": 3.75}]

    [found] = differences("table", old, new, Tolerance())

    assert (found.output, found.old, found.new, found.absolute) == (
        "table[2].rate",
        3.5,
        3.75,
        0.25,
    )
    assert [each.output for each in differences("t", [[1, 2]], [[1, 3]], Tolerance())] == [
        "t[1][2]"
    ]
    assert [each.output for each in differences("t", [1], [1, 2], Tolerance())] == ["t"]
    assert [each.output for each in differences("t", {"a": 1}, {"b": 1}, Tolerance())] == [
        "t.a",
        "t.b",
    ]


def test_error_values_are_problems() -> None:
    """Also in a table; a text that only looks like one is none."""
    assert problem("#DIV/0!") == "#DIV/0!"
    assert problem([[1, None]]) == "no value (overflow)"
    assert problem([{"a": "#N/A"}]) == "#N/A"
    assert not problem("# of cars")
    assert not problem(False)


def test_number_became_error() -> None:
    """That is a move of its own kind, without a size."""
    [found] = differences("x", 5, "#N/A", Tolerance())

    assert found.became_error
    assert found.absolute is None
    assert found.relative is None


@pytest.mark.parametrize("options", [{"tolerance": NONE}, {"outputs": {"premium": NONE}}])
def test_exact_is_true_or_left_out(options: dict[str, Any]) -> None:
    """What shall hold instead of it would be a guess."""
    check = make_plugin_manager().registry.steps["calculate"].check

    assert check(options).startswith("exact: false is no tolerance; name digits,")
    assert not check({"tolerance": {"exact": True}})
