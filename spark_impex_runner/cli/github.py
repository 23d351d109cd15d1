"""Show a finished run on GitHub, in a job of GitHub Actions only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spark_impex_runner.cli.console import Console
    from spark_impex_runner.models import RunResult


def publish(finished: Sequence[RunResult], hints: Sequence[tuple[str, str]], out: Console) -> None:
    """Annotate the lines of failed targets, and append to the summary of the step."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    from spark_impex_runner.report.github_run import failures

    # GitHub's runner reads both streams; in a JSON log every line of stderr has to be JSON.
    stream = out.streams.out if out.json_lines else out.streams.err
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
