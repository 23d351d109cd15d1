"""The output of a worker process: the same options as the run's, and masked."""

from __future__ import annotations

import argparse
import threading
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spark_impex_runner.engine.distributed import UnitResult, WorkUnit
    from spark_impex_runner.masking import Masker

_OPTIONS = ("verbose", "quiet", "log_format", "color")
_lock = threading.Lock()
_maskers: list[Masker] = []


def output_options(arguments: argparse.Namespace) -> argparse.Namespace:
    """Return the arguments that configure a worker's output."""
    return argparse.Namespace(**{name: getattr(arguments, name) for name in _OPTIONS})


def work(how: argparse.Namespace, unit: WorkUnit) -> UnitResult:
    """Run a work unit; the process masks what is printed in it."""
    from spark_impex_runner.engine.worker import run_unit

    return run_unit(unit, partial(configure_output, how, logs=unit.send is None))


def configure_output(how: argparse.Namespace, *, logs: bool) -> Masker:
    """Configure the streams of this process, and its log if it ``logs``; return their masker.

    They stay as long as the process. It may work for several runs at once, and each adds its
    secrets to the same masker.
    """
    from spark_impex_runner.cli.console import open_console, print_to_stderr
    from spark_impex_runner.cli.streams import install
    from spark_impex_runner.masking import Masker

    # Units may run on several threads of one process, as with Dask: install the streams once.
    with _lock:
        if not _maskers:
            masker = Masker()
            streams = install(masker)
            if logs:
                open_console(how, masker, streams)
            else:  # the run logs what happens here
                print_to_stderr(how, streams)
            _maskers.append(masker)
        return _maskers[0]
