"""Names are those of the field: words that the code once invented do not come back."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import spark_impex_runner

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(spark_impex_runner.__file__).parent
# Each stood for something that has a name: fault injection, tenant limits, an import, a message …
INVENTED = frozenset(
    {
        *("bear", "bears", "course", "crew", "cure", "desks", "errand", "heeded", "homes", "inbox"),
        *("lane", "manner", "mend", "mine", "nobody", "odd", "oddity", "permits", "pouring"),
        *("proof", "prove", "proven", "quick", "said", "saw", "scene", "somebody", "sound"),
        *("speak", "spot", "stranger", "tell", "ties", "told", "traveller", "voice", "weather"),
        "whoever",
    }
)
# Old names that plugins may use for one release, and an inherited test of theirs.
KEPT = frozenset({"stranger", "test_a_missing_key_is_told_in_one_line", "told", "weather"})


def names(path: Path) -> Iterator[str]:
    """Yield every name that a module defines or uses, and its own."""
    yield path.stem
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Attribute):
            yield node.attr


@cache
def invented(name: str) -> bool:
    """Return whether a word of a name is one that nobody else uses."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)
    return name not in KEPT and not INVENTED.isdisjoint(word.lower() for word in words)


def test_no_name_is_a_word_of_our_own() -> None:
    """Modules, classes, functions, arguments and attributes, of the package and its plugins."""
    files = [*PACKAGE.rglob("*.py"), *Path(__file__).parent.parent.glob("plugins/**/*.py")]

    found = {(path.name, name) for path in files for name in names(path) if invented(name)}

    assert found == set()
    assert invented("_tell_whoever")
    assert invented("TenantLane")
    assert not invented("is_transient")
