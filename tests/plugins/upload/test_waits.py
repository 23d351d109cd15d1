"""The pause before the step ``upload`` tries something again, and what ends it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.errors import Interrupted
from spark_impex_runner.testing import FakeClock

if TYPE_CHECKING:
    from types import ModuleType


@pytest.mark.parametrize("ends", ["the run", "another file"])
def test_pause_ends_with_run(upload: ModuleType, motor: Any, ends: str) -> None:
    """A stop, or another file that failed, is noticed long before the pause of 15 s is over."""
    clock = FakeClock()
    job = replace(motor.job(), stopping=clock.stopping, wait=clock.wait)
    delivery = upload.delivery.Delivery(job, {}, None)
    tries = []

    def at_wait(elapsed: float) -> None:
        if elapsed > 6:
            clock.stop(15) if ends == "the run" else delivery.stop.set()

    def fail() -> None:
        tries.append(clock.monotonic())
        raise upload.store.TransientError("busy")

    clock.at_wait = at_wait

    with pytest.raises(Interrupted):
        delivery._retry(fail)

    assert tries == [0, 1, 5]
    assert 6 < clock.monotonic() < 7
