"""Start programs of the tests at once: as forks of a process in which all is imported.

Not a test: a program of the tests. Over the socket whose number is its argument it is sent what
Python would be started with - ``-c`` and code, or a file, then arguments -, the settings, and
four files: the program's streams, and one that takes its process id and, at its end, its status.
More arguments are modules that it imports, too.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import runpy
import socket
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import spark_impex_runner
from spark_impex_runner.hooks.manager import make_plugin_manager
from spark_impex_runner.state import database


def serve(link: socket.socket) -> None:
    """Start what is asked for until nobody can ask."""
    while True:
        message, files, *_ = socket.recv_fds(link, 1 << 20, 4)
        if not message:
            break
        if not os.fork():
            link.close()
            keep(json.loads(message), files)
        for file in files:
            os.close(file)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    with suppress(ChildProcessError):
        while os.wait():
            pass


def keep(asked: dict[str, Any], files: list[int]) -> None:
    """Start the program, and tell what becomes of it; it has no parent but this process."""
    *streams, told = files
    child = os.fork()
    if not child:
        os.close(told)
        begin(asked, streams)
        sys.exit()
    for file in streams:
        os.close(file)
    os.write(told, f"{child}\n".encode())
    os.write(told, f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n".encode())
    os._exit(0)


def begin(asked: dict[str, Any], streams: list[int]) -> None:
    """Run the program in this process, as if Python had just been started with it."""
    if asked["start_new_session"]:
        os.setsid()
    for number, (name, file) in enumerate(zip(("stdin", "stdout", "stderr"), streams, strict=True)):
        os.dup2(file, number)
        os.close(file)
        errors = "backslashreplace" if name == "stderr" else "strict"
        buffering = 1 if name == "stderr" or os.isatty(number) else -1
        mode = "w" if number else "r"
        stream = open(number, mode, buffering, "utf-8", errors, closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    first, *words = asked["words"]
    path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [each for each in path if each not in ("", *sys.path)]
    importlib.invalidate_caches()
    tempfile.tempdir = None  # the folder of this process's TMPDIR, not of its parent's
    if first == "-c":
        sys.argv = [first, *words[1:]]
        sys.path.insert(0, "")
        main = sys.modules["__main__"] = ModuleType("__main__")
        exec(compile(words[0], "<string>", "exec"), vars(main))  # noqa: S102 - as Python does
    else:
        sys.argv = [first, *words]
        sys.path.insert(0, str(Path(first).parent))
        runpy.run_path(first, run_name="__main__")


if __name__ == "__main__":
    sys.path.remove(str(Path(__file__).parent))
    make_plugin_manager()
    for module in pkgutil.walk_packages(spark_impex_runner.__path__, "spark_impex_runner."):
        if ".testing" not in module.name and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    # As in tests/conftest.py: no test cuts the power, and disks are slow.
    os.fsync = lambda _: None
    database._SYNCHRONOUS = "OFF"
    for name in sys.argv[2:]:
        importlib.import_module(name)
    gc.freeze()
    serve(socket.socket(fileno=int(sys.argv[1])))
