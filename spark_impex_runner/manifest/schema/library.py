"""Import ``jsonschema`` without the grammar of its format ``iri``, which takes a second."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# JupyterLab installs it; jsonschema imports it with its formats, of which manifests use none.
_GRAMMAR = "rfc3987_syntax"


@contextmanager
def _imported_on_use(name: str) -> Iterator[None]:
    """Give the block's imports of a module one that imports it when it is first used."""
    if name in sys.modules or find_spec(name) is None:
        yield
        return

    def is_valid_syntax(*arguments: Any) -> Any:
        return import_module(name).is_valid_syntax(*arguments)

    later = ModuleType(name)
    later.is_valid_syntax = is_valid_syntax  # type: ignore[attr-defined]
    sys.modules[name] = later
    try:
        yield
    finally:
        del sys.modules[name]


with _imported_on_use(_GRAMMAR):
    import jsonschema

__all__ = ["jsonschema"]
