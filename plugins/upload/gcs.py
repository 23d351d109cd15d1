"""Google Cloud Storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from obstore.store import GCSStore

from .objects import ObjectsStore, chosen, settings, told

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .destination import Destination

_NAMES = {"endpoint": "base_url", "service_account": "service_account_key"}


def connect(destination: Destination, options: Mapping[str, Any], folder: Path) -> ObjectsStore:
    """Open a bucket, with credentials of the options or the application default ones."""
    del folder
    config: Any = chosen(options, **_NAMES)
    with told(destination.shown):
        store = GCSStore(destination.host, config=config, **settings(options))
    return ObjectsStore(store, destination.path, options)
