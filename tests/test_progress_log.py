"""A long piece of work says how far it is, ever less often."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from spark_impex_runner.progress_log import ProgressLog
from spark_impex_runner.testing.fake_clock import FakeClock

if TYPE_CHECKING:
    import pytest


def test_lines_become_rarer(caplog: pytest.LogCaptureFixture) -> None:
    """After 5, 15, 35 and 75 seconds, then each minute; nothing at the end, and none if short."""
    caplog.set_level(logging.INFO)
    clock = FakeClock()
    short, long = (ProgressLog(clock, "asked for {} of {} services", 2_000) for _ in range(2))
    short.advance()
    for _ in range(2_000):
        clock.wait(0.125)
        long.advance()

    done = (40, 120, 280, 600, 1_080, 1_560)
    assert caplog.messages == [f"asked for {each:,} of 2,000 services" for each in done]
