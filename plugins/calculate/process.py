"""Run a module in a child process, and believe only answers to what it was asked."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from spark_impex_runner import tools

from .interface import CannotCalculateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from typing_extensions import Self

    from .module import Module

# With -I alone it would not find what is installed for the user only; its own paths come first. The
# package is there without its own code, which imports all that a plugin may use.
_COMMAND: Final = """import importlib.util, runpy, sys, types
sys.path += sys.argv[1:]
package = types.ModuleType("spark_impex_runner.plugins.calculate")
package.__path__ = importlib.util.find_spec(package.__name__).submodule_search_locations
sys.modules[package.__name__] = package
runpy.run_module(f"{package.__name__}.child", run_name="__main__")
"""
COMPILE_SECONDS: Final = 30.0
COMPILE_MEMORY: Final = 1 << 30
FIRST_SEED: Final = 1
# Seconds between two looks at whether the run ends.
_PAUSE: Final = 0.1
# Longer than any line of a child, which bounds the module's replies.
_MAX_LINE: Final = 32 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds for a case and for all of them, bytes of the module's memory, and its clock.

    ``at`` is in milliseconds since 1970. ``cache`` is the folder for compiled code, None without.
    """

    case: float = 1.0
    total: float = 300.0
    memory: int = 256 << 20
    at: float = 0.0
    cache: Path | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A case to calculate; with a ``seed``, in a new instance.

    ``later`` is by how many milliseconds that instance's clock is ahead.
    """

    inputs: Mapping[str, Any]
    seed: int | None = None
    later: float = 0.0


@dataclass(frozen=True, slots=True)
class Reply:
    """The module's JSON text, or the reason why there is none."""

    text: str = ""
    error: str = ""


class ModuleProcess:
    """One module in a process of its own; a context manager that leaves no process.

    ``check`` is called often and raises to end the work. ``engine`` is known once the module runs.
    Raises ``CannotCalculateError`` if it never does.
    """

    def __init__(self, module: Module, limits: Limits, check: Callable[[], None]) -> None:
        if module.reason or not module.files:
            raise CannotCalculateError(module.reason or "it has no code")
        self.engine = ""
        self._limits, self._check = limits, check
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        # -I: neither the environment nor the current folder decides what the child imports.
        paths = [path for path in sys.path if Path(path).is_absolute()]
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-I", "-c", _COMMAND, *paths],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=_environment(),
            start_new_session=True,  # Ctrl-C is for the runner, which ends its children itself
        )
        try:
            self._start(module.files)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill the process, and wait for it."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            with suppress(OSError, ValueError):
                if stream:
                    stream.close()

    def calculate(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Yield the reply to each request, in their order.

        What a process that ended early has not answered has no reply, with the reason.
        """
        deadline = time.monotonic() + self._limits.total
        asked: queue.SimpleQueue[int] = queue.SimpleQueue()
        writer = threading.Thread(target=self._send, args=(requests, asked), daemon=True)
        writer.start()
        reason = ""
        while (number := asked.get()) >= 0:
            answer = {} if reason else self._answer(deadline, f"{self._limits.total:g} s")
            if "failed" in answer or (not reason and answer.get("id") != number):
                reason = str(answer.get("failed") or "the process answered something else")
                self._process.kill()
            if reason:
                yield Reply(error=reason)
            else:
                yield Reply(str(answer.get("reply", "")), str(answer.get("error", "")))

    # ---- the two directions, at the same time: each side may wait for the other ----

    def _start(self, files: Mapping[str, bytes]) -> None:
        """Send the module, and wait until it is compiled."""
        threading.Thread(target=self._receive, daemon=True).start()
        limits = self._limits
        settings = {name: len(content) for name, content in files.items()} | {
            "cpu": int(COMPILE_SECONDS * (os.cpu_count() or 1) + limits.total) + 1,
            "data_limit": COMPILE_MEMORY + limits.memory,
            "cache": str(limits.cache or ""),
            "case": limits.case,
            "memory": limits.memory,
            "at": limits.at,
            "seed": FIRST_SEED,
        }
        head = json.dumps(settings).encode() + b"\n"
        content = b"".join((head, files["wasm"], files["js"], files["data"]))
        threading.Thread(target=self._write, args=(content,), daemon=True).start()
        # The start of an instance has the time of a case.
        deadline = time.monotonic() + COMPILE_SECONDS + limits.case
        answer = self._answer(deadline, f"{COMPILE_SECONDS:g} s to compile")
        self.engine = str(answer.get("engine", ""))
        if not self.engine:
            reason = answer.get("cannot") or answer.get("failed")
            raise CannotCalculateError(str(reason or "the process answered something else"))

    def _send(self, requests: Iterable[Request], asked: queue.SimpleQueue[int]) -> None:
        """Send the requests, and note each before the answer can be there; -1 is the end."""
        for number, request in enumerate(requests):
            asked.put(number)
            line = {"id": number, "inputs": request.inputs, "seed": request.seed}
            self._write(json.dumps({**line, "later": request.later}).encode() + b"\n")
        asked.put(-1)

    def _write(self, content: bytes) -> None:
        # A process that has ended is noticed by its missing answers.
        with suppress(OSError, ValueError):
            stream: IO[bytes] | None = self._process.stdin
            if stream:
                stream.write(content)
                stream.flush()

    def _receive(self) -> None:
        """Put every line of the child into the queue; an empty one is the end."""
        stream = self._process.stdout
        line = b"\n"
        while stream and line.endswith(b"\n"):
            try:
                line = stream.readline(_MAX_LINE)
            except (OSError, ValueError):
                line = b""
            self._lines.put(line)
        self._lines.put(b"")

    def _answer(self, deadline: float, limit: str) -> dict[str, Any]:
        """Return the next answer, or under ``failed`` why there is none."""
        while True:
            self._check()
            try:
                line = self._lines.get(timeout=_PAUSE)
                break
            except queue.Empty:
                if time.monotonic() > deadline:
                    return {"failed": f"it takes longer than {limit}"}
        if not line:
            return {"failed": self._why_ended()}
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        return answer if isinstance(answer, dict) else {"failed": "the process answered no JSON"}

    def _why_ended(self) -> str:
        """Return in one line why the process ended early."""
        self._process.kill()  # it has closed its output; this changes nothing if it has ended
        self._process.wait()
        self._errors.seek(0)
        wrote = self._errors.read(1 << 16).decode("utf-8", "replace").strip()
        if "memory allocation" in wrote or "MemoryError" in wrote:
            most = COMPILE_MEMORY + self._limits.memory
            return f"its process needs more than {most} bytes of memory"
        last = wrote.splitlines()[-1] if wrote else f"exit code {self._process.returncode}"
        return f"its process ended early: {tools.one_line(last, limit=200)}"


def _environment() -> dict[str, str]:
    """Return an empty environment, but for what Python itself may need to start."""
    needed = ("SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
    return {name: os.environ[name] for name in needed if name in os.environ}
