"""Compile modules, and keep the compiled code for later runs; runs in a child process.

Loading compiled code is running native code. So it is read only from a folder that no other user
can write, and only if it is whole.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

import wasmtime

from .interface import CannotCalculateError

if TYPE_CHECKING:
    from pathlib import Path

# Code that no run has used for so long is removed.
_KEEP_SECONDS: Final = 30 * 24 * 3600
_DIGEST_BYTES: Final = 32


def engine_name() -> str:
    """Return the engine with its version: ``wasmtime 50.0.1``."""
    return f"wasmtime {version('wasmtime')}"


def load(engine: wasmtime.Engine, wasm: bytes, folder: Path | None) -> wasmtime.Module:
    """Return the compiled module, from ``folder`` if an earlier run has left it there.

    Raises ``CannotCalculateError`` if it is no module.
    """
    if folder is None or not _is_private(folder):
        return _compiled(engine, wasm)
    digest = hashlib.sha256(wasm).hexdigest()
    path = folder / f"{digest}-{engine_name().replace(' ', '-')}"
    with suppress(OSError, wasmtime.WasmtimeError):
        if code := _read(path):
            module = wasmtime.Module.deserialize(engine, code)
            os.utime(path)
            return module
    module = _compiled(engine, wasm)
    with suppress(OSError):  # without the file, the next run compiles again
        _write(path, bytes(module.serialize()))
    return module


def _compiled(engine: wasmtime.Engine, wasm: bytes) -> wasmtime.Module:
    try:
        return wasmtime.Module(engine, wasm)
    except wasmtime.WasmtimeError as error:
        reason = str(error).splitlines()[0]
        raise CannotCalculateError(f"it does not compile: {reason}") from None


def _is_private(folder: Path) -> bool:
    """Make the folder if need be; return whether only this user can write to it."""
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        found = folder.lstat()
    except OSError:
        return False
    if os.name == "nt":  # there, the folder inherits the rights of the user's own
        return folder.is_dir()
    return folder.is_dir() and found.st_uid == os.geteuid() and not found.st_mode & 0o077


def _read(path: Path) -> bytes:
    """Return the code in a file, empty if it is not whole."""
    content = path.read_bytes()
    digest, code = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    return code if hashlib.sha256(code).digest() == digest else b""


def _write(path: Path, code: bytes) -> None:
    """Write the code under a temporary name first, and remove what was not used for long."""
    temporary = path.with_name(f".{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as file:
            file.write(hashlib.sha256(code).digest() + code)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    for each in path.parent.iterdir():
        if time.time() - each.stat().st_mtime > _KEEP_SECONDS:
            each.unlink(missing_ok=True)
