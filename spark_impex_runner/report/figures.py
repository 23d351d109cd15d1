"""Sizes, durations and paths as a person reads them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from spark_impex_runner.text import plain


def format_size(count: int) -> str:
    """Return a number of bytes: ``506.7 kB``."""
    if count < 1000:
        return f"{count} B"
    value, units = count / 1000, iter(("kB", "MB", "GB"))
    for unit in units:
        # 999.95 is the first value that one decimal would round up to 1000.0.
        if value < 999.95:
            return f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def format_duration(length: float) -> str:
    """Return seconds: ``9.5 s``, ``2m 05s``, ``1h 02m``."""
    # 59.95 is the first value that one decimal would round up to 60.0.
    if length < 59.95:
        return f"{length:.1f} s"
    minutes, rest = divmod(round(length), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02}s"
    return f"{minutes // 60}h {minutes % 60:02}m"


def shown_path(path: Path) -> str:
    """Return a path relative to the working folder if it is below it."""
    with suppress(OSError, ValueError):  # the working folder may be gone, or be elsewhere
        path = path.relative_to(Path.cwd())
    return plain(str(path))
