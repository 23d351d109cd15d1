"""The place of a state: a folder, or the URL of an object store."""

from __future__ import annotations

import re
from pathlib import Path

from spark_impex_runner.errors import UsageError
from spark_impex_runner.paths import local_path

# A folder is a path, a URL a text: a path would lose one of its slashes.
StatePlace = Path | str

# Beside the manifest, unless --state names another place.
STATE_FOLDER = ".impex"
# No userinfo, query or fragment: they may be secrets.
_STORE = re.compile(r"(?:s3|az|gs)://[^/@?#\s]+(?:/[^?#\s]*)?")
_LIKE_STORE = re.compile(r"(s3|az|gs)://", re.IGNORECASE | re.ASCII)


def parse_place(given: Path | str) -> StatePlace:
    """Return a folder as a path and the URL of an object store as a text without a last slash.

    Raises ``UsageError`` for an empty text, and for any other URL.
    """
    text = str(given).strip()
    if not text:
        raise UsageError("the state is empty; give a folder or URL, or leave it out")
    if isinstance(given, str) and _STORE.fullmatch(text):
        return text.rstrip("/")
    if isinstance(given, str) and (like := _LIKE_STORE.match(text)):
        # The rest may be a secret.
        raise UsageError(
            f"'{like[0]}…' is not the URL of a state; give {like[0].lower()}NAME/PREFIX with its "
            "scheme in lower case, without user, query, fragment and spaces"
        )
    if not isinstance(given, str) and re.match(r"(s3|az|gs):[/\\]", text):
        raise UsageError(
            f"'{text[:2]}:…' is a URL, not a local path; give the URL of a state as text, not as "
            "a Path"
        )
    return local_path(given, "state")
