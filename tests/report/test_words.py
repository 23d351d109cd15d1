from __future__ import annotations

import pytest

from spark_impex_runner.report import words


@pytest.mark.parametrize(
    ("count", "said"),
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
def test_sizes(count: int, said: str) -> None:
    """Bytes are said with one decimal in the unit that fits."""
    assert words.size(count) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
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
def test_durations(seconds: float, said: str) -> None:
    """Seconds are said in the two units that fit."""
    assert words.duration(seconds) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("two\nlines\t", "two lines"),
        ("\x1b[31mred", "\ufffd[31mred"),
        ("a\u202eb", "a\ufffdb"),
        ("\ud800", "\ufffd"),
        ("a\u00a0é 漢", "a é 漢"),
    ],
)
def test_foreign_text_becomes_plain(text: str, said: str) -> None:
    """White space becomes one blank, what is not printable is marked, the rest stays."""
    assert words.plain(text) == said
