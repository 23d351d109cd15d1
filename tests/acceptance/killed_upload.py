"""A runner that is killed within an upload, after N pieces of it: ``killed_upload.py N MANIFEST``.

Not a test: a program of the tests. It ends by SIGKILL, or, when there are fewer pieces, as a run.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from spark_impex_runner.cli.main import run
from spark_impex_runner.spark.imports import MultipartUpload

if TYPE_CHECKING:
    from collections.abc import Iterator

nth, manifest = int(sys.argv[1]), sys.argv[2]
pieces = MultipartUpload.__iter__


def killing(self: MultipartUpload) -> Iterator[bytes]:
    """Send pieces, and exit before the chosen one."""
    for number, piece in enumerate(pieces(self)):
        if number == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        yield piece


MultipartUpload.__iter__ = killing  # type: ignore[method-assign]
run([manifest, "-q"])
