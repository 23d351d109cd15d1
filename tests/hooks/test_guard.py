"""The process state that a plugin changes while it loads is restored."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import warnings
from typing import TYPE_CHECKING

import pytest

from spark_impex_runner.errors import PluginError
from spark_impex_runner.hooks.discovery import PluginChoice
from spark_impex_runner.hooks.manager import make_plugin_manager

if TYPE_CHECKING:
    from pathlib import Path

_FAR = 80_000  # seconds


def load(folder: Path, code: str) -> str:
    """Load a plugin on a thread, as a run does; return why it cannot be used."""
    file, errors = folder / "guarded.py", []
    file.write_text(code)

    def work() -> None:
        try:
            make_plugin_manager(PluginChoice(files=(file,)))
        except PluginError as error:
            errors.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return "".join(errors)


def settings() -> object:
    """Return the state that belongs to the process."""
    mask = os.umask(0o077)
    os.umask(mask)
    environment = os.environ.get("IMPEX_TEST"), os.environ.get("PATH")
    limits = mask, sys.getrecursionlimit(), socket.getdefaulttimeout()
    hooks = sys.excepthook, threading.excepthook, signal.signal, os._exit
    alarm = signal.getitimer(signal.ITIMER_REAL)[0] > _FAR
    return environment, limits, list(warnings.filters), hooks, alarm


@pytest.mark.parametrize(
    "code",
    [
        "import os; os.environ.clear()",
        "import os; os.environ['IMPEX_TEST'] = 'other'",
        "import os; os.umask(0o777)",
        "import sys; sys.setrecursionlimit(150)",
        "import socket; socket.setdefaulttimeout(0.001)",
        "import warnings; warnings.simplefilter('error')",
        "import sys, threading; sys.excepthook = threading.excepthook = None",
        "import signal; signal.alarm(90_000)",
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    ],
)
def test_loading_restores_process_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """Variables and limits are restored, and a plugin that sets a handler still loads."""
    monkeypatch.setenv("IMPEX_TEST", "one")
    before = settings()

    refused = load(tmp_path, code)

    assert (refused, settings()) == ("", before)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os; os._exit(0)", "it called os._exit(0)"),
        ("raise KeyboardInterrupt", "import failed: KeyboardInterrupt"),
    ],
)
def test_plugin_cannot_end_the_process(tmp_path: Path, code: str, reason: str) -> None:
    """An error names a plugin that exits while it loads."""
    assert reason in load(tmp_path, code)


def test_forked_child_may_exit(tmp_path: Path) -> None:
    """Only the process that loads the plugin is kept from exiting."""
    code = (
        "import os\n"
        "child = os.fork()\n"
        "if not child: os._exit(7)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7\n"
    )

    assert load(tmp_path, code) == ""
