"""``impex plan`` and ``impex-run --dry-run``."""

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
    """Print what a run of each manifest would send."""
    from spark_impex_runner.clock import Clock
    from spark_impex_runner.engine.prepare import prepare
    from spark_impex_runner.report import plan

    options = selection.options(arguments)
    for path in arguments.manifests:
        with prepare(path, options, Clock(), surroundings.masker) as prepared:
            surroundings.console.result(plan.render(prepared.run, prepared.plan))
    return 0
