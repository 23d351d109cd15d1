"""A runner that is killed at one of its writes to a store: ``killed_put.py N before|after M URL``.

Not a test: a program of the tests. It ends by SIGKILL, or, when there are fewer writes, as a run.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from spark_impex_runner.cli.main import run
from spark_impex_runner.state.remote.objects import Objects

nth, when, manifest, url = int(sys.argv[1]), *sys.argv[2:]
put = Objects.put
count = 0


def killing(self: Objects, key: str, *rest: Any, **more: Any) -> Any:
    """Write, and exit before or after the chosen write of a target or run; leases do not count."""
    global count  # noqa: PLW0603 - a counter of this program
    counts = key.startswith("targets/") or key.endswith("/run.json")
    count += counts
    if counts and count == nth and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    version = put(self, key, *rest, **more)
    if counts and count == nth and when == "after":
        os.kill(os.getpid(), signal.SIGKILL)
    return version


Objects.put = killing  # type: ignore[method-assign]
run([manifest, "-q", "--state", url])
