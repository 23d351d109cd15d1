"""The place of a state: a folder, or the URL of an object store."""

from __future__ import annotations

import re
from pathlib import Path

from spark_impex_runner.paths import local_path

# A folder is a path, a URL a text: a path would lose one of its slashes.
StatePlace = Path | str

# Beside the manifest, unless --state names another place.
STATE_FOLDER = ".impex"
# No userinfo, query or fragment: they may be secrets.
_STORE = re.compile(r"(?:s3|az|gs)://[^/@?#\s]+(?:/[^?#\s]*)?")


def parse_place(given: Path | str) -> StatePlace:
    """Return a folder as a path and the URL of an object store as a text without a last slash.

    Raises ``UsageError`` for any other URL.
    """
    text = str(given).strip()
    if isinstance(given, str) and _STORE.fullmatch(text):
        return text.rstrip("/")
    return local_path(given, "state")
