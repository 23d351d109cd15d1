"""``impex render``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from spark_impex_runner.cli import selection
from spark_impex_runner.cli.selection import local_path

if TYPE_CHECKING:
    import argparse

    from spark_impex_runner.cli.console import CommandContext


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the manifest, its options and the format of the output."""
    parser.add_argument("manifest", metavar="MANIFEST", type=local_path, help="a YAML file")
    selection.add_arguments(parser)
    parser.add_argument(
        "--format", choices=("yaml", "json"), default="yaml", help="format of the output"
    )
    selection.add_output_arguments(parser)


def execute(arguments: argparse.Namespace, context: CommandContext) -> int:
    """Print the resolved manifest; secrets stay references, which need not resolve."""
    from spark_impex_runner.clock import Clock
    from spark_impex_runner.manifest.yaml.dump import dump
    from spark_impex_runner.planning.load import resolve

    options = selection.options(arguments)
    masker = context.masker
    # Masked as data: YAML and JSON escape text in ways that the masker does not recognize.
    data = masker.mask_within(resolve(arguments.manifest, options, Clock(), masker), keys=False)
    as_json = arguments.format == "json"
    text = json.dumps(data, indent=2, ensure_ascii=False) if as_json else dump(data)
    context.console.document(text)
    return 0
