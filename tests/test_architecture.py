"""The import directions and sizes of docs/explanation/architecture.md, read from the code."""

from __future__ import annotations

import ast
import graphlib
import re
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import spark_impex_runner

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(spark_impex_runner.__file__).parent
NAME = "spark_impex_runner"

# Each folder and the folders that it may import, imports for types included. The modules beside the
# folders may be imported by all but the sandbox, which emulates the other side of the wire.
SHARED = "(shared)"
ALLOWED: dict[str, set[str]] = {
    SHARED: set(),
    "hooks": set(),
    "schemas": set(),
    "manifest": {"hooks"},
    "object_store": set(),
    "spark": set(),
    "state": {"object_store"},
    "report": set(),
    "sandbox": set(),
    "comparison": {"report", "spark"},
    "planning": {"hooks", "manifest", "sandbox", "spark", "state"},
    "evidence": set(),
    "delivery": {"evidence", "hooks", "planning", "report", "spark", "state"},
    "engine": {
        "comparison",
        "delivery",
        "evidence",
        "hooks",
        "manifest",
        "planning",
        "report",
        "spark",
        "state",
    },
    "cli": {
        "comparison",
        "engine",
        "evidence",
        "hooks",
        "manifest",
        "planning",
        "plugins",
        "report",
        "sandbox",
        "spark",
        "state",
    },
    "sdk": {"spark"},
    "tools": {"comparison", "evidence", "object_store", "report", "spark"},
    # tests/plugins/test_public_api.py checks which names they import.
    "plugins": {"(the root)", "tools"},
    "testing": {"engine", "hooks", "planning", "sandbox", "spark"},
    "(the root)": {"engine", "hooks", "spark", "tools"},
}
# Modules that were moved, and import from their new place.
OLD_NAMES = {"hookspecs", "registry"}
# A distribution and the only modules that may import it.
THIRD_PARTY = {
    "requests": ("spark.http",),
    "urllib3": ("spark",),
    "filelock": ("atomic", "state.lease"),
    "cryptography": ("evidence.keys",),
    "distributed": ("plugins.executor_dask.cluster",),
    "apprise": ("plugins.notify.services",),
    "obstore": ("object_store", "plugins.upload.objects", "state.remote"),
    "paramiko": ("plugins.upload.sftp",),
    "botocore": ("object_store.aws", "plugins.upload.s3"),
    "opentelemetry": ("plugins.telemetry.otel", "plugins.telemetry.trace"),
    "isal": ("plugins.unzip.inflate",),
    "argcomplete": ("cli.completion",),
    "yaml": ("manifest.yaml",),
    "jsonschema": ("manifest.schema", "testing"),
    "pytest": ("testing",),
    "pluggy": ("hooks",),
    "wasmtime": tuple(
        f"plugins.calculate.{name}" for name in ("child", "compiled", "host", "instance")
    ),
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


def folder(module: str) -> str:
    """Return the folder of a module, or the name of what is in none."""
    if module == "__main__":  # the command as a module
        return "cli"
    if module in {"__init__", *OLD_NAMES}:
        return "(the root)"
    top = module.partition(".")[0]
    return top if (PACKAGE / top).is_dir() and top != "models" else SHARED


def forbidden_imports(module: str) -> set[str]:
    """Return the modules that a module imports although the table does not allow that."""
    own = folder(module)
    allowed = ALLOWED[own] | {own} | ({SHARED} if own != "sandbox" else set())
    return {each for each in imported(module) if folder(each) not in allowed}


def test_modules_import_in_one_direction() -> None:
    """A module imports its own folder, the shared modules, and the folders of the table."""
    assert {module: found for module in modules() if (found := forbidden_imports(module))} == {}


def test_imports_have_no_cycle() -> None:
    """Not even one of imports for types."""
    order = graphlib.TopologicalSorter({module: imported(module) for module in modules()})

    order.prepare()  # raises CycleError


def test_the_page_shows_the_import_table() -> None:
    """The table of the architecture page is the one above."""
    page = Path(__file__).parent.parent / "docs/explanation/architecture.md"
    rows = re.findall(r"^\| (`.+`) \| (.*)\|$", page.read_text(encoding="utf-8"), re.MULTILINE)
    shown = {
        name: set(re.findall("`(.+?)`", allowed))
        for names, allowed in rows
        for name in re.findall("`(.+?)`", names)
        if name in ALLOWED
    }

    checked_elsewhere = {SHARED, "schemas", "plugins", "(the root)"}
    assert shown == {name: each for name, each in ALLOWED.items() if name not in checked_elsewhere}


def misplaced_libraries(module: str) -> Iterator[str]:
    """Yield the libraries that a module imports although the table does not allow that."""
    for name in imports(module):
        top = name.split(".")[0]
        # typing_extensions is imported for types only, and installed with mypy.
        if top in {NAME, "typing_extensions"} or top in sys.stdlib_module_names:
            continue
        allowed = THIRD_PARTY.get(top, ())
        if not any(module == each or module.startswith(f"{each}.") for each in allowed):
            yield name


def test_libraries_stay_in_their_modules() -> None:
    """Each dependency is imported where the table says, and there is no other."""
    assert [(module, name) for module in modules() for name in misplaced_libraries(module)] == []


def test_only_commands_print() -> None:
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


def test_modules_are_small() -> None:
    """A module has at most 250 lines of code, without blanks, comments and docstrings."""
    assert [module for module in modules() if lines_of_code(module) > 250] == []


def test_functions_fit_a_screen() -> None:
    """A function has at most 40 lines below its docstring."""
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


def test_module_names_say_something() -> None:
    """There is no utils, helpers, common or base."""
    last = {name.split(".")[-1] for name in modules()}

    assert not last & {"utils", "util", "helpers", "helper", "common", "base", "misc"}
