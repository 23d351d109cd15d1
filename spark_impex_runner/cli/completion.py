"""``impex completion``, and the completions of a command line that a shell asks for."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from spark_impex_runner.cli.console import CommandContext

PROGRAMS = ("impex", "impex-run")
SHELLS = ("bash", "zsh", "fish")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the name of the shell."""
    parser.add_argument("shell", choices=SHELLS, help="the shell that evaluates the script")


def execute(arguments: argparse.Namespace, context: CommandContext) -> int:
    """Print the shell's completion script."""
    from argcomplete.shell_integration import shellcode

    # No fallback to file names: a target or a tag is not a file.
    script = shellcode(PROGRAMS, use_defaults=False, shell=arguments.shell)
    context.console.document(script)
    return 0


def answer(parser: argparse.ArgumentParser) -> None:
    """Write the completions for argcomplete's shell script, and exit.

    Options come from ``parser``, values from ``suggestions``.
    """
    from argcomplete.completers import BaseCompleter
    from argcomplete.finders import CompletionFinder

    from spark_impex_runner.cli.suggestions import suggest

    class Completer(CompletionFinder):
        """Cuts completions for bash, which replaces only the text after its last word break."""

        def quote_completions(
            self, completions: list[str], cword_prequote: str, last_wordbreak_pos: int | None
        ) -> list[str]:
            # Of these characters bash replaces the @ too (readline's rl_special_prefixes).
            broken = last_wordbreak_pos
            if broken is not None and all(found[broken] == "@" for found in completions):
                broken -= 1
            return super().quote_completions(completions, cword_prequote, broken)

    class FromManifest(BaseCompleter):
        """Completes every argument that has no fixed choices."""

        def __call__(
            self,
            *,
            prefix: str,
            action: argparse.Action,
            parser: argparse.ArgumentParser,  # noqa: ARG002 - argcomplete's signature
            parsed_args: argparse.Namespace,
        ) -> dict[str, str]:
            return suggest(action, prefix, parsed_args)

    _cut_line(parser.prog)
    # Options are offered after a dash only, so that they do not hide the names.
    Completer()(parser, always_complete_options=False, default_completer=FromManifest())


def _cut_line(program: str) -> None:
    """Remove what precedes our command in COMP_LINE: zsh passes ``cd x && impex …`` whole."""
    line, point = os.environ.get("COMP_LINE", ""), int(os.environ.get("COMP_POINT", "0"))
    before = re.compile(rf"(?:.*[\s/;&|(])?(?={re.escape(program)}\s)", re.DOTALL)
    if found := before.match(line[:point]):
        os.environ["COMP_LINE"] = line[found.end() :]
        os.environ["COMP_POINT"] = str(point - found.end())
