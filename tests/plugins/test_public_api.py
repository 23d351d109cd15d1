"""The built-in plugins use what every plugin may use: they prove that the API is enough."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import spark_impex_runner
from spark_impex_runner import errors, models, tools
from spark_impex_runner.tools import http, object_store

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "spark_impex_runner"
FOLDER = Path(import_module(f"{NAME}.plugins").__file__ or "").parent
PLUGINS = sorted(FOLDER.rglob("*.py"))
PUBLIC = {
    NAME: set(spark_impex_runner.__all__),
    f"{NAME}.errors": {name for name in vars(errors) if name[0].isupper()},
    f"{NAME}.models": set(models.__all__),
    f"{NAME}.tools": set(tools.__all__),
    f"{NAME}.tools.http": set(http.__all__),
    f"{NAME}.tools.object_store": set(object_store.__all__),
}


def used_names(path: Path) -> Iterator[tuple[str, str]]:
    """Yield module and name of all that a file takes from the package, for types as well."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and not node.level:
            yield from ((str(node.module), each.name) for each in node.names)
        elif isinstance(node, ast.Import):
            yield from ((each.name, "") for each in node.names)
        elif isinstance(node, ast.Attribute):
            module = ast.unparse(node.value)
            if module in {"errors", "models", "tools"}:
                yield f"{NAME}.{module}", node.attr


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: str(path.relative_to(FOLDER)))
def test_plugins_use_public_names_only(path: Path) -> None:
    """That is the package's root, errors, models and tools, and of them what they publish."""
    ours = {each for each in used_names(path) if each[0].partition(".")[0] == NAME}

    assert {(module, name) for module, name in ours if name not in PUBLIC.get(module, ())} == set()


@pytest.mark.parametrize("module", [tools, http, object_store], ids=lambda module: module.__name__)
def test_every_tool_is_used(module: object) -> None:
    """The module holds what plugins were seen to need, and nothing that nobody asked for."""
    home = str(vars(module)["__name__"])
    used = {name for path in PLUGINS for where, name in used_names(path) if where == home}

    assert PUBLIC[home] - used == set()
