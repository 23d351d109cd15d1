"""``impex plugins``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from spark_impex_runner.cli import console, selection
from spark_impex_runner.registry import KINDS, Registry, described

if TYPE_CHECKING:
    import argparse

    from spark_impex_runner.cli.console import Surroundings
    from spark_impex_runner.plugincandidates import PluginInfo
    from spark_impex_runner.pluginmanager import Plugins


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the form of the list and the choice of plugins."""
    parser.add_argument("--json", action="store_true", help="as JSON")
    selection.add_plugin_option(parser)


def execute(arguments: argparse.Namespace, surroundings: Surroundings) -> int:
    """List every plugin with what it hooks into and offers, and those that failed with why."""
    plugins = selection.chosen_plugins(arguments)
    rows = [_row(info, plugins) for info in plugins.infos]
    if arguments.json:
        surroundings.console.result(json.dumps(rows, indent=2, ensure_ascii=False, default=str))
    else:
        shown = [{**row, "offers": _offers(row)} for row in rows]
        names = ("name", "version", "origin", "offers")
        surroundings.console.result(
            console.table([{name: row[name] for name in names} for row in shown])
        )
    return 0


def _row(info: PluginInfo, plugins: Plugins) -> dict[str, Any]:
    offers = plugins.offers.get(info.name, Registry())
    return {
        "name": info.name,
        "distribution": info.distribution,
        "version": info.version,
        "origin": info.origin,
        "hooks": list(info.hooks),
        **{kind: [described(each) for each in offers.of_kind(kind).values()] for kind in KINDS},
        "error": info.error,
    }


def _offers(row: dict[str, Any]) -> str:
    if row["error"]:
        return f"LEFT OUT: {row['error']}"
    named = [f"{word} {each['name']}" for kind, word in KINDS.items() for each in row[kind]]
    hooks = [hook for hook in row["hooks"] if hook != "impex_register"]
    return ", ".join(named) or ", ".join(hooks) or "-"
