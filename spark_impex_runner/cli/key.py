"""The argument ``env:NAME|file:PATH``, which says where a key is."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

FORM = "env:NAME|file:PATH"


def key_place(text: str) -> tuple[str, str]:
    """Return where a key is; an error does not repeat the text, which may be the key itself."""
    source, _, name = text.partition(":")
    if source not in {"env", "file"} or not name:
        raise argparse.ArgumentTypeError("give env:NAME or file:PATH, never the key itself")
    return source, name


def read_key(place: tuple[str, str]) -> str:
    """Return the key at a place, without space around it.

    Raises ``UsageError`` if there is none, or if no HTTP header can carry it.
    """
    from spark_impex_runner.errors import UsageError

    source, name = place
    where = f"{source}:{name}"
    if source == "env":
        key = os.environ.get(name, "")
    else:
        try:
            key = Path(name).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise UsageError(f"{where}: the key cannot be read: {reason}") from error
    if not (key := key.strip()):
        raise UsageError(f"{where}: there is no key; set it first")
    if not (key.isascii() and key.isprintable()):
        raise UsageError(f"{where}: the key is not one line of ASCII, which a header needs")
    return key
