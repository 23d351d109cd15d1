"""The output of a worker process: the same options as the run's, and masked."""

from __future__ import annotations

import argparse
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spark_impex_runner.masking import Masker

_OPTIONS = ("verbose", "quiet", "log_format", "color")
_lock = threading.Lock()
_maskers: list[Masker] = []


def output_options(arguments: argparse.Namespace) -> argparse.Namespace:
    """Return the arguments that configure a worker's output."""
    return argparse.Namespace(**{name: getattr(arguments, name) for name in _OPTIONS})


def configure_output(how: argparse.Namespace) -> Masker:
    """Configure the streams and the log of this process, and return their masker.

    They stay as long as the process. It may work for several runs at once, and each adds its
    secrets to the same masker.
    """
    from spark_impex_runner.cli.console import open_console
    from spark_impex_runner.cli.streams import install
    from spark_impex_runner.masking import Masker

    # Units may run on several threads of one process, as with Dask: install the streams once.
    with _lock:
        if not _maskers:
            masker = Masker()
            open_console(how, masker, install(masker))
            _maskers.append(masker)
        return _maskers[0]
