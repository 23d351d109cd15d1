"""Show a finished run on GitHub, in a job of GitHub Actions only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from spark_impex_runner.errors import ManifestError, PluginError
from spark_impex_runner.report.github import annotation, is_job

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spark_impex_runner.cli.console import Console
    from spark_impex_runner.cli.masking_stream import MaskingStream
    from spark_impex_runner.errors import ImpexError
    from spark_impex_runner.models import RunResult


def annotate(error: ImpexError, out: Console) -> None:
    """Annotate the lines of a manifest that has kept a run from beginning."""
    if isinstance(error, (ManifestError, PluginError)) and is_job():
        for problem in error.problems:
            _stream(out).document(annotation(problem))


def publish(finished: Sequence[RunResult], hints: Sequence[tuple[str, str]], out: Console) -> None:
    """Annotate the lines of failed targets, and append to the summary of the step."""
    if not is_job():
        return
    from spark_impex_runner.report.github_run import failures

    stream = _stream(out)
    root = Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd())
    for run in finished:
        for command in failures(run, root):
            stream.document(command)
    file = os.environ.get("GITHUB_STEP_SUMMARY")
    if file:
        try:
            _append(Path(file), finished, hints, out)
        except OSError as error:
            out.error(f"cannot write the step summary {file}: {error.strerror or error}")


def _stream(out: Console) -> MaskingStream:
    """Return where commands go: GitHub's runner reads both streams, a JSON log is all JSON."""
    return out.streams.out if out.json_lines else out.streams.err


def _append(
    file: Path, finished: Sequence[RunResult], hints: Sequence[tuple[str, str]], out: Console
) -> None:
    from spark_impex_runner.report.github_run import LIMIT, step_summary

    mask = out.masker.mask
    masked = [(purpose, mask(command)) for purpose, command in hints]
    for number, run in enumerate(finished, 1):
        last = number == len(finished)
        with file.open("a", encoding="utf-8", errors="backslashreplace") as stream:
            room = LIMIT - os.fstat(stream.fileno()).st_size
            stream.write(step_summary(run, masked if last else (), room))
