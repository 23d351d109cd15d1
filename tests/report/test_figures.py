from __future__ import annotations

import pytest

from spark_impex_runner.report import figures


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (2_147_483_648, "2.1 GB"),
        (5_000_000_000_000_000, "5000.0 TB"),
    ],
)
def test_sizes(count: int, expected: str) -> None:
    """Bytes are written with one decimal in the unit that fits."""
    assert figures.format_size(count) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1m 00s"),
        (125.4, "2m 05s"),
        (3599.7, "1h 00m"),
        (3725, "1h 02m"),
        (100_000, "27h 46m"),
    ],
)
def test_durations(seconds: float, expected: str) -> None:
    """Seconds are written in the two units that fit."""
    assert figures.format_duration(seconds) == expected
