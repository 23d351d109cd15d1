"""A module that answers single cases, for the emulated tenant."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from spark_impex_runner import tools

from .interface import CannotCalculateError
from .module import Module
from .process import Limits, ModuleProcess, Request

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECONDS = 60.0


class ServedModule:
    """A running module of these files; ``ValueError`` is raised if it cannot be calculated."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        if not find_spec("wasmtime"):
            raise ValueError("wasmtime is not installed")
        module = Module("", files=files)
        try:
            self._process = ModuleProcess(module, Limits(total=_SECONDS), lambda: None)
        except CannotCalculateError as error:
            raise ValueError(str(error)) from error

    def reply(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the module's reply, or one whose ``errors`` have the reason."""
        [found] = self._process.calculate([Request(inputs)])
        data = tools.parse_json(found.text) if found.text else None
        if isinstance(data, dict):
            return data
        error = {"message": found.error or "the module answered no JSON object"}
        return {"response_data": {"outputs": None, "errors": [error]}, "response_meta": {}}

    def close(self) -> None:
        """End the process."""
        self._process.close()
