"""A runner that is killed at one of its state's writes: ``killed.py N before|after MANIFEST``.

Instead of the manifest, a command of ``impex`` may follow: ``killed.py N before restore …``.

Not a test: a program of the tests. It ends by SIGKILL, or, when there are fewer writes, as a run.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from spark_impex_runner.cli.main import main, run
from spark_impex_runner.state.database import Database

nth, when, words = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
write = Database.write
count = 0


def killing(self: Database, *statements: Any) -> int:
    """Write, and exit before or after the chosen write."""
    global count  # noqa: PLW0603 - a counter of this program
    count += 1
    if count == nth and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    row = write(self, *statements)
    if count == nth and when == "after":
        os.kill(os.getpid(), signal.SIGKILL)
    return row


Database.write = killing  # type: ignore[method-assign]
main(words) if words[1:] else run([*words, "-q"])
