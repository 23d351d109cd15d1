"""``impex diff``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from spark_impex_runner.cli import diff_cases, selection
from spark_impex_runner.cli.plan import CHANGES

if TYPE_CHECKING:
    import argparse

    from spark_impex_runner.cli.console import CommandContext
    from spark_impex_runner.comparison.tenant import Wanted
    from spark_impex_runner.models.comparison import Contents, Diff
    from spark_impex_runner.planning.stages import Prepared

# Nothing that was compared differs, but not everything could be compared.
INCOMPLETE = 3
# No case was calculated.
NOTHING = 4
_CONNECTION = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*):")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add both sides, the format, and the manifest of connections with its options."""
    for name in ("old", "new"):
        parser.add_argument(
            name,
            metavar=name.upper(),
            help="a package, a delivered folder, or CONNECTION: of the manifest",
        )
    parser.add_argument(
        "-m",
        "--manifest",
        type=selection.local_path,
        metavar="MANIFEST",
        help="the manifest of the connections",
    )
    parser.add_argument(
        "--format",
        choices=("text", "json", "html", "junit"),
        default="text",
        help="format of the differences",
    )
    diff_cases.add_arguments(parser)
    selection.add_arguments(parser)
    selection.add_output_arguments(parser)


def execute(arguments: argparse.Namespace, context: CommandContext) -> int:
    """Print the differences, and return the exit code.

    0 without any, 8 with some, 3 if some are unknown or some cases were not calculated, 4 if none
    was.
    """
    from dataclasses import replace

    from spark_impex_runner.comparison.compare import compare

    diff_cases.check(arguments)
    names = [_connection(text) for text in (arguments.old, arguments.new)]
    sides = _tenants(names, arguments, context) if any(names) else _paths(arguments)
    diff = compare(*sides)
    if arguments.cases:
        diff = replace(diff, calculation=diff_cases.calculate(arguments, names))
    _print(diff, arguments, context)
    if diff.calculation and not diff.calculation.calculated:
        return NOTHING
    if diff.calculation and diff.calculation.not_calculated:
        return INCOMPLETE
    if diff.differs:
        return CHANGES
    return 0 if diff.complete else INCOMPLETE


def _connection(text: str) -> str:
    """Return the name of a connection, empty for a path."""
    found = _CONNECTION.fullmatch(text)
    return found[1] if found and not Path(text).exists() else ""


def _paths(arguments: argparse.Namespace) -> tuple[Contents, Contents]:
    from spark_impex_runner.comparison.places import read
    from spark_impex_runner.errors import UsageError

    if arguments.manifest:
        raise UsageError("--manifest is for connections; write them as NAME:, such as sit: uat:")
    old, new = (diff_cases.split(text)[0] for text in (arguments.old, arguments.new))
    return read(old), read(new)


def _tenants(
    names: list[str], arguments: argparse.Namespace, context: CommandContext
) -> tuple[Contents, Contents]:
    """Return what two tenants list of the selected targets' services, or of all services."""
    from dataclasses import replace

    from spark_impex_runner.cli.jobs import connections_of
    from spark_impex_runner.clock import Clock
    from spark_impex_runner.comparison.tenant import read_tenant
    from spark_impex_runner.errors import UsageError
    from spark_impex_runner.planning.prepare import connect

    if not all(names):
        raise UsageError("compare two packages or folders, or two connections, not one of each")
    if not arguments.manifest:
        raise UsageError(f"{names[0]}: is a connection; name its manifest with --manifest")
    options = replace(selection.options(arguments), connections=frozenset(names))
    with connect(arguments.manifest, options, Clock(), context.masker) as prepared:
        wanted = _wanted(prepared) if options.targets or options.tags else None
        connections_of(prepared, names)
        clients = [prepared.connections.client(name) for name in names]
        old, new = (
            read_tenant(f"{name}:", client, wanted)
            for name, client in zip(names, clients, strict=True)
        )
    return old, new


def _wanted(prepared: Prepared) -> Wanted:
    """Return what the selected targets export, by its name."""
    from spark_impex_runner.comparison.tenant import Wanted
    from spark_impex_runner.errors import UsageError
    from spark_impex_runner.planning.plan import make_plan
    from spark_impex_runner.spark.uri import Uri

    folders, uris = set(), []
    for each in make_plan(prepared.run, prepared.hooks):
        named = [Uri.of_wire(text) for text in each.request.services]
        if each.request.version_ids or any(uri.service_id for uri in named):
            raise UsageError(
                f"target {each.target.name} names services by id, which differ between tenants; "
                "name them as folder/service"
            )
        folders |= set(each.request.folders)
        uris += named
    return Wanted(frozenset(folders), tuple(uris))


def _print(diff: Diff, arguments: argparse.Namespace, context: CommandContext) -> None:
    from spark_impex_runner.report.masked import masked

    console = context.console
    # Masked before long values are cut: a part of a secret is not recognized.
    diff = masked(diff, context.masker)
    format_, show = arguments.format, arguments.show
    # In a text, the figures of each output say enough; single moves are listed on request.
    listed = diff_cases.SHOWN if show is None else show
    if format_ == "json":
        import json

        from spark_impex_runner.report.diff.json import as_data

        console.document(json.dumps(as_data(diff, listed), indent=2, ensure_ascii=False))
    elif format_ == "html":
        from spark_impex_runner.report.diff import html

        console.document(html.render(diff, listed))
    elif format_ == "junit" and diff.calculation:
        from spark_impex_runner.report.diff.junit import render_calculation

        console.document(render_calculation(diff.calculation, listed))
    else:
        from spark_impex_runner.report.diff import text

        if lines := text.render(diff, colour=console.colour, show=show or 0):
            console.result(lines, styled=True)
