"""``impex approve``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.cli import selection

if TYPE_CHECKING:
    import argparse

    from spark_impex_runner.cli.console import CommandContext


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the manifest, the selection of targets and what is approved."""
    selection.add_manifest_arguments(parser, one=True)
    group = parser.add_argument_group("the approval")
    add_approval_options(group)
    group.add_argument(
        "--key",
        type=selection.local_path,
        metavar="FILE",
        help="sign the approval by this private key: Ed25519 in PEM, or one of SSH",
    )


def add_approval_options(group: argparse._ActionsContainer) -> None:
    """Add ``--approve`` and ``--approved-by``."""
    group.add_argument(
        "--approve",
        action="append",
        default=[],
        metavar="CONNECTION[@SHA256]",
        help="approve pending imports to CONNECTION, or only this package (repeatable)",
    )
    group.add_argument(
        "--approved-by",
        default="",
        metavar="NAME",
        help="who approves (default: the user of the CI system, else of the operating system)",
    )


def execute(arguments: argparse.Namespace, context: CommandContext) -> int:
    """Record the approvals, and print the command that runs what was approved."""
    from spark_impex_runner.clock import Clock
    from spark_impex_runner.engine.approve import record_approvals
    from spark_impex_runner.text import escaped_line

    [path], out, signer = arguments.manifests, context.console, None
    if arguments.key:
        from spark_impex_runner.evidence.keys import read_signer

        signer = read_signer(arguments.key)
    options = selection.options(arguments)
    done = record_approvals(path, options, Clock(), context.masker, signer)
    for each in done:
        given = each.approval
        by = f"{given.by or 'an unknown user'} ({given.named_by})"
        out.result(escaped_line(f"{each.target}: {', '.join(given.covers)} approved by {by}"))
    for each in done:
        out.hint("approved; to import", each.command)
    return 0
