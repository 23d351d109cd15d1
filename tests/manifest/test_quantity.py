from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.errors import UsageError
from spark_impex_runner.manifest.schema.check import ErrorView, Schema
from spark_impex_runner.manifest.schema.compose import published
from spark_impex_runner.quantity import (
    DURATION_SCHEMA,
    SIZE_SCHEMA,
    seconds,
    size,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from spark_impex_runner.hooks.registry import Registry

DURATIONS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "": 1}
SIZES = {
    "": 1,
    "B": 1,
    "kB": 1_000,
    "MB": 1_000_000,
    "GB": 1_000_000_000,
    "TB": 1_000_000_000_000,
    "KiB": 1_024,
    "MiB": 1_048_576,
    "GiB": 1_073_741_824,
    "TiB": 1_099_511_627_776,
}


@given(st.integers(0, 10**9), st.sampled_from(sorted(DURATIONS)))
def test_duration_is_number_times_unit(number: int, unit: str) -> None:
    """Every unit scales its number, a bare number counts seconds, and a century is the most."""
    century = 100 * 366 * 86_400
    assert seconds(f"{number}{unit}") == pytest.approx(min(number * DURATIONS[unit], century))


@pytest.mark.parametrize("unit", SIZES)
@pytest.mark.parametrize("number", [0, 1, 7, 10**9])
def test_size_is_number_times_unit(number: int, unit: str) -> None:
    """Every unit scales its number exactly, and a bare number counts bytes."""
    assert size(f"{number}{unit}") == number * SIZES[unit]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, 3.0),
        (0.25, 0.25),
        (1e-7, 1e-7),
        (1.0000000004, 1.0),
        ("1.5h", 5400.0),
        ("500ms", 0.5),
        ("45m", 2700.0),
    ],
)
def test_durations_take_numbers_and_fractions(value: float | str, expected: float) -> None:
    """Numbers that YAML has read already, and fractions, are durations."""
    assert seconds(value) == expected


def test_fractional_size_is_whole_bytes() -> None:
    """Bytes are never split."""
    assert size("1.5KiB") == 1536
    assert size("0.3kB") == 300


@pytest.mark.parametrize(
    "value", ["", "s", "-1", "1 h", "1h30m", "1:30", "1e3", "3S", "٣s", "inf", "nan", True, -2]
)
def test_invalid_duration_shows_the_form(value: float | str) -> None:
    """Anything but one plain number and one unit is refused with the forms."""
    with pytest.raises(UsageError, match="500ms, 3s, 45m, 2h"):
        seconds(value)


@pytest.mark.parametrize(
    "value", ["", "GB", "-1", "1 GB", "2gib", "2Gi", "1e3", False, 10**15, "1000000000000000"]
)
def test_invalid_size_shows_the_form(value: float | str) -> None:
    """Anything but one plain number and one unit is refused with the forms."""
    with pytest.raises(UsageError, match="10MB, 2GiB"):
        size(value)


@pytest.mark.parametrize(("name", "form"), [("duration", DURATION_SCHEMA), ("size", SIZE_SCHEMA)])
def test_schema_has_the_accepted_forms(name: str, form: dict[str, Any]) -> None:
    """The published form of a duration, and of a size, is the parser's own."""
    published_form = published()["$defs"][name]

    assert {key: published_form[key] for key in form} == form


@pytest.mark.parametrize(("parse", "form"), [(seconds, DURATION_SCHEMA), (size, SIZE_SCHEMA)])
def test_valid_quantities_can_be_parsed(
    registry: Registry, parse: Callable[[str | float], float], form: dict[str, Any]
) -> None:
    """What passes the check of a plugin's option never fails in the plugin, and the other way."""
    registry.step("special", "", {"type": "object", "properties": {"limit": form}})
    schema = Schema(registry)
    view = ErrorView(lambda path: path, lambda _: None, ())

    for value in (
        "3s",
        "3s\n",
        "2GiB",
        "1.5",
        7,
        -1,
        "",
        "1h30m",
        "1 B",
        True,
        0.5,
        "9" * 16,
        10**15 - 1,
        10**15,
    ):
        step = {"uses": "special", "with": {"limit": value}}
        target = {"name": "a", "steps": [step]}
        data = {"version": 1, "connections": {"sit": {}}, "targets": [target]}
        fits = not schema.check(data, view)
        with nullcontext() if fits else pytest.raises(UsageError):
            parse(value)
