"""Azure Blob Storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from obstore.store import AzureStore

from .objects import ObjectsStore, chosen, settings, told

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .destination import Destination

_NAMES = {
    "endpoint": "endpoint",
    "account": "account_name",
    "account_key": "account_key",
    "sas_token": "sas_key",
}


def connect(destination: Destination, options: Mapping[str, Any], folder: Path) -> ObjectsStore:
    """Open a container, with credentials of the options or of the environment."""
    del folder
    config: Any = chosen(options, **_NAMES)
    with told(destination.shown):
        store = AzureStore(destination.host, config=config, **settings(options))
    return ObjectsStore(store, destination.path, options)
