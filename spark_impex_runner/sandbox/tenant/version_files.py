"""The files of one version in the served tree, and placeholders for missing ones."""

from __future__ import annotations

import io
import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

from spark_impex_runner.sandbox.tenant.workbook import write_workbook

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from spark_impex_runner.sandbox.tenant.tree import Version

PLACEHOLDERS = {
    "js": b"module.exports = {};\n",
    # The magic word and version number: the shortest valid WebAssembly module.
    "wasm": b"\0asm\x01\0\0\0",
    "data": b"{}\n",
}
_NO_RULE = (
    "validation_allow",
    "dependent_inputs",
    "min",
    "max",
    "options",
    "input_message_title",
    "input_message",
    "error_style",
    "error_title",
    "error_message",
)


class VersionFiles:
    """Reads the files of one version. Raises ValueError if one of them is malformed."""

    def __init__(self, version: Version) -> None:
        self.version = version

    @cached_property
    def about(self) -> dict[str, Any]:
        """The content of ``service.json``."""
        path = self.version.path / "service.json"
        if not path.is_file():
            return {}
        try:
            about = json.loads(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{path} is not JSON: {error}") from None
        if not isinstance(about, dict):
            raise ValueError(f"{path} must hold a JSON object")  # noqa: TRY004 - content, not type
        return about

    def check(self) -> None:
        """Raise ValueError if ``service.json`` is malformed."""
        for side in ("inputs", "outputs"):
            if not isinstance(self.about.get(side, []), list):
                path = self.version.path / "service.json"
                raise ValueError(f"{path}: {side} must be a list")  # noqa: TRY004 - content, not type

    @property
    def is_compiled(self) -> bool:
        """Whether it has a compiled module, without which it cannot be exported."""
        return self.about.get("compiled") is not False

    def parameters(self, side: str) -> list[dict[str, Any]]:
        """Return the entries of ``inputs`` or ``outputs``."""
        return [entry for entry in self.about.get(side, []) if isinstance(entry, dict)]

    def open_code(self, suffix: str) -> BinaryIO:
        """Open ``model.js``, ``model.wasm`` or ``model.data``, or its placeholder."""
        path = self.version.path / f"model.{suffix}"
        return path.open("rb") if path.is_file() else io.BytesIO(PLACEHOLDERS[suffix])

    def validations(self) -> bytes:
        """Return ``DefaultValidations.json``; a genuine one lists inputs under ``outputs``."""
        path = self.version.path / "DefaultValidations.json"
        if path.is_file():
            return path.read_bytes()
        rules = {str(entry.get("name")): _rule(entry) for entry in self.parameters("inputs")}
        data = {"outputs": rules, "warnings": None, "errors": None, "service_chain": None}
        return json.dumps(data, indent=2).encode()

    def compiler_log(self) -> bytes:
        """Return ``CompilerLog.json``, empty where there is none."""
        path = self.version.path / "CompilerLog.json"
        return path.read_bytes() if path.is_file() else b""

    def workbook_name(self) -> str:
        """Return the name of the original workbook."""
        found = self._workbook()
        return found.name if found else f"{self.version.service}.xlsx"

    def workbook(self) -> bytes:
        """Return the original workbook, or one generated from inputs and outputs."""
        found = self._workbook()
        if found:
            return found.read_bytes()
        return write_workbook(self.parameters("inputs") + self.parameters("outputs"))

    def _workbook(self) -> Path | None:
        return next(iter(sorted(self.version.path.glob("*.xlsx"))), None)


def _rule(entry: dict[str, Any]) -> dict[str, Any]:
    free: dict[str, Any] = dict.fromkeys(_NO_RULE)
    return {
        **free,
        "validation_type": "none",
        "ignore_blank": False,
        "default_value": entry.get("default"),
    }
