"""The guards of conftest.py bite."""

from __future__ import annotations

import socket
import time

import pytest


def test_a_test_cannot_reach_the_network() -> None:
    """A connection to anything but loopback fails before a packet leaves."""
    with socket.socket() as link, pytest.raises(AssertionError, match="network is off"):
        link.connect(("192.0.2.1", 80))


def test_a_test_cannot_sleep() -> None:
    """Real sleep is an error, so that no test can depend on it."""
    with pytest.raises(AssertionError, match="slept"):
        time.sleep(0.01)
