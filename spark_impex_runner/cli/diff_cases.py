"""``impex diff --cases``: calculate the same cases with both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spark_impex_runner.cli import selection

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from pathlib import Path

    from spark_impex_runner.models import CaseDiff

# Moves that a page or a document for programs has, unless --show says otherwise.
SHOWN = 20
_SEPARATOR = "::"
_PLUGIN = "spark_impex_runner.plugins.calculate"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the file of cases, and how the results are compared."""
    parser.add_argument(
        "--cases",
        type=selection.local_path,
        metavar="FILE",
        help="calculate these cases with both sides (needs the extra [calculate])",
    )
    parser.add_argument("--service", metavar="URI", default="", help="the service to calculate")
    parser.add_argument(
        "--tolerance",
        metavar="KIND=N",
        default="exact",
        help="exact (default), digits=12, decimals=2, absolute=0.005 or relative=0.001",
    )
    parser.add_argument(
        "--output-name",
        action="append",
        metavar="NAME",
        default=[],
        help="compare only this output of the service (repeatable)",
    )
    parser.add_argument(
        "--at",
        metavar="DATE",
        default="2026-01-01",
        help="what TODAY() answers (default: 2026-01-01)",
    )
    parser.add_argument(
        "--show", type=int, metavar="N", help="list the N largest moves (default: 20; as text, 0)"
    )
    parser.add_argument(
        "--hide-inputs", action="store_true", help="leave the inputs of cases out of the moves"
    )


def check(arguments: argparse.Namespace) -> None:
    """Raise ``UsageError`` for options that need --cases, ``PluginError`` without the extra."""
    from spark_impex_runner.errors import PluginError, UsageError

    if arguments.format == "junit" and not arguments.cases:
        raise UsageError("--format junit is for results of cases; name their file with --cases")
    if arguments.show is not None and arguments.show < 0:
        raise UsageError("--show: expected 0 or more")
    if arguments.cases:
        from importlib import import_module

        if reason := import_module(_PLUGIN).lacks({}):
            raise PluginError(reason)


def split(side: str) -> tuple[Path, str]:
    """Return path and service of ``PATH::folder/service[version]``."""
    from spark_impex_runner.paths import local_path

    path, _, service = side.partition(_SEPARATOR)
    return local_path(path, "read"), service


def calculate(arguments: argparse.Namespace, connections: list[str]) -> CaseDiff:
    """Calculate the cases with both sides; raise ``UsageError`` for cases that do not fit."""
    from dataclasses import replace
    from importlib import import_module

    from spark_impex_runner.comparison.places import package_readers
    from spark_impex_runner.errors import UsageError
    from spark_impex_runner.user import user_cache

    if any(connections):
        raise UsageError("--cases: a tenant's modules are not calculated here; export both sides")
    # By name: in a working copy, the folder of the plugins is not below the package.
    names = ("cases", "moves", "settings", "package")
    cases, moves, values, package = (import_module(f"{_PLUGIN}.{name}") for name in names)
    cache = user_cache()
    folder = cache / "calculate" if cache else None
    settings = values.Settings.of(_options(arguments), folder)
    file = cases.read_cases(arguments.cases, settings.form)
    modules = []
    for side in (arguments.old, arguments.new):
        path, service = split(side)
        try:
            modules.append(
                package.select_module(package_readers(path), service or arguments.service)
            )
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from error
    asked = moves.Asked(file.cases, settings, arguments.output_name, not arguments.hide_inputs)
    diff: CaseDiff = moves.compare_modules(*modules, asked, lambda: None)
    return replace(diff, file=str(arguments.cases), sha256=file.sha256)


def _options(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Return the options of a step with the same meaning."""
    from spark_impex_runner.errors import UsageError

    kind, _, size = arguments.tolerance.partition("=")
    kinds = {"digits": int, "decimals": int, "absolute": float, "relative": float}
    try:
        value = True if arguments.tolerance == "exact" else kinds[kind](size)
    except (KeyError, ValueError):
        raise UsageError(
            f"--tolerance: {arguments.tolerance!r} is not exact, digits=N, decimals=N, absolute=X "
            "or relative=X"
        ) from None
    return {"tolerance": {kind: value}, "at": arguments.at}
