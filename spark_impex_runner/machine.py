"""The machine of a process: its name, and an id that no other machine has."""

from __future__ import annotations

import socket
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def host() -> str:
    """Return the name of this machine."""
    return socket.gethostname()


def machine_id() -> str:
    """Return what processes have in common that share a kernel, and so its file locks."""
    # Containers have names of their own on one kernel; without Linux, the name has to do.
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return host()
