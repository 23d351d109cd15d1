"""``impex validate``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.cli import selection

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from spark_impex_runner.cli.console import CommandContext, Console
    from spark_impex_runner.errors import ImpexError
    from spark_impex_runner.report.problems import CheckedManifest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the manifests, their options and the format of the result."""
    selection.add_manifest_arguments(parser)
    parser.add_argument(
        "--format",
        choices=("text", "json", "github", "gitlab", "sarif"),
        default="text",
        help="format of the result: lines, one JSON document, GitHub's annotations, a code quality "
        "report of GitLab, or SARIF",
    )


def execute(arguments: argparse.Namespace, context: CommandContext) -> int:
    """Check each manifest, and report every error of all of them."""
    from dataclasses import replace

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.errors import ImpexError
    from spark_impex_runner.planning.disk import check_disk
    from spark_impex_runner.planning.load import load
    from spark_impex_runner.planning.locations import state_place
    from spark_impex_runner.report import problems, scans
    from spark_impex_runner.report.masked import masked

    options, worst, checked = replace(selection.options(arguments), asks=False), 0, []
    text, console = arguments.format == "text", context.console
    for path in arguments.manifests:
        try:
            loaded = load(path, options, Clock(), context.masker)
            check_disk(loaded, options, state_place(path, options))
        except ImpexError as error:
            worst = max(worst, error.exit_code)
            one = _refused(path, error)
            if text:
                console.error(error)
        else:
            one = problems.CheckedManifest(str(path), True, len(loaded.targets), loaded.warnings)
            if text:
                _show_valid(one, console)
        checked.append(masked(one, context.masker))
    writers = {
        "json": problems.as_json,
        "github": problems.as_github,
        "gitlab": scans.as_gitlab,
        "sarif": scans.as_sarif,
    }
    if not text:
        console.document(writers[arguments.format](checked))
    return worst


def _refused(path: Path, error: ImpexError) -> CheckedManifest:
    """Return the errors of a manifest; one without a position is reported at 1:1."""
    from spark_impex_runner.errors import ManifestError, PluginError, Problem
    from spark_impex_runner.report.problems import CheckedManifest

    if isinstance(error, (ManifestError, PluginError)) and error.problems:
        return CheckedManifest(str(path), valid=False, targets=0, problems=error.problems)
    problem = Problem(str(path), 1, 1, "", str(error))
    return CheckedManifest(str(path), valid=False, targets=0, problems=(problem,))


def _show_valid(manifest: CheckedManifest, console: Console) -> None:
    """Print that a manifest is valid, and its warnings."""
    from spark_impex_runner.report.problems import summary

    console.problems(manifest.problems)
    console.result(summary(manifest))
