"""The guards of conftest.py bite."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import hypothesis
import pytest

TESTS = Path(__file__).parent


def test_a_test_cannot_reach_the_network() -> None:
    """A connection to anything but loopback fails before a packet leaves."""
    with socket.socket() as link, pytest.raises(AssertionError, match="network is off"):
        link.connect(("192.0.2.1", 80))


def test_a_test_cannot_sleep() -> None:
    """Real sleep is an error, so that no test can depend on it."""
    with pytest.raises(AssertionError, match="slept"):
        time.sleep(0.01)


def test_children_hear_ctrl_c_in_a_background_job(request: pytest.FixtureRequest) -> None:
    """A shell ignores SIGINT for a job that it starts with ``&``, and children inherit that."""
    conftest: Any = request.config.pluginmanager.get_plugin(str(TESTS / "conftest.py"))
    code = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        conftest.pytest_configure()
        out = subprocess.check_output([sys.executable, "-c", code], text=True)
    finally:
        signal.signal(signal.SIGINT, before)

    assert out == "True\n"


def test_files_that_share_servers_have_one_worker(request: pytest.FixtureRequest) -> None:
    """Each server starts once a session, and a file's fixtures are made once."""
    conftest: Any = request.config.pluginmanager.get_plugin(str(TESTS / "conftest.py"))
    files = ("plugins/upload/test_stores.py", "plugins/upload/test_upload.py", "test_guards.py")

    scopes = [conftest.scope(f"tests/{file}::test_a[x/y::z]") for file in files]

    assert scopes == ["tests/plugins/upload/"] * 2 + ["tests/test_guards.py"]


def test_every_test_has_a_limit(request: pytest.FixtureRequest) -> None:
    """A test that waits for ever fails; a slow machine is not a failure."""
    assert 300 <= float(request.config.getini("timeout")) <= 1200


def test_no_example_has_a_deadline() -> None:
    """Hypothesis judges what holds, not how fast the machine is, and tries the same each time."""
    files = [path.read_text(encoding="utf-8") for path in TESTS.rglob("*.py")]

    assert hypothesis.settings.default.deadline is None
    assert hypothesis.settings.default.derandomize
    assert [text for text in files if re.search(r"settings\([^)]*deadline", text)] == []
