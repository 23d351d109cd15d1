"""The command-line parser, and the one place where an error becomes an exit code."""

from __future__ import annotations

import argparse
import atexit
import io
import os
import platform
import re
import shlex
import sys
from functools import partial
from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NoReturn

from spark_impex_runner.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from spark_impex_runner.cli.streams import Streams
    from spark_impex_runner.masking import Masker

COMMANDS = {
    "init": "write a first manifest, with the tenant's folders if it answers",
    "run": "run manifests: create the jobs, wait, download, verify, run steps, report",
    "event": "run a manifest once for the body of a Spark webhook",
    "listen": "receive Spark webhooks on localhost, and run a manifest for each",
    "resume": "resume an export job by id, without local state",
    "approve": "record an approval of a pending import; the next run imports",
    "cancel": "cancel the unfinished jobs of earlier runs, or one job by its id",
    "jobs": "list the running and recent export jobs of a tenant, without local state",
    "status": "list unfinished targets and their jobs",
    "history": "list past runs",
    "state": "copy the state to another place",
    "plan": "show what a run would send; send nothing",
    "validate": "check manifests and report every error",
    "render": "print the resolved manifest, secrets as references",
    "schema": "print the JSON Schema of the manifest",
    "completion": "print the shell completion script",
    "plugins": "list plugins and what they provide",
    "verify": "check a delivered folder against its receipt",
    "restore": "import a backup to a tenant, after a plan",
    "rollback": "bring back what an import changed, by its lock file",
    "diff": "show what differs between two packages, delivered folders or tenants",
    "sandbox": "serve a folder as an emulated tenant on localhost",
}
# Seconds that plugins' threads and atexit functions get before the process exits without them.
# A person who pressed Ctrl-C does not wait for them.
_GRACE_SECONDS, _GRACE_AFTER_SIGNAL = 5.0, 0.25
_SIGNALLED = 128
_EPILOG = """exit codes:
  0 every target succeeded        1 a bug in the runner
  2 invalid manifest or usage, nothing was sent
  3 some targets failed           4 every target failed
  5 a deadline passed             6 credentials or permission refused
  7 a plugin is missing           8 diff: a difference; plan: there is work
  9 something waits for --approve
  130/143 interrupted"""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command ``impex``."""
    sys.exit(_run_interruptible(argv, "impex"))


def run(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command ``impex-run``, which is ``impex run``."""
    sys.exit(_run_interruptible(argv, "impex-run"))


def _run_interruptible(argv: Sequence[str] | None, program: str) -> int:
    """Run the command line, and return 130 for Ctrl-C before the command has begun."""
    try:
        return _main(argv, program)
    except KeyboardInterrupt:
        return 130


def _main(argv: Sequence[str] | None, program: str) -> int:
    args = list(sys.argv[1:] if argv is None else argv)
    if "_ARGCOMPLETE" in os.environ:  # a shell asks what could come next, by argcomplete's protocol
        from spark_impex_runner.cli import completion

        completion.answer(_parser(os.environ.get("COMP_LINE", "").split(), program))
    if argv is None and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a help text is no reason to fail
    arguments = _parse(args, program)
    # Imported only now: --help and --version have exited in the parser, and must be quick.
    from spark_impex_runner.cli.streams import install
    from spark_impex_runner.masking import Masker

    masker = Masker()
    streams = install(masker, owns_process=argv is None)
    if argv is None:
        # Plugins' threads and atexit functions may still write after the command has ended, so
        # the streams mask until the last of them. atexit calls what was registered first last.
        atexit.register(streams.undo.close)
        code = _execute(arguments, _resume_command(program, args), masker, streams)
        _exit_now_if_stuck(code, streams)
        _exit_after_grace(code)
        return code
    with streams.undo:
        return _execute(arguments, _resume_command(program, args), masker, streams)


def _execute(arguments: argparse.Namespace, command: str, masker: Masker, streams: Streams) -> int:
    """Execute the chosen command, and return its exit code."""
    from spark_impex_runner.cli.console import CommandContext, open_console
    from spark_impex_runner.errors import DeliveryError, ImpexError, Interrupted, describe_os_error

    console = open_console(arguments, masker, streams)
    try:
        module = import_module(_module(arguments.command))
        code = int(module.execute(arguments, CommandContext(console, masker, command)))
        streams.out.require_delivery()
    except ImpexError as error:
        console.error(error)
        return error.exit_code
    except KeyboardInterrupt:
        console.error(Interrupted())
        return Interrupted.exit_code
    except OSError as error:  # a disk, a socket or a limit of the system, and no bug of ours
        console.error(describe_os_error(error))
        return DeliveryError.exit_code
    except Exception as error:  # noqa: BLE001 - the last line of defence
        console.internal_error(error)
        return ImpexError.exit_code
    else:
        return code


