"""The functions that a module imports: a fixed clock, one read-only file, and no way out."""

from __future__ import annotations

import random
import struct
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from .interface import CannotCalculateError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import wasmtime

# Parameters and results of each function, i for i32 and d for f64, as in a genuine module.
SIGNATURES: Final[Mapping[str, tuple[str, str]]] = {
    "___cxa_throw": ("iii", ""),
    "___syscall_fcntl64": ("iii", "i"),
    "___syscall_ioctl": ("iii", "i"),
    "___syscall_openat": ("iiii", "i"),
    "__asyncjs__dispatch": ("iii", "i"),
    "__emscripten_get_now_is_monotonic": ("", "i"),
    "__gmtime_js": ("iii", ""),
    "__localtime_js": ("iii", ""),
    "__tzset_js": ("iii", ""),
    "_abort": ("", ""),
    "_emscripten_date_now": ("", "d"),
    "_emscripten_get_now": ("", "d"),
    "_emscripten_memcpy_big": ("iii", ""),
    "_emscripten_resize_heap": ("i", "i"),
    "_environ_get": ("ii", "i"),
    "_environ_sizes_get": ("ii", "i"),
    "_fd_close": ("i", "i"),
    "_fd_read": ("iiii", "i"),
    "_fd_seek": ("iiiii", "i"),
    "_fd_write": ("iiii", "i"),
    "_getentropy": ("ii", "i"),
    "_strftime_l": ("iiiii", "i"),
}
_KINDS: Final = {"i32": "i", "f64": "d"}
PAGE: Final = 65536
UNSIGNED: Final = 0xFFFFFFFF
# Numbers of errors, as Emscripten's system calls and WASI return them.
_NO_SUCH_FILE, _NOT_A_TERMINAL, _BAD_DESCRIPTOR, _INVALID = -44, -59, 8, 28
_FIRST_DESCRIPTOR = 3
# What a module writes about its own failure is shown; this bounds it.
_MAX_DIAGNOSIS = 4096
_MAX_VECTORS = 1024


class CaseError(Exception):
    """A case cannot be calculated; the message is the reason, in one line."""


def check_signature(name: str, kind: wasmtime.FuncType) -> None:
    """Raise ``CannotCalculateError`` if there is no such function to import."""
    known = SIGNATURES.get(name)
    if known is None:
        raise CannotCalculateError(f"it needs {name}, which is not provided")
    found = tuple(
        "".join(_KINDS.get(str(each), "?") for each in kinds)
        for kinds in (kind.params, kind.results)
    )
    if found != known:
        raise CannotCalculateError(f"it needs {name} with other parameters than are known")


@dataclass
class _OpenFile:
    content: bytes
    position: int = 0


