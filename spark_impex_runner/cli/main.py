"""The parser, the logging, and the one place where an error becomes an exit code."""

from __future__ import annotations

import argparse
import atexit
import io
import os
import platform
import shlex
import sys
from functools import partial
from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NoReturn

from spark_impex_runner.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spark_impex_runner.cli.streams import Streams
    from spark_impex_runner.masking import Masker

COMMANDS = {
    "init": "write a first manifest, with the tenant's folders where it can be asked",
    "run": "run manifests: create the jobs, wait, download, verify, step, report",
    "resume": "go on with a job whose id you have, without any memory of it",
    "cancel": "end the jobs that earlier runs left on the tenant",
    "status": "show what is not finished",
    "history": "show what was run",
    "plan": "show what a run would send; send nothing",
    "validate": "check manifests and name every mistake",
    "render": "print a manifest as a run takes it, secrets as references",
    "schema": "print the JSON Schema of the manifest",
    "completion": "print the script that completes commands, targets and tags in a shell",
    "plugins": "list plugins and what they offer",
    "verify": "check a delivered folder against its receipt",
    "sandbox": "serve a folder as an emulated tenant on loopback",
}
# So many seconds may threads and functions for the end of the process take, after a signal fewer.
_SOON, _AT_ONCE = 5.0, 0.25
_SIGNALLED = 128
_EPILOG = """exit codes:
  0 every target succeeded        2 invalid manifest or usage, nothing was sent
  3 some targets failed           4 every target failed
  5 a deadline passed             6 credentials or permission refused
  7 a plugin is missing           9 something waits for --approve
  130/143 interrupted"""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command ``impex``."""
    sys.exit(_interruptible(argv, "impex"))


def run(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command ``impex-run``, which is ``impex run``."""
    sys.exit(_interruptible(argv, "impex-run"))


def _interruptible(argv: Sequence[str] | None, program: str) -> int:
    """Execute the command line; Ctrl-C before the command has begun is no traceback."""
    try:
        return _main(argv, program)
    except KeyboardInterrupt:
        return 130


def _main(argv: Sequence[str] | None, program: str) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    if "_ARGCOMPLETE" in os.environ:  # a shell asks what could come next, by argcomplete's protocol
        from spark_impex_runner.cli import completion

        completion.answer(_parser(os.environ.get("COMP_LINE", "").split(), program))
    if argv is None and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a help text is no reason to fail
    arguments = _parsed(words, program)
    # Whoever asks for --help or --version has left by now, without waiting for any of these.
    from spark_impex_runner.cli.streams import install
    from spark_impex_runner.masking import Masker

    masker = Masker()
    streams = install(masker, alone=argv is None)
    if argv is None:
        # The process is this command: plugins' threads and their functions for its end may write
        # when the command is done, so the streams are masked until the very last of them.
        atexit.register(streams.undo.close)
        code = _executed(arguments, _again(program, words), masker, streams)
        _leave_at_once_if_stuck(code, streams)
        _leave_soon(code)
        return code
    with streams.undo:
        return _executed(arguments, _again(program, words), masker, streams)


def _executed(arguments: argparse.Namespace, command: str, masker: Masker, streams: Streams) -> int:
    """Execute the chosen command and return its exit code."""
    from spark_impex_runner.cli.console import Surroundings, open_console
    from spark_impex_runner.errors import DeliveryError, ImpexError, Interrupted, describe_os_error

    console = open_console(arguments, masker, streams)
    try:
        module = import_module(_module(arguments.command))
        code = int(module.execute(arguments, Surroundings(console, masker, command)))
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
        console.bug(error)
        return ImpexError.exit_code
    else:
        return code


class _Parser(argparse.ArgumentParser):
    """Writes a usage error as everything else on stderr is written; ``json_lines``: as JSON."""

    def __init__(self, *, json_lines: bool = False, **settings: Any) -> None:
        super().__init__(**settings)
        self._json_lines = json_lines

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line and exit with 2."""
        from spark_impex_runner.cli.console import json_line
        from spark_impex_runner.cli.streams import install
        from spark_impex_runner.masking import Masker
        from spark_impex_runner.text import escaped_line

        streams, text = install(Masker()), escaped_line(f"{self.prog}: error: {message}")
        with streams.undo:
            if self._json_lines:
                streams.err.document(json_line("error", text, event="error"))
            else:
                streams.err.styled(f"{self.format_usage()}{text}")
        sys.exit(2)


def _parsed(words: Sequence[str], program: str) -> argparse.Namespace:
    """Parse the words, none of which may hold what is not text."""
    parser = _parser(words, program)
    for word in words:
        if word.encode("utf-8", "replace").decode() != word:
            parser.error(f"the argument {word!a} is not UTF-8 text")
    return parser.parse_args(words)


def _asks_for_json(words: Sequence[str]) -> bool:
    """Tell whether the log is to be JSON, by words that may be wrong elsewhere."""
    text = " ".join(words).replace("=", " ").split()
    return any(
        value == "json" and len(option) > 3 and "--log-format".startswith(option)
        for option, value in pairwise(text)
    )


def _leave_at_once_if_stuck(code: int, streams: Streams) -> None:
    """End the process where a plugin hung after a signal: its threads would be waited for."""
    from spark_impex_runner.blocking import left_behind

    if left_behind():
        import logging

        logging.shutdown()
        streams.undo.close()
        os._exit(code)


def _leave_soon(code: int, leave: Callable[[int], object] = os._exit) -> None:
    """End the process soon with its exit code, also where a plugin's thread or atexit hangs."""
    import threading

    seconds = _AT_ONCE if code > _SIGNALLED else _SOON

    def watch() -> None:
        threading.Event().wait(seconds)
        leave(code)

    threading.Thread(target=watch, name="impex-leave", daemon=True).start()


def _again(program: str, words: Sequence[str]) -> str:
    """Return the line that goes on with this command's work."""
    return shlex.join([program, *(word for word in words if word != "--fresh")])


def _parser(argv: Sequence[str], program: str) -> argparse.ArgumentParser:
    """Build the parser; only the chosen command's module is imported."""
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
        if name in argv:
            import_module(_module(name)).add_arguments(command)
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
