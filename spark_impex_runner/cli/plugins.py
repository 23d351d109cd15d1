"""``impex plugins``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from spark_impex_runner.cli import selection
from spark_impex_runner.registry import Registry

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from spark_impex_runner.cli.main import Surroundings
    from spark_impex_runner.plugincandidates import PluginInfo
    from spark_impex_runner.pluginmanager import Plugins


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the form of the list and the choice of plugins."""
    parser.add_argument("--json", action="store_true", help="as JSON")
    selection.add_plugin_option(parser)


def execute(arguments: argparse.Namespace, surroundings: Surroundings) -> int:
    """List every plugin with what it hooks into and offers, and those that failed with why."""
    from spark_impex_runner.plugincandidates import PluginChoice
    from spark_impex_runner.pluginmanager import make_plugin_manager

    blocked, files = selection.split_plugins(arguments.plugin)
    plugins = make_plugin_manager(PluginChoice(blocked=blocked, files=files))
    rows = [_row(info, plugins) for info in plugins.infos]
    rendered = json.dumps(rows, indent=2, ensure_ascii=False) if arguments.json else _table(rows)
    surroundings.console.result(rendered)
    return 0


def _row(info: PluginInfo, plugins: Plugins) -> dict[str, Any]:
    offers = plugins.offers.get(info.name, Registry())
    return {
        "name": info.name,
        "distribution": info.distribution,
        "version": info.version,
        "origin": info.origin,
        "hooks": list(info.hooks),
        "steps": [offer.name for offer in offers.steps.values()],
        "strategies": [offer.name for offer in offers.strategies.values()],
        "sources": [source.name for source in offers.sources.values()],
        "error": info.error,
    }


def _table(rows: Sequence[dict[str, Any]]) -> str:
    """Return aligned columns; a plugin that was left out has its reason in place of its offers."""
    cells = [("NAME", "VERSION", "ORIGIN", "OFFERS")]
    cells += [(row["name"], row["version"], row["origin"], _offers(row)) for row in rows]
    widths = [max(len(cell[column]) for cell in cells) for column in range(3)]
    return "\n".join(
        "  ".join([*(cell[i].ljust(widths[i]) for i in range(3)), cell[3]]).rstrip()
        for cell in cells
    )


def _offers(row: dict[str, Any]) -> str:
    if row["error"]:
        return f"LEFT OUT: {row['error']}"
    kinds = (("step", "steps"), ("polling strategy", "strategies"), ("source", "sources"))
    named = [f"{kind} {name}" for kind, key in kinds for name in row[key]]
    hooks = [hook for hook in row["hooks"] if hook != "impex_register"]
    return ", ".join(named) or ", ".join(hooks) or "-"