class _Parser(argparse.ArgumentParser):
    """Parses arguments, and reports usage errors like all other errors; see ``json_lines``."""

    def __init__(self, *, json_lines: bool = False, **settings: Any) -> None:
        super().__init__(**settings)
        self._json_lines = json_lines

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        """Refuse empty values: they come from unset variables, and mean what was not asked for."""
        # The values of a command are checked by its own parser.
        if action.nargs != argparse.PARSER and not all(each.strip() for each in arg_strings):
            raise argparse.ArgumentError(
                action, "the value is empty; give one, or leave it out (an unset variable?)"
            )
        return super()._get_values(action, arg_strings)

    def error(self, message: str) -> NoReturn:
        """Report a usage error, with the way to the help, and exit with 2."""
        from spark_impex_runner.cli.console import json_line
        from spark_impex_runner.cli.streams import install
        from spark_impex_runner.masking import Masker
        from spark_impex_runner.text import escaped_line

        text = escaped_line(f"{self.prog}: error: {message}; see {self.prog} --help")
        streams = install(Masker())
        with streams.undo:
            if self._json_lines:
                streams.err.document(json_line("error", text, event="error"))
            else:
                streams.err.styled(text)
        sys.exit(2)


def _parse(args: Sequence[str], program: str) -> argparse.Namespace:
    """Parse the arguments; one that is not UTF-8 is a usage error."""
    parser = _parser(args, program)
    for arg in args:
        if arg.encode("utf-8", "replace").decode() != arg:
            parser.error(f"the argument {arg!a} is not UTF-8 text")
    if program == "impex" and not args:
        args = ["--help"]
    elif program == "impex" and args[0] not in COMMANDS and not args[0].startswith("-"):
        parser.error(f"there is no command '{args[0]}'{_nearest(args[0], COMMANDS)}")
    arguments, unknown = parser.parse_known_args(args)
    if unknown:
        # The parser of the command: that of the program knows none of its options.
        chosen = arguments.parser if program == "impex" else parser
        known = re.findall(r"(?<![\w-])--?[a-z][\w-]*", chosen.format_help())
        is_option = unknown[0].startswith("-")
        hint = _nearest(unknown[0].partition("=")[0], known) if is_option else ""
        chosen.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
    return arguments


def _nearest(word: str, known: Iterable[str]) -> str:
    from spark_impex_runner.spelling import did_you_mean

    return did_you_mean(word, known)


def _asks_for_json(args: Sequence[str]) -> bool:
    """Return whether the log is to be JSON, also if other arguments are invalid."""
    text = " ".join(args).replace("=", " ").split()
    return any(
        value == "json" and len(option) > 3 and "--log-format".startswith(option)
        for option, value in pairwise(text)
    )


def _exit_now_if_stuck(code: int, streams: Streams) -> None:
    """Exit now if a plugin hung after a signal: Python would wait for its threads."""
    from spark_impex_runner.blocking import has_abandoned

    if has_abandoned():
        import logging

        logging.shutdown()
        streams.undo.close()
        os._exit(code)


def _exit_after_grace(code: int, leave: Callable[[int], object] = os._exit) -> None:
    """Exit with ``code`` soon, even if a plugin's thread or atexit function hangs."""
    import threading

    seconds = _GRACE_AFTER_SIGNAL if code > _SIGNALLED else _GRACE_SECONDS

    def watch() -> None:
        threading.Event().wait(seconds)
        leave(code)

    threading.Thread(target=watch, name="impex-leave", daemon=True).start()


def _resume_command(program: str, args: Sequence[str]) -> str:
    """Return the command line that resumes this command's work."""
    return shlex.join([program, *(arg for arg in args if arg != "--fresh")])


def _parser(argv: Sequence[str], program: str) -> argparse.ArgumentParser:
    """Build the parser, and import only the chosen command's module."""
    version = f"%(prog)s {__version__} (Python {platform.python_version()})"
    new_parser: Any = partial(_Parser, json_lines=_asks_for_json(argv))
    if program == "impex-run":
        parser: argparse.ArgumentParser = new_parser(prog=program, **_texts(COMMANDS["run"]))
        parser.set_defaults(command="run")
        parser.add_argument("--version", action="version", version=version)
        import_module(_module("run")).add_arguments(parser)
        return parser
    parser = new_parser(prog=program, **_texts("Run Coherent Spark exports from a manifest."))
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=new_parser
    )
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=_sentence(summary))
        # Only the chosen command's module is imported, which keeps --help and completion fast.
        if name in argv:
            import_module(_module(name)).add_arguments(command)
            command.set_defaults(parser=command)
    return parser


def _texts(description: str) -> dict[str, Any]:
    return {
        "description": _sentence(description),
        "epilog": _EPILOG,
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }


def _sentence(summary: str) -> str:
    return summary[0].upper() + summary[1:].rstrip(".") + "."


def _module(command: str) -> str:
    return f"spark_impex_runner.cli.{command}"
