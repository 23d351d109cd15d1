"""``impex render``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from spark_impex_runner.cli import selection
from spark_impex_runner.cli.selection import local_path

if TYPE_CHECKING:
    import argparse

    from spark_impex_runner.cli.console import Surroundings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the manifest, what may be set for it, and the form of the answer."""
    parser.add_argument("manifest", metavar="MANIFEST", type=local_path, help="a YAML file")
    selection.add_arguments(parser)
    parser.add_argument(
        "--format", choices=("yaml", "json"), default="yaml", help="form of the answer"
    )
    selection.output_arguments(parser)


def execute(arguments: argparse.Namespace, surroundings: Surroundings) -> int:
    """Print the manifest as a run takes it; secrets stay references, and need not be there."""
    from spark_impex_runner.clock import Clock
    from spark_impex_runner.manifest.yaml.dump import dump
    from spark_impex_runner.planning.prepare import resolve

    options = selection.options(arguments)
    masker = surroundings.masker
    # Masked before it is written: YAML and JSON have ways of writing that no masker knows.
    data = masker.mask_within(resolve(arguments.manifest, options, Clock(), masker), keys=False)
    as_json = arguments.format == "json"
    text = json.dumps(data, indent=2, ensure_ascii=False) if as_json else dump(data)
    surroundings.console.document(text)
    return 0
