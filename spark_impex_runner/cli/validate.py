"""``impex validate``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.cli import selection

if TYPE_CHECKING:
    import argparse

    from spark_impex_runner.cli.console import Surroundings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the manifests and what may be set for them."""
    selection.add_manifest_arguments(parser)


def execute(arguments: argparse.Namespace, surroundings: Surroundings) -> int:
    """Check each manifest, name every mistake of all of them."""
    from spark_impex_runner.clock import Clock
    from spark_impex_runner.engine.prepare import load
    from spark_impex_runner.errors import ImpexError

    options, worst = selection.options(arguments), 0
    for path in arguments.manifests:
        try:
            targets = len(load(path, options, Clock(), surroundings.masker).targets)
        except ImpexError as error:
            surroundings.console.error(error)
            worst = max(worst, error.exit_code)
        else:
            plural = "" if targets == 1 else "s"
            surroundings.console.result(f"{path}: valid, {targets} target{plural}")
    return worst
