"""What a process says that works for a run elsewhere: as the run itself does, and masked."""

from __future__ import annotations

import argparse
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spark_impex_runner.masking import Masker

_OPTIONS = ("verbose", "quiet", "log_format", "color")
_lock = threading.Lock()
_maskers: list[Masker] = []


def voice(arguments: argparse.Namespace) -> argparse.Namespace:
    """Return of the arguments what a worker speaks by."""
    return argparse.Namespace(**{name: getattr(arguments, name) for name in _OPTIONS})


def speak(how: argparse.Namespace) -> Masker:
    """Set up the streams and the log of this process, and return what masks them.

    They stay as long as the process, which may work for several runs, even at once: each adds its
    secrets to the one masker.
    """
    from spark_impex_runner.cli.console import open_console
    from spark_impex_runner.cli.streams import install
    from spark_impex_runner.masking import Masker

    with _lock:
        if not _maskers:
            masker = Masker()
            open_console(how, masker, install(masker))
            _maskers.append(masker)
        return _maskers[0]
