"""The files that say how a run ended: written whole or not at all, each apart from the others."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from spark_impex_runner import atomic
from spark_impex_runner.blocking import END, interruptible
from spark_impex_runner.errors import DeliveryError, Interrupted, PluginError
from spark_impex_runner.text import plain

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.hooks.registry import Report
    from spark_impex_runner.models import RunResult

_log = logging.getLogger(__name__)


def write_reports(
    result: RunResult, offers: Mapping[str, Report], clock: Clock
) -> tuple[dict[str, Path], list[str]]:
    """Write the reports of a finished run; return those written, and what went wrong in lines."""
    written, problems = {}, []
    for name, path in result.manifest.reports.items():

        def work(name: str = name, path: Path = path) -> None:
            write(path, _text(offers[name], result))

        try:
            interruptible(f"report {name}", work, clock, END)
        except Interrupted:
            problems.append(f"report {name} did not end after the signal; {path} may be missing")
        except (DeliveryError, PluginError) as error:
            problems.append(str(error))
        else:
            written[name] = path
    return written, problems


def write(path: Path, text: str) -> None:
    """Write a file; raise ``DeliveryError`` where the disk refuses."""
    try:
        atomic.write_text(path, text)
    except OSError as error:
        raise DeliveryError(f"cannot write {path}: {error.strerror or error}") from error


def _text(report: Report, result: RunResult) -> str:
    """Return a report's text; whatever its plugin does else is the plugin's error."""
    culprit = f"plugin {report.provider}: the report {report.name!r}"
    try:
        text = report.write(result)
    except (Exception, SystemExit) as error:
        _log.debug("a report could not be made", exc_info=error)
        reason = plain(f"{type(error).__name__}: {error}")
        raise PluginError(f"{culprit} failed: {reason}") from error
    if not isinstance(text, str):
        raise PluginError(f"{culprit} is no text but {type(text).__name__}")
    return text
