"""Compile a module and calculate with instances of it, within limits; runs in a child process."""

from __future__ import annotations

import contextlib
import json
import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import wasmtime

from .features import shown, unknown_mapping
from .host import CaseError, Host, check_signature
from .interface import CannotCalculateError, read_interface

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .interface import Interface

# Seconds between two looks at the deadline of a case.
TICK: Final = 0.02
_MAX_REPLY: Final = 4 << 20
_EXPORTS: Final = {
    "_construct": (0, 1),
    "_destroy": (1, 0),
    "_is_async": (1, 1),
    "_node_calc_v3": (4, 1),
    "_malloc": (1, 1),
    "_free": (1, 0),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one instance may use: seconds for a case, bytes of memory."""

    case: float
    memory: int


def new_engine() -> wasmtime.Engine:
    """Return an engine that can end endless loops."""
    config = wasmtime.Config()
    config.epoch_interruption = True
    return wasmtime.Engine(config)


class Program:
    """A compiled module and the names of its parts."""

    def __init__(self, engine: wasmtime.Engine, module: wasmtime.Module, code: bytes) -> None:
        self.engine, self.module = engine, module
        self.interface = read_interface(code)
        self.imports = list(_imports(module, self.interface))
        _check_exports(module, self.interface)

    def files(self, data: bytes) -> Mapping[str, bytes]:
        """Return the virtual files in ``data``; raise ``CannotCalculateError`` for unknown ones."""
        for path, (start, end) in self.interface.files.items():
            if not start <= end <= len(data):
                raise CannotCalculateError(f"its .data does not hold the file {path}")
        files = {path: data[start:end] for path, (start, end) in self.interface.files.items()}
        for content in files.values():
            if name := unknown_mapping(content):
                raise CannotCalculateError(
                    f"its workbook has the mapping {shown(name)}, which is not known here"
                )
        return files


def _imports(module: wasmtime.Module, interface: Interface) -> Any:
    """Yield the name and type of each import, in the module's order."""
    for each in module.imports:
        if not isinstance(each.type, wasmtime.FuncType):
            raise CannotCalculateError(f"it needs {each.name}, which is no function")
        name = interface.imports.get(str(each.name))
        if name is None:
            raise CannotCalculateError(f"its start-up code does not name the import {each.name}")
        check_signature(name, each.type)
        yield name, each.type


def _check_exports(module: wasmtime.Module, interface: Interface) -> None:
    kinds = {each.name: each.type for each in module.exports}
    if not isinstance(kinds.get(interface.memory), wasmtime.MemoryType):
        raise CannotCalculateError("it has no memory of the name in its start-up code")
    wanted = {interface.exports[name]: counts for name, counts in _EXPORTS.items()}
    for name, (parameters, results) in {**wanted, interface.start: (0, 0)}.items():
        kind = kinds.get(name)
        if not isinstance(kind, wasmtime.FuncType):
            raise CannotCalculateError(f"it has no function {name}")
        found = ([str(each) for each in each_kind] for each_kind in (kind.params, kind.results))
        if tuple(found) != (["i32"] * parameters, ["i32"] * results):
            raise CannotCalculateError(f"its function {name} has other parameters than are known")


class Instance:
    """One workbook; ``used_up`` after any failure, when another must be made.

    Raises ``CaseError`` if it does not start.
    """

    def __init__(self, program: Program, limits: Limits, host: Host) -> None:
        self.used_up = False
        self._limits, self._host = limits, host
        self._store = wasmtime.Store(program.engine)
        self._store.set_limits(memory_size=limits.memory, table_elements=1_000_000)
        interface = program.interface
        with self._guarded():
            functions = [
                wasmtime.Func(
                    self._store, kind, getattr(self._host, name.strip("_")), access_caller=True
                )
                for name, kind in program.imports
            ]
            exports = wasmtime.Instance(self._store, program.module, functions).exports(self._store)
            memory = exports[interface.memory]
            if isinstance(memory, wasmtime.Memory):
                self._host.memory = memory
            self._functions: dict[str, Any] = {
                name: exports[short] for name, short in interface.exports.items()
            }
            start: Any = exports[interface.start]
            start(self._store)
            self._handle = self._functions["_construct"](self._store)
            self.calls_others = bool(self._call("_is_async", self._handle))

    def calculate(self, inputs: Mapping[str, Any]) -> str:
        """Return the module's reply to one case, a JSON text. Raises ``CaseError``."""
        request = {"request_data": {"inputs": inputs}, "request_meta": {}}
        sent = json.dumps(request, ensure_ascii=False, allow_nan=False).encode()
        with self._guarded():
            box, size = self._call("_malloc", len(sent) or 1), self._call("_malloc", 8)
            self._host.write(self._store, box, sent)
            reply = self._call("_node_calc_v3", self._handle, box, len(sent), size)
            [length] = struct.unpack("<I", self._host.read(self._store, size, 4))
            if length > _MAX_REPLY:
                raise CaseError(f"the module's reply has more than {_MAX_REPLY} bytes")
            text = self._host.read(self._store, reply, length)
            for pointer in (reply, box, size):
                self._call("_free", pointer)
        try:
            return text.decode()
        except UnicodeDecodeError:
            self.used_up = True
            raise CaseError("the module's reply is no UTF-8 text") from None

    def _call(self, name: str, *arguments: int) -> int:
        result: int = self._functions[name](self._store, *arguments)
        return result

    @contextlib.contextmanager
    def _guarded(self) -> Any:
        """Set the deadline, and turn each failure into ``CaseError``."""
        self._store.set_epoch_deadline(math.ceil(self._limits.case / TICK) + 1)
        try:
            yield
        except CaseError:
            self.used_up = True
            raise
        except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
            self.used_up = True
            raise CaseError(self._reason(error)) from None

    def _reason(self, error: wasmtime.Trap | wasmtime.WasmtimeError) -> str:
        """Return in one line why a call ended."""
        code = getattr(error, "trap_code", None)
        if code == wasmtime.TrapCode.INTERRUPT:
            return f"it took longer than {self._limits.case:g} s (limits.case)"
        if code == wasmtime.TrapCode.STACK_OVERFLOW:
            return "the module's recursion is too deep"
        if self._host.out_of_memory or "memory" in str(error).split("\n", 1)[0]:
            return f"the module needs more than {self._limits.memory} bytes (limits.memory)"
        wrote = self._host.diagnosis.decode("utf-8", "replace").strip()
        what = str(error).strip().splitlines()[-1].strip()
        return f"the module failed: {wrote or what}"
