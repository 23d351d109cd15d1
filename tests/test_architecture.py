"""The import directions and sizes of docs/explanation/architecture.md, read from the code."""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import spark_impex_runner

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(spark_impex_runner.__file__).parent
NAME = "spark_impex_runner"

# A room and the rooms it may import at run time, besides the standard library and itself.
# "errors", "fields", "text" and "models" may be imported by all but each other's stage below.
EVERYWHERE = {"errors", "fields", "models", "paths", "text", "version"}
ALLOWED = {
    "errors": set(),
    "fields": set(),
    "models": set(),
    "paths": set(),
    "text": set(),
    "version": set(),
    "archives": set(),
    "ownership": {"digests"},
    "clock": set(),
    "blocking": set(),
    "masking": set(),
    "atomic": set(),
    "digests": set(),
    "hookspecs": set(),
    "registry": set(),
    "spelling": set(),
    "distributions": set(),
    "plugincandidates": {"distributions", "spelling"},
    "pluginguard": set(),
    "pluginhooks": {"hookspecs", "spelling"},
    "pluginwatch": set(),
    "pluginmanager": {
        "hookspecs",
        "registry",
        "plugincandidates",
        "pluginguard",
        "pluginhooks",
        "pluginwatch",
    },
    "manifest": {"registry", "masking", "schemas", "spelling"},
    "spark": {"archives", "blocking", "clock", "digests", "masking", "atomic"},
    "report": {"atomic", "digests", "masking", "schemas"},
    "sandbox": set(),
    "engine.context": {"engine.approvals"},
    "engine.limits": set(),
    "engine.progress": set(),
    "engine.tasks": {"blocking", "engine.limits"},
    "engine.defaults": {"hookspecs", "registry", "spark", "manifest.quantity", "report"},
    "engine.compare": {"spark"},
    "engine.plan": {"archives", "spark"},
    "engine.poll": {"engine", "spark"},
    "engine.fetch": {"blocking", "engine.limits", "engine.placed", "ownership", "spark"},
    "engine.placed": {"ownership"},
    "engine.disk": {"engine", "ownership", "spark.tenant", "state"},
    "engine.locations": {"engine.entries", "manifest.document", "ownership"},
    "engine.steps": {"engine", "hookspecs", "state"},
    "engine.memory": set(),
    "engine.reports": {"atomic", "blocking", "manifest.wording", "report.words", "spelling"},
    "engine.notices": {"blocking", "report.headline", "report.words"},
    "engine.attempt": {"digests", "state"},
    "engine.approvals": {"digests", "state"},
    "engine.pending": {"engine", "spelling", "state"},
    "engine.adopt": {"engine", "report.receipt", "state"},
    "engine.unchanged": {"engine"},
    "engine.creation": {"engine", "spark"},
    "engine.export": {"engine", "spark.status"},
    "engine.parts": {"engine", "spark.failures"},
    "engine.target": {"blocking", "engine", "ownership", "state"},
    "state": {"atomic"},
    "engine.tenants": {"engine.limits", "spark", "sandbox"},
    "engine.cancel": {"engine", "spark.failures", "spark.retry", "state"},
    "engine.forecast": {"engine", "state"},
    "engine.tokens": {"manifest.document", "spark.auth", "spark.credentials"},
    "engine.prepare": {"engine", "manifest", "plugincandidates", "pluginmanager"}
    | {"spark.uri", "spelling", "state"},
    "engine.entries": {"registry", "spark.uri"},
    "engine.refusal": {"clock", "engine", "masking", "report"},
    "engine.requirements": {"manifest", "plugincandidates", "pluginmanager", "registry"},
    "engine.scheduler": {"engine", "atomic", "report"},
    "engine.units": {"atomic", "blocking", "report"},
    "engine.run": {"blocking", "engine", "clock", "masking", "report", "state"},
    "cli": {
        "blocking",
        "clock",
        "engine",
        "manifest",
        "masking",
        "plugincandidates",
        "pluginmanager",
    }
    | {"pluginwatch", "registry", "report", "sandbox", "spelling", "state"},
    # It writes a file, and asks a tenant for what the manifest is to name.
    "cli.init": {"cli", "atomic", "clock", "engine", "manifest", "pluginmanager", "spark"},
    # What is public, and nothing else; tests/plugins/test_public_api.py also looks at types.
    "plugins": {"Registry", "StepOutput", "hookimpl", "tools"},
    # What plugins may use: names of any room below, and none of its own but the HTTP client.
    "tools": {
        "archives",
        "atomic",
        "clock",
        "digests",
        "engine.compare",
        "masking",
    }
    | {"manifest.quantity", "ownership", "report", "spark"},
    "schemas": set(),
    # For authors' tests; nothing else imports it.
    "testing": {"clock", "digests", "engine", "hookspecs", "masking", "plugincandidates"}
    | {"pluginmanager", "registry", "sandbox", "spark"},
    "__init__": {"engine", "hookspecs", "registry", "spark", "tools"},
}
# A distribution and the only modules that may import it.
THIRD_PARTY = {
    "requests": ("spark",),
    "urllib3": ("spark",),
    "filelock": ("atomic", "state.lease"),
    "apprise": ("plugins.notify.services",),
    "obstore": tuple(f"plugins.upload.{name}" for name in ("objects", "s3")),
    "paramiko": ("plugins.upload.sftp",),
    "botocore": ("plugins.upload.s3",),
    "isal": ("plugins.unzip.inflate",),
    "argcomplete": ("cli.completion",),
    "yaml": ("manifest.load", "manifest.dump", "manifest.marks"),
    "jsonschema": ("manifest.schema", "testing"),
    "pytest": ("testing",),
    "pluggy": ("hookspecs", "pluginmanager"),
    "keyring": ("plugins.sources.keyring",),
    "packaging": ("distributions", "plugincandidates", "engine.requirements"),
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


def imports(node: ast.AST) -> Iterator[str]:
    """Yield every absolute name imported at run time below a node."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            # Only a plugin's own modules are relative: their folder is mapped into the package.
            base = f"{NAME}.plugins" if child.level == 1 else child.module
            assert child.level <= 1
            yield from (f"{base}.{alias.name}" for alias in child.names)
        else:
            yield from imports(child)


def room(module: str) -> str:
    """Return the room of the table that a module belongs to."""
    fits = [key for key in ALLOWED if module == key or module.startswith(f"{key}.")]
    return max(fits, key=len, default="")


def inside(name: str) -> str:
    """Return the part of an imported name below our package, or nothing."""
    return name.removeprefix(f"{NAME}.") if name.startswith(f"{NAME}.") else ""


def beyond(module: str) -> set[str]:
    """Return what a module imports from rooms that the table does not allow it."""
    own = room(module)
    assert own or module == "engine", f"{module} has no room in the table"
    allowed = ALLOWED.get(own, set()) | EVERYWHERE | {own}
    if own in {"errors", "fields", "models", "version", "sandbox"}:
        allowed = {own}
    # ``from spark_impex_runner.manifest import schema`` names the package first.
    used = {inside(name) for name in imports(tree(module)) if inside(name)}
    return {u for u in used if not any(u == a or u.startswith(f"{a}.") for a in allowed)}


def test_every_module_imports_only_the_rooms_below_it() -> None:
    """A module imports its own room and those that the table allows, at run time."""
    assert {module: found for module in modules() if (found := beyond(module))} == {}


def test_only_plugins_import_relatively() -> None:
    """Their folder is mapped into the package."""
    relative = {name for name in modules() if "from ." in source(name).read_text(encoding="utf-8")}

    assert {name for name in relative if not room(name).startswith("plugins")} == set()


def test_nobody_inside_imports_the_package_root() -> None:
    """The public names are for outside: inside, the concrete module is imported."""
    inner = [name for name in modules() if name != "__init__" and room(name) != "plugins"]

    assert [module for module in inner if NAME in set(imports(tree(module)))] == []


def strangers(module: str) -> Iterator[str]:
    """Yield the libraries that a module imports although the table does not have it there."""
    for name in imports(tree(module)):
        top = name.split(".")[0]
        if top == NAME or top in sys.stdlib_module_names:
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
