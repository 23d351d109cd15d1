"""One runner per target: a lock of the operating system, which dies with its holder."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

from filelock import FileLock, Timeout

from spark_impex_runner import fields
from spark_impex_runner.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

# A name of a file has at most 255 bytes, of which the ending takes some.
_LONGEST = 240
_KEPT = 120


@contextmanager
def lease(folder: Path, target: str, now: datetime) -> Iterator[None]:
    """Hold a target while the block runs.

    Raises ``StateError`` that names the holder when another runner works on it. The lock is the
    kernel's, so that of a killed runner is free at once; the holder's name lies beside it.
    """
    place = folder / "leases" / _file_name(target)
    holder = place.with_name(f"{place.name}.holder")
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = FileLock(place.with_name(f"{place.name}.lock"), mode=0o600, thread_local=False)
        lock.acquire(timeout=0)
    except Timeout:
        raise StateError(
            f"target {target} is being worked on by {_who(holder)}; wait for it or stop it"
        ) from None
    except (OSError, NotImplementedError) as error:
        raise StateError(
            f"{place}: cannot be locked ({error}); put the state on a local disk with --state DIR"
        ) from error
    try:
        me = {"pid": os.getpid(), "host": socket.gethostname(), "since": now.isoformat()}
        with suppress(OSError):  # it only tells others who holds the target
            holder.write_text(json.dumps(me), encoding="utf-8")
        yield
    finally:
        lock.release()


def _file_name(target: str) -> str:
    """Return the name of a target's files; a long one is cut, and its digest tells it apart."""
    name = quote(target, safe="@")
    if len(name) <= _LONGEST:
        return name
    return f"{name[:_KEPT]}-{hashlib.sha256(target.encode()).hexdigest()}"


def _who(holder: Path) -> str:
    try:
        said = fields.parse(holder.read_bytes())
        return f"process {said['pid']} on {said['host']} since {said['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another runner"
