"""Google Cloud Storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from obstore.store import GCSStore

from .objects import chosen, opened

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .destination import Destination
    from .objects import ObjectsStore

_NAMES = {"endpoint": "base_url", "service_account": "service_account_key"}


def connect(destination: Destination, options: Mapping[str, Any], folder: Path) -> ObjectsStore:
    """Open a bucket, with credentials of the options or the application default ones."""
    del folder
    return opened(GCSStore, destination, options, config=chosen(options, **_NAMES))
