"""Locks of the operating system, which die with their holder: one a target, and one a run."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

from spark_impex_runner import fields
from spark_impex_runner.errors import LockedError, StateError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

# A file name has at most 255 bytes, some of which the suffix takes.
_LONGEST = 240
_KEPT = 120


@contextmanager
def lease(folder: Path, target: str, now: datetime) -> Iterator[None]:
    """Lock a target for the block.

    The lock is the kernel's: that of a killed runner is free at once. Raises ``LockedError`` if
    another runner works on the target.
    """
    from filelock import FileLock, Timeout  # noqa: PLC0415 - see ``atomic.exclusive``

    base = folder / "leases" / _file_name(target)
    holder = base.with_name(f"{base.name}.holder")
    try:
        base.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = FileLock(base.with_name(f"{base.name}.lock"), mode=0o600, thread_local=False)
        lock.acquire(timeout=0)
    except Timeout:
        raise LockedError(f"target {target}", _describe(holder)) from None
    except (OSError, NotImplementedError) as error:
        raise StateError(
            f"cannot lock {base}.lock ({error}); put the state on a local disk with --state DIR"
        ) from error
    try:
        owner = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        }
        with suppress(OSError):  # it only serves the message of another runner
            holder.write_text(json.dumps(owner), encoding="utf-8")
        yield
    finally:
        lock.release()


@contextmanager
def run_lease(folder: Path, run_id: str) -> Iterator[None]:
    """Lock a run for the block, so that ``is_running`` is True until its end, also by a kill."""
    from filelock import FileLock  # noqa: PLC0415 - see ``atomic.exclusive``

    path = _run_lock(folder, run_id)
    lock = FileLock(path, mode=0o600, thread_local=False)
    # It only serves `impex history`: a run does not fail for it.
    with suppress(OSError, NotImplementedError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock.acquire(timeout=0)
    try:
        yield
    finally:
        lock.release()
        with suppress(OSError):
            path.unlink(missing_ok=True)


def is_running(folder: Path, run_id: str) -> bool:
    """Return whether the process of a run still works."""
    from filelock import FileLock, Timeout  # noqa: PLC0415 - see ``atomic.exclusive``

    path = _run_lock(folder, run_id)
    if not path.exists():
        return False
    try:
        FileLock(path, mode=0o600).acquire(timeout=0).lock.release()
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        pass
    return False


def _run_lock(folder: Path, run_id: str) -> Path:
    return folder / "leases" / f"run-{_file_name(run_id)}.lock"


def _file_name(target: str) -> str:
    """Return the name of a target's lock file; a long one is cut and ends with its digest."""
    name = quote(target, safe="@")
    if len(name) <= _LONGEST:
        return name
    return f"{name[:_KEPT]}-{hashlib.sha256(target.encode()).hexdigest()}"


def _describe(holder: Path) -> str:
    try:
        owner = fields.parse(holder.read_bytes())
        return f"process {owner['pid']} on {owner['host']} since {owner['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another runner"