@dataclass
class Host:
    """The imported functions of one instance; each is called with its store first.

    ``at`` is the time that the clock shows, in milliseconds since 1970. ``seed`` begins the random
    numbers. It holds no store: wasmtime keeps the functions as long as the store.
    """

    files: Mapping[str, bytes]
    at: float
    seed: int
    memory: wasmtime.Memory | None = None
    out_of_memory: bool = False
    diagnosis: bytes = b""
    _open: dict[int, _OpenFile] = field(default_factory=dict)
    _opened: int = _FIRST_DESCRIPTOR

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - the same numbers each time

    # ---- memory ----

    def read(self, store: Any, pointer: int, length: int) -> bytes:
        """Return bytes of the module's memory."""
        start, end = pointer & UNSIGNED, (pointer & UNSIGNED) + (length & UNSIGNED)
        if end > self._memory.data_len(store):
            raise CaseError("the module named memory that it does not have")
        return bytes(self._memory.read(store, start, end))

    def write(self, store: Any, pointer: int, content: bytes) -> None:
        """Write bytes to the module's memory."""
        start = pointer & UNSIGNED
        if start + len(content) > self._memory.data_len(store):
            raise CaseError("the module named memory that it does not have")
        self._memory.write(store, content, start)

    @property
    def _memory(self) -> wasmtime.Memory:
        if self.memory is None:
            raise CaseError("the module called a function before it had memory")
        return self.memory

    def emscripten_resize_heap(self, store: Any, size: int) -> int:
        """Grow the memory by at least a fifth, as long as the limit allows."""
        from wasmtime import WasmtimeError  # noqa: PLC0415

        have = self._memory.data_len(store)
        wanted = (max(have * 6 // 5, size & UNSIGNED) - have + PAGE - 1) // PAGE
        least = ((size & UNSIGNED) - have + PAGE - 1) // PAGE
        for pages in (wanted, least):
            try:
                self._memory.grow(store, max(1, pages))
            except WasmtimeError:
                continue
            return 1
        self.out_of_memory = True
        return 0

    def emscripten_memcpy_big(self, store: Any, target: int, source: int, length: int) -> None:
        """Copy within the memory."""
        self.write(store, target, self.read(store, source, length))

    # ---- ends ----

    def asyncjs__dispatch(self, _store: Any, *_: int) -> int:
        """Refuse to call another service."""
        raise CaseError("the service calls another service")

    def cxa_throw(self, _store: Any, *_: int) -> None:
        """End the case: the formulas raised a C++ exception."""
        raise CaseError("the module raised a C++ exception")

    def abort(self, _store: Any) -> None:
        """End the case: the module gave up."""
        raise CaseError("the module aborted")

    # ---- files ----

    def syscall_openat(self, store: Any, _folder: int, path: int, *_: int) -> int:
        """Open the file that came with the module; there is no other."""
        end = min(256, self._memory.data_len(store) - (path & UNSIGNED))
        name = self.read(store, path, max(end, 0)).partition(b"\0")[0].decode("utf-8", "replace")
        content = self.files.get(f"/{name.lstrip('/')}")
        if content is None:
            return _NO_SUCH_FILE
        self._opened += 1
        self._open[self._opened] = _OpenFile(content)
        return self._opened

    def fd_read(self, store: Any, number: int, vectors: int, count: int, size: int) -> int:
        """Read from the file."""
        file = self._open.get(number)
        if file is None:
            return _BAD_DESCRIPTOR
        start = file.position
        for pointer, length in self._vectors(store, vectors, count):
            piece = file.content[file.position : file.position + length]
            self.write(store, pointer, piece)
            file.position += len(piece)
        self.write(store, size, struct.pack("<I", file.position - start))
        return 0

    def fd_write(self, store: Any, _number: int, vectors: int, count: int, size: int) -> int:
        """Keep the beginning of what is written, as a diagnosis."""
        total = 0
        for pointer, length in self._vectors(store, vectors, count):
            room = max(0, _MAX_DIAGNOSIS - len(self.diagnosis))
            self.diagnosis += self.read(store, pointer, min(room, length))
            total += length
        self.write(store, size, struct.pack("<I", total & UNSIGNED))
        return 0

    def fd_seek(self, store: Any, *arguments: int) -> int:
        """Set the position in the file, from its start, from here or from its end."""
        number, low, high, origin, result = arguments
        file = self._open.get(number)
        if file is None:
            return _BAD_DESCRIPTOR
        starts = {0: 0, 1: file.position, 2: len(file.content)}
        position = starts.get(origin, 0) + ((low & UNSIGNED) | (high << 32))
        if origin not in starts or not 0 <= position < 1 << 63:
            return _INVALID
        file.position = position
        self.write(store, result, struct.pack("<q", position))
        return 0

    def fd_close(self, _store: Any, number: int) -> int:
        """Close the file."""
        return 0 if self._open.pop(number, None) else _BAD_DESCRIPTOR

    def syscall_fcntl64(self, _store: Any, *_: int) -> int:
        """Agree: a file has no flags here."""
        return 0

    def syscall_ioctl(self, _store: Any, *_: int) -> int:
        """Say that the file is no terminal."""
        return _NOT_A_TERMINAL

    def _vectors(self, store: Any, pointer: int, count: int) -> list[tuple[int, int]]:
        """Return pointer and length of each part of a list."""
        if not 0 <= count <= _MAX_VECTORS:
            raise CaseError("the module named memory that it does not have")
        return list(struct.iter_unpack("<II", self.read(store, pointer, 8 * count)))

    # ---- time, chance and environment: the same in each run ----

    def emscripten_date_now(self, _store: Any) -> float:
        """Return the fixed time."""
        return self.at

    def emscripten_get_now(self, _store: Any) -> float:
        """Return the fixed time."""
        return self.at

    def emscripten_get_now_is_monotonic(self, _store: Any) -> int:
        """Agree."""
        return 1

    def gmtime_js(self, store: Any, low: int, high: int, result: int) -> None:
        """Write the parts of a time in UTC."""
        try:
            parts = time.gmtime((low & UNSIGNED) | (high << 32))
        except (OverflowError, ValueError, OSError):
            raise CaseError("the module named a time that no calendar has") from None
        year, weekday = parts.tm_year - 1900, (parts.tm_wday + 1) % 7
        clock = (parts.tm_sec, parts.tm_min, parts.tm_hour)
        date = (parts.tm_mday, parts.tm_mon - 1, year, weekday, parts.tm_yday - 1)
        self.write(store, result, struct.pack("<9i", *clock, *date, 0))

    localtime_js = gmtime_js

    def tzset_js(self, store: Any, timezone: int, daylight: int, _names: int) -> None:
        """Write that the time zone is UTC, without daylight saving time."""
        for pointer in (timezone, daylight):
            self.write(store, pointer, struct.pack("<i", 0))

    def strftime_l(self, _store: Any, *_: int) -> int:
        """Write nothing."""
        return 0

    def getentropy(self, store: Any, pointer: int, length: int) -> int:
        """Write the same random numbers for the same seed."""
        if not 0 <= length <= _MAX_VECTORS:
            return _INVALID
        self.write(store, pointer, self._random.randbytes(length))
        return 0

    def environ_sizes_get(self, store: Any, count: int, size: int) -> int:
        """Write that there are no environment variables."""
        for pointer in (count, size):
            self.write(store, pointer, struct.pack("<i", 0))
        return 0

    def environ_get(self, _store: Any, *_: int) -> int:
        """Write nothing."""
        return 0
