"""The commands' output: results to stdout, everything else to stderr."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import traceback
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import ImpexError, ManifestError, PluginError
from spark_impex_runner.hooks.monitor import TRACE
from spark_impex_runner.masking import Masker, MaskingFilter
from spark_impex_runner.report.excerpt import excerpt
from spark_impex_runner.text import escaped, escaped_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from spark_impex_runner.cli.masking_stream import MaskingStream
    from spark_impex_runner.cli.streams import Streams
    from spark_impex_runner.errors import Problem

# The environment variable that logs each call of a plugin, unless it is 0.
TRACED = "IMPEX_TRACE_PLUGINS"
_FIELDS = ("event", "run_id", "target", "job_id", "correlation_id")
# Events that a person reads only with -v: the progress and the end of a run are shown otherwise.
_FOR_PROGRAMS = {"target.queued", "download.started", "download.progress", "run.finished"}
_RED, _NONE = "\x1b[31m", "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Console:
    """The process's two streams, which mask what is printed to them.

    ``sources`` shows the manifest's line below each of its problems; ``json_lines`` makes
    everything on stderr a line of the log.
    """

    streams: Streams
    colour: bool
    colour_errors: bool
    sources: bool
    json_lines: bool
    masker: Masker

    def result(self, text: str, *, styled: bool = False) -> None:
        """Print a result for people to stdout; a ``styled`` one may contain our colours."""
        out = self.streams.out
        if styled:
            out.styled(text.rstrip("\n"))
        else:
            print(text.rstrip("\n"), file=out)

    def document(self, text: str) -> None:
        """Print a result for programs to stdout; its texts must be masked already."""
        self.streams.out.document(text.rstrip("\n"))

    def data(self, value: Any) -> None:
        """Print a value as JSON to stdout; parts that JSON does not know become text."""
        masked = self.masker.mask_within(value)
        self.document(json.dumps(masked, indent=2, ensure_ascii=False))

    def error(self, error: ImpexError | str) -> None:
        """Print an error to stderr."""
        if isinstance(error, (ManifestError, PluginError)) and error.problems:
            self.problems(error.problems)
            return
        if self.json_lines:
            self._log("error", "error", str(error))
            return
        red, none = (_RED, _NONE) if self.colour_errors else ("", "")
        self._print(f"{red}error:{none} {escaped_line(each)}" for each in str(error).splitlines())

    def hint(self, purpose: str, command: str) -> None:
        """Print a command that the user may want to run next to stderr, on a line of its own."""
        if self.json_lines:
            self._log("info", "note", f"{purpose}: {command}", {"command": command})
        else:
            self._print([f"{purpose}:", escaped_line(command)])

    @property
    def columns(self) -> int:
        """The width of the terminal that shows results; 0 if they go elsewhere."""
        return _columns(self.streams.out) if self.streams.out.isatty() else 0

    def problems(self, problems: Iterable[Problem]) -> None:
        """Print the errors and warnings of a manifest to stderr.

        Each is one line that begins with ``file:line:column``, which editors and CI systems link.
        """
        for problem in problems:
            if self.json_lines:
                names = ("file", "line", "column", "path")
                detail = {name: getattr(problem, name) for name in names}
                self._log(problem.severity, "problem", problem.message, detail)
                continue
            self._print([escaped_line(str(problem))])
            if self.sources:
                columns = _columns(self.streams.err)
                self._print(excerpt(problem, columns, colour=self.colour_errors))

    def _print(self, lines: Iterable[str]) -> None:
        for each in lines:
            self.streams.err.styled(each)

    def _log(
        self, level: str, event: str, message: str, detail: dict[str, Any] | None = None
    ) -> None:
        mask = self.masker.mask_within
        line = json_line(level, mask(message), event=event, detail=mask(detail))
        self.streams.err.document(line)

    def internal_error(self, error: Exception) -> None:
        """Print an error that is a bug of the runner, with the line that raised it."""
        logging.getLogger(__name__).debug("traceback", exc_info=error)
        place = traceback.extract_tb(error.__traceback__)[-1]
        self.error(
            f"internal error: {type(error).__name__}: {error} "
            f"({place.filename}:{place.lineno}); please report it"
        )


@dataclass(frozen=True, slots=True)
class CommandContext:
    """What every command gets besides its arguments.

    ``command`` is the line that resumes it; if it is empty, the caller says how to resume.
    """

    console: Console
    masker: Masker
    command: str


def trace_to_stdout(context: CommandContext) -> None:
    """Print each call of a plugin to stdout, with its time."""
    streams, trace = context.console.streams, logging.getLogger(TRACE)
    handler = _Handler(streams.out)
    handler.addFilter(MaskingFilter(context.masker))
    streams.undo.callback(setattr, trace, "propagate", True)
    streams.undo.callback(trace.removeHandler, handler)
    trace.propagate = False
    trace.addHandler(handler)
    trace.setLevel(logging.DEBUG)


def open_console(arguments: argparse.Namespace, masker: Masker, streams: Streams) -> Console:
    """Configure logging by the arguments, until ``streams.undo`` is closed."""
    handler = _Handler(streams.err)
    json_lines = print_to_stderr(arguments, streams)
    handler.addFilter(MaskingFilter(masker))
    level, foreign_level = logging.INFO, logging.WARNING
    verbose = getattr(arguments, "verbose", 0)
    handler.setFormatter(_JsonFormatter() if json_lines else _TextFormatter(brief=not verbose))
    if not (json_lines or verbose):
        handler.addFilter(lambda record: getattr(record, "event", "") not in _FOR_PROGRAMS)
    if verbose:
        level, foreign_level = logging.DEBUG, logging.INFO
    elif getattr(arguments, "quiet", False):
        level = logging.WARNING
    # All loggers share the one handler that masks. Those of plugins and libraries log at a higher
    # level than ours, unless -v asks for more.
    root, trace = logging.getLogger(), logging.getLogger(TRACE)
    # By a variable, too: a plugin's author can trace a run whose command line is fixed.
    traced = verbose > 1 or os.environ.get(TRACED, "0") not in {"", "0"}
    levels = (
        (root, foreign_level),
        (logging.getLogger("spark_impex_runner"), level),
        (trace, logging.DEBUG if traced else logging.INFO),
    )
    for logger, least in levels:
        streams.undo.callback(logger.setLevel, logger.level)
        logger.setLevel(least)
    streams.undo.callback(root.removeHandler, handler)
    root.addHandler(handler)
    colour, terminal = getattr(arguments, "color", "auto"), streams.err.isatty()
    return Console(
        streams,
        colour=_wanted(colour, streams.out),
        colour_errors=_wanted(colour, streams.err),
        sources=terminal or colour == "always",
        json_lines=json_lines,
        masker=masker,
    )


def print_to_stderr(arguments: argparse.Namespace, streams: Streams) -> bool:
    """Send what libraries and plugins print, which is no result, to stderr.

    Returns whether each of its lines becomes a line of a JSON log.
    """
    json_lines: bool = getattr(arguments, "log_format", "text") == "json"
    if json_lines:
        streams.format_errors(output_line)
    sys.stdout = streams.err
    return json_lines


class _Handler(logging.Handler):
    """Writes records, whose parts a filter has masked, to a masking stream."""

    def __init__(self, stream: MaskingStream) -> None:
        super().__init__()
        self._stream = stream

    def _write(self, text: str) -> None:
        write = self._stream.document if self._stream.line_format else self._stream.styled
        write(text)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._write(self.format(record))
        except Exception:  # noqa: BLE001 - as logging's own handlers do: a record must not end a run
            self.handleError(record)


def _columns(stream: MaskingStream) -> int:
    """Return the width of a stream's terminal."""
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        columns = 0
    return columns or shutil.get_terminal_size().columns


