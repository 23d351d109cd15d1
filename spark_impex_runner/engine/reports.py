"""Write the reports of a run: each whole or not at all, whatever happens to the others."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from spark_impex_runner import atomic
from spark_impex_runner.blocking import AT_LEAST, END, REPORT, interruptible
from spark_impex_runner.disk import full_disk
from spark_impex_runner.errors import DeliveryError, Interrupted, PluginError
from spark_impex_runner.models import EVIDENCE, RECEIPT
from spark_impex_runner.report import receipt
from spark_impex_runner.report.masked import masked
from spark_impex_runner.text import plain
from spark_impex_runner.version import DISTRIBUTION, __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.delivery.context import Context
    from spark_impex_runner.hooks.registry import Report
    from spark_impex_runner.models import Run, RunResult, TargetResult
    from spark_impex_runner.state.models import Attempt

_log = logging.getLogger(__name__)


def write_reports(
    result: RunResult, offers: Mapping[str, Report], clock: Clock
) -> tuple[dict[str, Path], list[str]]:
    """Write the reports of a finished run; return their paths and the errors as lines."""
    written, problems = {}, []
    for name, path in result.manifest.reports.items():

        def write_one(name: str = name, path: Path = path) -> None:
            _write(path, _pieces(offers[name], result))

        try:
            # A plugin's may hang.
            least = REPORT if offers[name].provider == DISTRIBUTION else AT_LEAST
            with clock.reserved(least):
                interruptible(f"report {name}", write_one, clock, END, least=least)
        except Interrupted:
            problems.append(f"report {name} did not end after the signal; {path} may be missing")
        except (DeliveryError, PluginError) as error:
            problems.append(str(error))
        else:
            written[name] = path
    return written, problems


def write(path: Path, text: str) -> None:
    """Write a text atomically; raise ``DeliveryError`` if that fails."""
    # As one piece: a text is an iterable of its characters, too.
    _write(path, [text])


def write_receipt(result: TargetResult, run: Run, context: Context, attempt: Attempt) -> None:
    """Write the receipt of a result into its output, signed if the manifest signs.

    Raises ``DeliveryError`` if that fails.
    """
    name, masker = run.manifest.name, context.masker
    # A masked name would not be recognized by the next run, which looks for its own.
    shown = name if masker.mask(name) == name else None
    text = receipt.render(masked(result, masker), run.id, __version__, shown)
    output = result.target.output
    # The records first: if the run is killed in between, the same command writes both again, since
    # the attempt is still open.
    if context.records:
        write(output / EVIDENCE, context.records.add_delivery(attempt, text))
    else:
        remove(output / EVIDENCE)
    write(output / RECEIPT, text)


def _write(path: Path, pieces: Iterable[str]) -> None:
    try:
        atomic.write_pieces(path, pieces)
    except OSError as error:
        reason = f"{error.strerror or error}{full_disk(error)}"
        raise DeliveryError(f"cannot write {path}: {reason}") from error


def remove(path: Path) -> None:
    """Remove a file if it is there; raise ``DeliveryError`` if that fails."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise DeliveryError(f"cannot remove {path}: {error.strerror or error}") from error


def _pieces(report: Report, result: RunResult) -> Iterator[str]:
    """Yield a report's text; raise ``PluginError`` if its plugin fails."""
    source = f"plugin {report.provider}: the report {report.name!r}"
    try:
        text = report.write(result)
        whole = isinstance(text, str) or not isinstance(text, Iterable)
        for piece in (text,) if whole else text:
            if not isinstance(piece, str):
                break
            yield piece
        else:
            return
    except (Exception, SystemExit) as error:
        _log.debug("a report failed", exc_info=error)
        reason = plain(f"{type(error).__name__}: {error}")
        raise PluginError(f"{source} failed: {reason}") from error
    raise PluginError(f"{source} returned {type(piece).__name__} instead of text")
