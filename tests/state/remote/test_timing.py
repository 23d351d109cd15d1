"""The clock of a lease goes on while the machine is suspended, on each system."""

from __future__ import annotations

import time

import pytest

from spark_impex_runner.state.remote.timing import boot_time

# The numbers of the system calls' clocks, as Linux and macOS have them.
LINUX, DARWIN = {"CLOCK_BOOTTIME": 7, "CLOCK_MONOTONIC": 1}, {"CLOCK_MONOTONIC": 6}


@pytest.mark.parametrize(("clocks", "expected"), [(LINUX, 7), (DARWIN, 6), ({}, -1)])
def test_clock_counts_sleep(
    monkeypatch: pytest.MonkeyPatch, clocks: dict[str, int], expected: int
) -> None:
    """On Linux the boot clock; on macOS the monotonic one of the system, not Python's."""
    for name in LINUX:
        monkeypatch.delattr(time, name, raising=False)
    for name, number in clocks.items():
        monkeypatch.setattr(time, name, number, raising=False)
    monkeypatch.setattr(time, "clock_gettime", float, raising=False)
    monkeypatch.setattr(time, "monotonic", lambda: -1.0)

    assert boot_time() == expected
