"""Toy modules are what their WebAssembly text says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

TENANT = Path(__file__).parents[3] / "examples" / "tenant"
TEXTS = sorted(TENANT.rglob("model.wat"))


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.parent.name)
def test_modules_are_rebuilt_byte_for_byte(text: Path, toys: ModuleType) -> None:
    """No reader has to trust a binary file of the example tenant."""
    assert text.with_suffix(".wasm").read_bytes() == toys.rebuild(text.parent)
    assert text.with_suffix(".js").read_text(encoding="utf-8") == toys.code({})


@pytest.mark.parametrize(("version", "loading"), [("1.4.1", "1.45"), ("1.4.2", "1.50")])
def test_texts_differ_in_one_loading(version: str, loading: str, toys: ModuleType) -> None:
    """Both versions are one text with another number."""
    path = TENANT / "motor" / "pricing" / version / "model.wat"

    assert path.read_text(encoding="utf-8") == toys.motor(loading).wat()
