"""Prepare a run so that a stop ends the preparation, too."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from spark_impex_runner.blocking import interruptible
from spark_impex_runner.planning.prepare import prepare
from spark_impex_runner.spark.http.calls import CallLog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.models import RunOptions
    from spark_impex_runner.planning.stages import Prepared


@contextmanager
def prepared_run(
    path: Path, options: RunOptions, clock: Clock, masker: Masker
) -> Iterator[Prepared]:
    """Prepare a run; a stop abandons a preparation that hangs, such as in a source of secrets."""
    manager = prepare(path, options, clock, masker)

    def close(_: Prepared) -> None:
        manager.__exit__(None, None, None)

    log = CallLog(clock)
    with log.recording():
        prepared = interruptible("the preparation", manager.__enter__, clock, late=close)
    with ExitStack() as stack:
        stack.push(manager)
        yield replace(prepared, calls=log)
