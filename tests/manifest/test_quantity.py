from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_impex_runner.errors import UsageError
from spark_impex_runner.manifest.compose import published
from spark_impex_runner.manifest.quantity import seconds, size

DURATIONS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "": 1}
SIZES = {"": 1, "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GiB": 2**30, "TiB": 2**40}


@settings(deadline=None)
@given(st.integers(0, 10**9), st.sampled_from(sorted(DURATIONS)))
def test_a_duration_is_its_number_times_its_unit(number: int, unit: str) -> None:
    """Every unit scales its number, and a bare number counts seconds."""
    assert seconds(f"{number}{unit}") == pytest.approx(number * DURATIONS[unit])


@settings(deadline=None)
@given(st.integers(0, 10**9), st.sampled_from(sorted(SIZES)))
def test_a_size_is_its_number_times_its_unit(number: int, unit: str) -> None:
    """Every unit scales its number exactly, and a bare number counts bytes."""
    assert size(f"{number}{unit}") == number * SIZES[unit]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3, 3.0), (0.25, 0.25), (1e-7, 1e-7), ("1.5h", 5400.0), ("500ms", 0.5), ("45m", 2700.0)],
)
def test_durations_take_numbers_and_fractions(value: float | str, expected: float) -> None:
    """Numbers that YAML has read already, and fractions, are durations."""
    assert seconds(value) == expected


def test_a_fractional_size_is_whole_bytes() -> None:
    """Bytes are never split."""
    assert size("1.5KiB") == 1536
    assert size("0.3kB") == 300


@pytest.mark.parametrize(
    "value", ["", "s", "-1", "1 h", "1h30m", "1:30", "1e3", "3S", "٣s", "inf", "nan", True, -2]
)
def test_what_is_no_duration_says_how_to_write_one(value: float | str) -> None:
    """Anything but one plain number and one unit is refused with the forms."""
    with pytest.raises(UsageError, match="500ms, 3s, 45m, 2h"):
        seconds(value)


@pytest.mark.parametrize("value", ["", "GB", "-1", "1 GB", "2gib", "2Gi", "1e3", False])
def test_what_is_no_size_says_how_to_write_one(value: float | str) -> None:
    """Anything but one plain number and one unit is refused with the forms."""
    with pytest.raises(UsageError, match="10MB, 2GiB"):
        size(value)


@settings(deadline=None)
@given(st.text(max_size=12))
def test_the_schema_and_the_parser_agree_on_durations(text: str) -> None:
    """An editor that knows the schema accepts exactly what the parser reads."""
    duration = published()["$defs"]["duration"]["anyOf"][1]["pattern"]
    fits = re.search(duration, text, re.ASCII) is not None and not text.endswith("\n")

    try:
        seconds(text)
    except UsageError:
        assert not fits
    else:
        assert fits