def _wanted(colour: str, stream: Any) -> bool:
    if colour == "auto":
        plain_only = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        return stream.isatty() and not plain_only
    return colour == "always"


class _TextFormatter(logging.Formatter):
    """Formats records as ``08:15:02Z motor: job 65f0… created``, with any level but info.

    ``brief`` leaves out what the summary says at the end: each cause is printed once.
    """

    def __init__(self, *, brief: bool) -> None:
        super().__init__()
        self._brief = brief

    def format(self, record: logging.LogRecord) -> str:
        time = f"{datetime.fromtimestamp(record.created, timezone.utc):%H:%M:%SZ}"
        target = getattr(record, "target", "")
        level = f"{record.levelname.lower()}: " if record.levelno != logging.INFO else ""
        message = (_briefly(record) if self._brief else "") or record.getMessage()
        text = f"{time} {level}{f'{target}: ' if target else ''}{message}"
        traceback = f"\n{escaped(record.exc_text)}" if record.exc_text else ""
        return escaped_line(text) + traceback


def _briefly(record: logging.LogRecord) -> str:
    """Return how a target or a step ended without the text that is in the summary, too."""
    kind, _, outcome = getattr(record, "event", "").partition(".")
    detail: dict[str, Any] = getattr(record, "detail", {})
    outcome = outcome.replace("_", " ")
    if record.levelno < logging.WARNING or outcome == "retry":
        return ""
    if kind == "step":
        return f"step {detail['uses']} {outcome}"
    if kind != "target":
        return ""
    like = f" like {detail['same_as']}" if "same_as" in detail else ""
    return f"{outcome}{like}: {detail['cause']}" if "cause" in detail else outcome


class _JsonFormatter(logging.Formatter):
    """Formats records as one JSON object a line, with a stable ``event`` name and UTC time."""

    def format(self, record: logging.LogRecord) -> str:
        names = (*_FIELDS, "detail")
        fields = {name: getattr(record, name) for name in names if hasattr(record, name)}
        message, traceback = record.getMessage(), record.exc_text
        level, created = record.levelname.lower(), record.created
        return json_line(level, message, created, **fields, traceback=traceback)


def json_line(level: str, message: str, created: float | None = None, **fields: Any) -> str:
    """Return a line of the log as a JSON object; the first keys are always the same."""
    now = datetime.now(timezone.utc)
    time = now if created is None else datetime.fromtimestamp(created, timezone.utc)
    line: dict[str, Any] = {
        "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": level,
        **dict.fromkeys(_FIELDS, ""),
        "event": "log",
    }
    # Known fields keep their position, all others follow the message.
    line |= {name: fields.pop(name) for name in _FIELDS if name in fields}
    line |= {"message": message, **{name: value for name, value in fields.items() if value}}
    return json.dumps(line, ensure_ascii=False, default=str)


def output_line(text: str) -> str:
    """Return a line that a library or a plugin wrote to stderr as a line of the log."""
    return json_line("info", text, event="output")
