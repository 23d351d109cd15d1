"""Read the interface of a compiled module from its start-up code, as text: nothing of it runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

# A genuine one has 85 KB.
MAX_TEXT: Final = 2 << 20
_EXPORTS: Final = ("_construct", "_destroy", "_is_async", "_node_calc_v3", "_malloc", "_free")
_IMPORTS: Final = re.compile(r"\bwasmImports=\{([^{}]*)\}")
_IMPORT: Final = re.compile(r'"?([\w$]+)"?:([\w$]+)')
_EXPORT: Final = re.compile(r'Module\["(_\w+)"\]=Module\["asm"\]\["([\w$]+)"\]')
_START: Final = re.compile(r'\baddOnInit\(Module\["asm"\]\["([\w$]+)"\]\)')
_MEMORY: Final = re.compile(r'\bwasmMemory=Module\["asm"\]\["([\w$]+)"\]')
_FILE: Final = re.compile(r'"filename":"([^"]{1,256})","start":(\d{1,10}),"end":(\d{1,10})\b')


class CannotCalculateError(Exception):
    """The module cannot be calculated here; the message is the reason, in one line."""


@dataclass(frozen=True, slots=True)
class Interface:
    """The names that the compiler gave to what a module needs and offers.

    Attributes:
        imports: The name of each import by its short one.
        exports: The short name of each function by its name, such as ``_node_calc_v3``.
        start: The function that is called once, before all others.
        memory: The memory.
        files: The range of each virtual file in the ``.data`` file, by its path.
    """

    imports: Mapping[str, str]
    exports: Mapping[str, str]
    start: str
    memory: str
    files: Mapping[str, tuple[int, int]]


def read_interface(code: bytes) -> Interface:
    """Return the interface; raise ``CannotCalculateError`` if the code has another form."""
    if len(code) > MAX_TEXT:
        raise CannotCalculateError(f"its start-up code has more than {MAX_TEXT} bytes")
    text = code.decode("utf-8", "replace")
    exports = _EXPORT.findall(text)
    for name in _EXPORTS:
        _single(f'Module["{name}"]', [short for each, short in exports if each == name])
    files = _FILE.findall(text)
    if len({path for path, _, _ in files}) < len(files):
        raise CannotCalculateError("its start-up code names a file twice")
    return Interface(
        _imports(_single("wasmImports", _IMPORTS.findall(text))),
        {name: short for name, short in exports if name in _EXPORTS},
        _single("addOnInit", _START.findall(text)),
        _single("wasmMemory", _MEMORY.findall(text)),
        {path: (int(start), int(end)) for path, start, end in files},
    )


def _single(what: str, found: list[str]) -> str:
    """Return the only match."""
    if len(found) != 1:
        number = "no" if not found else "more than one"
        raise CannotCalculateError(f"its start-up code has {number} {what} in the known form")
    return found[0]


def _imports(text: str) -> dict[str, str]:
    """Return the pairs of ``short:name,short:name``."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    found = [_IMPORT.fullmatch(part) for part in parts]
    pairs = [(each[1], each[2]) for each in found if each]
    if len(pairs) < len(parts) or len(dict(pairs)) < len(pairs):
        raise CannotCalculateError("its start-up code has a wasmImports in an unknown form")
    return dict(pairs)
