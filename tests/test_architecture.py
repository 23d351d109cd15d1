"""The import directions and sizes of docs/explanation/architecture.md, read from the code."""

from __future__ import annotations

import ast
import graphlib
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import spark_impex_runner

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(spark_impex_runner.__file__).parent
NAME = "spark_impex_runner"

# A part of the package and the parts that it may import, imports for types included. What stands
# in no folder is the ground, which all may import but the sandbox: it emulates the other side.
GROUND = "(the ground)"
ALLOWED: dict[str, set[str]] = {
    GROUND: set(),
    "hooks": set(),
    "schemas": set(),
    "manifest": {"hooks"},
    "spark": set(),
    "state": set(),
    "report": set(),
    "sandbox": set(),
    "planning": {"hooks", "manifest", "sandbox", "spark", "state"},
    "delivery": {"hooks", "planning", "report", "spark", "state"},
    "engine": {"delivery", "hooks", "manifest", "planning", "report", "spark", "state"},
    "cli": {"engine", "hooks", "manifest", "planning", "report", "sandbox", "spark", "state"},
    "tools": {"report", "spark"},
    # What they import of the root and of the tools, a test of its own tells.
    "plugins": {"(the root)", "tools"},
    "testing": {"engine", "hooks", "planning", "sandbox", "spark"},
    "(the root)": {"engine", "hooks", "spark", "tools"},
}
# Modules that only lead to where their contents are now.
OLD_NAMES = {"hookspecs", "registry"}
# A distribution and the only modules that may import it.
THIRD_PARTY = {
    "requests": ("spark.http",),
    "urllib3": ("spark",),
    "filelock": ("atomic", "state.lease"),
    "apprise": ("plugins.notify.services",),
    "obstore": tuple(f"plugins.upload.{name}" for name in ("objects", "s3")),
    "paramiko": ("plugins.upload.sftp",),
    "botocore": ("plugins.upload.s3",),
    "isal": ("plugins.unzip.inflate",),
    "argcomplete": ("cli.completion",),
    "yaml": ("manifest.yaml",),
    "jsonschema": ("manifest.schema", "testing"),
    "pytest": ("testing",),
    "pluggy": ("hooks",),
    "keyring": ("plugins.sources.keyring",),
    "packaging": ("hooks", "planning.requirements"),
}


@cache
def modules() -> list[str]:
    """Return the dotted names of all modules, below the package."""
    names = []
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        names.append(".".join(parts if parts[-1] != "__init__" or len(parts) == 1 else parts[:-1]))
    return sorted(names)


def source(module: str) -> Path:
    """Return the file of a module."""
    path = PACKAGE.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def tree(module: str) -> ast.Module:
    """Return a module's syntax tree."""
    return ast.parse(source(module).read_text(encoding="utf-8"))


def imports(module: str) -> Iterator[str]:
    """Yield every name that a module imports, also those for types, in their absolute form."""
    package = module if source(module).name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # Only a plugin's own modules are relative: their folder is mapped into the package.
            assert not node.level or (node.level == 1 and module.startswith("plugins."))
            inner = f"{NAME}.{package}" + (f".{node.module}" if node.module else "")
            base = inner if node.level else node.module
            yield from (f"{base}.{alias.name}" for alias in node.names)


@cache
def imported(module: str) -> frozenset[str]:
    """Return the modules of ours that a module imports."""
    found = set()
    for name in imports(module):
        below = name.removeprefix(NAME).removeprefix(".")
        if name == NAME or name.startswith(f"{NAME}."):
            # The last part is a module, or a name in one.
            outer = below.rpartition(".")[0] or "__init__"
            found.add(below if below in modules() else outer)
    return frozenset(found - {module})


def part(module: str) -> str:
    """Return the part of the package that a module belongs to."""
    if module in {"__init__", *OLD_NAMES}:
        return "(the root)"
    top = module.partition(".")[0]
    return top if (PACKAGE / top).is_dir() and top != "models" else GROUND


def beyond(module: str) -> set[str]:
    """Return what a module imports of parts that the table does not allow it."""
    own = part(module)
    allowed = ALLOWED[own] | {own} | ({GROUND} if own != "sandbox" else set())
    return {each for each in imported(module) if part(each) not in allowed}


def test_every_module_imports_only_the_parts_below_it() -> None:
    """A module imports its own part, the ground, and those that the table allows."""
    assert {module: found for module in modules() if (found := beyond(module))} == {}


def test_no_module_imports_itself_by_others() -> None:
    """There is no circle, imports for types included."""
    order = graphlib.TopologicalSorter({module: imported(module) for module in modules()})

    order.prepare()  # raises CycleError


def strangers(module: str) -> Iterator[str]:
    """Yield the libraries that a module imports although the table does not have it there."""
    for name in imports(module):
        top = name.split(".")[0]
        # The library of types is imported for types only, where mypy brings it.
        if top in {NAME, "typing_extensions"} or top in sys.stdlib_module_names:
            continue
        homes = THIRD_PARTY.get(top, ())
        if not any(module == home or module.startswith(f"{home}.") for home in homes):
            yield name


def test_third_party_libraries_stay_in_their_rooms() -> None:
    """Each dependency is imported where the table says, and nothing else is a dependency."""
    assert [(module, name) for module in modules() for name in strangers(module)] == []


def test_only_reports_and_commands_print() -> None:
    """The core returns values; it never prints and never exits."""
    for module in modules():
        calls = [node.func for node in ast.walk(tree(module)) if isinstance(node, ast.Call)]
        names = {ast.unparse(call) for call in calls}
        printing = names & {"print", "sys.exit", "os._exit"}
        assert module.startswith("cli.") or not printing, module


def lines_of_code(module: str) -> int:
    """Return how many lines a module has without blanks, comments and docstrings."""
    code = tree(module)
    docstrings: set[int] = set()
    for node in ast.walk(code):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(
            node
        ):
            text = node.body[0]
            docstrings |= set(range(text.lineno, (text.end_lineno or text.lineno) + 1))
    lines = source(module).read_text(encoding="utf-8").splitlines()
    return sum(
        1
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.strip().startswith("#") and number not in docstrings
    )


def test_no_module_is_a_god() -> None:
    """A module has at most 250 lines of code, without blanks, comments and docstrings."""
    assert [module for module in modules() if lines_of_code(module) > 250] == []


def test_no_function_is_longer_than_forty_lines() -> None:
    """A function fits on a screen: at most 40 lines below its docstring."""
    functions = [
        (module, node)
        for module in modules()
        for node in ast.walk(tree(module))
        if isinstance(node, ast.FunctionDef)
    ]

    for module, node in functions:
        body = node.body[1:] if ast.get_docstring(node) else node.body
        first = body[0].lineno if body else node.lineno
        assert (node.end_lineno or first) - first < 40, f"{module}.{node.name}"


def test_no_module_has_a_name_that_says_nothing() -> None:
    """There is no utils, helpers, common or base."""
    last = {name.split(".")[-1] for name in modules()}

    assert not last & {"utils", "util", "helpers", "helper", "common", "base", "misc"}
