"""What the commands say: results to stdout, everything else to stderr, secrets never."""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import ImpexError, ManifestError
from spark_impex_runner.masking import Masker, MaskingFilter

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

_FIELDS = ("event", "run_id", "target", "job_id", "correlation_id")
_RED, _PLAIN = "\x1b[31m", "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Console:
    """The process's two streams."""

    masker: Masker
    colour: bool
    colour_errors: bool

    def result(self, text: str) -> None:
        """Print a result to stdout."""
        try:
            print(self.masker.mask(text.rstrip("\n")), flush=True)  # noqa: T201 - stdout is for this
        except BrokenPipeError:
            # Its reader has gone (`| head`). The work and its exit code do not depend on it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def error(self, what: ImpexError | str) -> None:
        """Say to stderr what went wrong.

        The problems of a manifest stand alone on their lines, ``file:line:column`` first, so that
        editors and CI systems can link them.
        """
        red, plain = (_RED, _PLAIN) if self.colour_errors else ("", "")
        label = "" if isinstance(what, ManifestError) else f"{red}error:{plain} "
        for line in self.masker.mask(str(what)).splitlines():
            print(f"{label}{line}", file=sys.stderr)  # noqa: T201 - stderr is for this

    def bug(self, error: Exception) -> None:
        """Say that we are at fault, with what is needed to mend it."""
        logging.getLogger(__name__).debug("traceback", exc_info=error)
        place = traceback.extract_tb(error.__traceback__)[-1]
        self.error(
            f"internal error: {type(error).__name__}: {error} "
            f"({place.filename}:{place.lineno}); please report it"
        )


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every command is handed besides its arguments; ``command`` is the line to repeat."""

    console: Console
    masker: Masker
    command: str


def open_console(arguments: argparse.Namespace, masker: Masker) -> Console:
    """Set the package's logging up as the arguments say and return the console."""
    handler = logging.StreamHandler(sys.stderr)
    json_lines = getattr(arguments, "log_format", "text") == "json"
    handler.setFormatter(_JsonFormatter() if json_lines else _TextFormatter())
    handler.addFilter(MaskingFilter(masker))
    level = logging.INFO
    if getattr(arguments, "verbose", False):
        level = logging.DEBUG
    elif getattr(arguments, "quiet", False):
        level = logging.WARNING
    logger = logging.getLogger("spark_impex_runner")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    colour = getattr(arguments, "color", "auto")
    return Console(masker, _wanted(colour, sys.stdout), _wanted(colour, sys.stderr))


def _wanted(colour: str, stream: Any) -> bool:
    if colour == "auto":
        return stream.isatty() and not os.environ.get("NO_COLOR")
    return colour == "always"


class _TextFormatter(logging.Formatter):
    """``08:15:02 motor: job 65f0… created``; what is not said of a target has its level."""

    def format(self, record: logging.LogRecord) -> str:
        time = f"{datetime.fromtimestamp(record.created, timezone.utc):%H:%M:%S}"
        target = getattr(record, "target", "")
        level = f"{record.levelname.lower()}: " if record.levelno != logging.INFO else ""
        text = f"{time} {level}{target + ': ' if target else ''}{record.getMessage()}"
        return f"{text}\n{record.exc_text}" if record.exc_text else text


class _JsonFormatter(logging.Formatter):
    """One JSON object a line, with a stable ``event`` name and UTC time."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, timezone.utc)
        line: dict[str, Any] = {
            "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
        }
        line |= {name: getattr(record, name, "" if name != "event" else "log") for name in _FIELDS}
        line["message"] = record.getMessage()
        if detail := getattr(record, "detail", None):
            line["detail"] = detail
        if record.exc_text:
            line["traceback"] = record.exc_text
        return json.dumps(line, ensure_ascii=False, default=str)


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """Return rows as aligned columns below their names; the last column is not padded."""
    cells = [[name.upper() for name in rows[0]], *([*row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    padded = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in cells)
    return "\n".join("  ".join(row).rstrip() for row in padded)
