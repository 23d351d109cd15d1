"""``impex plugins``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spark_impex_runner.cli import selection
from spark_impex_runner.cli.console import trace_to_stdout
from spark_impex_runner.cli.selection import local_path
from spark_impex_runner.hooks.registry import KINDS, Registry, as_data, summary_of
from spark_impex_runner.text import table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from spark_impex_runner.cli.console import CommandContext
    from spark_impex_runner.hooks.discovery import PluginInfo
    from spark_impex_runner.hooks.manager import Plugins


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the plugins' names, the format of the list and the trace."""
    parser.add_argument(
        "names", metavar="NAME", nargs="*", help="show these plugins with all that they provide"
    )
    parser.add_argument("--json", action="store_true", help="as JSON, with all that they provide")
    parser.add_argument(
        "--trace",
        action="append",
        default=[],
        type=local_path,
        metavar="MANIFEST",
        help="plan this manifest, and print each call of a plugin instead (repeatable)",
    )
    selection.add_arguments(parser)


def execute(arguments: argparse.Namespace, context: CommandContext) -> int:
    """List every plugin with its hooks and offers, or with the reason why it failed to load."""
    if arguments.trace:
        return _trace(arguments, context)
    plugins = selection.chosen_plugins(arguments)
    infos = _chosen(plugins, arguments.names)
    if arguments.json:
        # Values of a schema that are not JSON become text: the plugin's error is reported on use.
        context.console.data([_row(info, plugins) for info in infos])
        return 0
    if arguments.names:
        text = "\n\n".join("\n".join(_details(info, plugins)) for info in infos)
    else:
        text = table([_brief(info, plugins) for info in infos])
    context.console.result(text)
    return 0


def _trace(arguments: argparse.Namespace, context: CommandContext) -> int:
    """Plan manifests, and print each call of a plugin."""
    from spark_impex_runner.clock import Clock
    from spark_impex_runner.engine.forecast import forecast
    from spark_impex_runner.planning.prepare import prepare

    trace_to_stdout(context)
    options, clock = selection.options(arguments), Clock()
    for path in arguments.trace:
        with prepare(path, options, clock, context.masker) as prepared:
            forecast(prepared, options, clock)
    return 0


def _chosen(plugins: Plugins, names: list[str]) -> list[PluginInfo]:
    """Return the plugins with these names, or all if no name is given."""
    from spark_impex_runner.errors import UsageError
    from spark_impex_runner.spelling import did_you_mean

    known = {info.name for info in plugins.infos} | {info.distribution for info in plugins.infos}
    for name in names:
        if name not in known:
            hint = did_you_mean(name, sorted(known)) or "; impex plugins lists them"
            raise UsageError(f"no plugin is named {name!r}{hint}")
    wanted = set(names)
    return [info for info in plugins.infos if not wanted or {info.name, info.distribution} & wanted]


def _row(info: PluginInfo, plugins: Plugins) -> dict[str, Any]:
    offers = Registry() if info.error else plugins.offers[info.name]
    return {
        "name": info.name,
        "distribution": info.distribution,
        "version": info.version,
        "origin": info.origin,
        "hooks": list(info.hooks),
        **{kind: [as_data(each) for each in offers.of_kind(kind).values()] for kind in KINDS},
        "error": info.error,
    }


def _brief(info: PluginInfo, plugins: Plugins) -> dict[str, str]:
    """Return a plugin's row of the table."""
    row = {"name": info.name, "version": info.version, "origin": info.origin}
    return {**row, "offers": f"LEFT OUT: {info.error}" if info.error else _offers(info, plugins)}


def _offers(info: PluginInfo, plugins: Plugins) -> str:
    """Return what a plugin offers, or its hooks if it offers nothing."""
    offers = plugins.offers[info.name]
    named = [f"{label} {name}" for kind, label in KINDS.items() for name in offers.of_kind(kind)]
    hooks = [hook for hook in info.hooks if hook != "impex_register"]
    return ", ".join(named) or ", ".join(hooks) or "-"


def _details(info: PluginInfo, plugins: Plugins) -> Iterator[str]:
    """Yield the lines about one plugin: its origin, its hooks, its offers with their options."""
    yield " ".join(filter(None, [info.name, info.distribution, info.version, f"({info.origin})"]))
    if info.error:
        yield f"  LEFT OUT: {info.error}"
        return
    yield f"  hooks: {', '.join(info.hooks) or '-'}"
    for kind, label in KINDS.items():
        for offer in plugins.offers[info.name].of_kind(kind).values():
            yield f"  {label} {offer.name}: {summary_of(offer)}"
            yield from (f"    {line}" for line in _options(getattr(offer, "options", None)))


def _options(schema: Any) -> Iterator[str]:
    """Yield a line for each option; a plugin's schema may be malformed."""
    options = schema.get("properties") if isinstance(schema, dict) else None
    for name, option in options.items() if isinstance(options, dict) else ():
        entry = option if isinstance(option, dict) else {}
        default = f" (default: {entry['default']})" if "default" in entry else ""
        yield f"with.{name}: {entry.get('description', '')}{default}"
