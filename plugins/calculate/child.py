"""The program of the process that runs one module.

It reads a line of JSON with its settings, then the files of the module, then a line of JSON for
each case; it answers each with a line. All that it may use is limited before it reads the module.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from .compiled import engine_name, load
from .host import CaseError, Host
from .instance import TICK, Instance, Limits, Program, new_engine
from .interface import CannotCalculateError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import wasmtime

_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000


def main() -> None:
    """Answer all cases; the first answer says that the module can be calculated, or why not."""
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    settings = json.loads(stdin.readline())
    _confine(settings["cpu"], settings["data_limit"])
    wasm, code, data = (stdin.read(settings[name]) for name in ("wasm", "js", "data"))
    engine = new_engine()
    threading.Thread(target=_tick, args=(engine, os.getppid()), daemon=True).start()
    try:
        folder = Path(settings["cache"]) if settings["cache"] else None
        program = Program(engine, load(engine, wasm, folder), code)
        limits = Limits(settings["case"], settings["memory"])
        calculator = _Calculator(program, limits, program.files(data), settings["at"])
        calculator.start(settings["seed"])
    except (CannotCalculateError, CaseError) as error:
        _write(stdout, {"cannot": str(error)})
        return
    _write(stdout, {"engine": engine_name()})
    for line in stdin:
        _write(stdout, calculator.answer(json.loads(line)))


def _confine(cpu: int, data: int) -> None:
    """Limit processor time and memory, allow no core file, and leave the network.

    The memory is that of the compiler and of the module together; only Linux counts it so.
    """
    with suppress(ImportError):  # Windows has none
        import resource  # noqa: PLC0415

        for kind, most in (("RLIMIT_CORE", 0), ("RLIMIT_CPU", cpu), ("RLIMIT_DATA", data)):
            with suppress(ValueError, OSError):  # a lower limit is set already
                resource.setrlimit(getattr(resource, kind), (most, most))
    if sys.platform == "linux":
        # Some distributions forbid it: the module has no function that reaches the network anyway.
        ctypes.CDLL(None).unshare(_NEW_USER | _NEW_NETWORK)


def _tick(engine: wasmtime.Engine, parent: int) -> None:
    """Let deadlines pass; end with the parent, also while a module compiles."""
    while os.getppid() == parent:
        time.sleep(TICK)
        engine.increment_epoch()
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


def _write(stream: IO[bytes], answer: Mapping[str, Any]) -> None:
    stream.write(json.dumps(answer).encode() + b"\n")
    stream.flush()


@dataclass
class _Calculator:
    """Calculates with one instance for as long as that is sound."""

    program: Program
    limits: Limits
    files: Mapping[str, bytes]
    at: float
    seed: int = 0
    later: float = 0.0
    instance: Instance | None = None

    def start(self, seed: int, later: float = 0.0) -> Instance:
        """Begin with a new instance, whose clock is ahead by so many milliseconds."""
        self.instance, self.seed, self.later = None, seed, later
        host = Host(self.files, self.at + later, seed)
        self.instance = Instance(self.program, self.limits, host)
        if self.instance.calls_others:
            raise CannotCalculateError("the service calls other services (Xcall)")
        return self.instance

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the reply to a request, or why there is none."""
        fresh, instance = request.get("seed"), self.instance
        try:
            if fresh is not None:
                instance = self.start(fresh, request["later"])
            elif instance is None or instance.used_up:
                instance = self.start(self.seed, self.later)
            return {"id": request["id"], "reply": instance.calculate(request["inputs"])}
        except (CaseError, CannotCalculateError) as error:
            return {"id": request["id"], "error": str(error)}


if __name__ == "__main__":
    main()
