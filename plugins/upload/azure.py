"""Azure Blob Storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from obstore.store import AzureStore

from .objects import chosen, opened

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .destination import Destination
    from .objects import ObjectsStore

_NAMES = {
    "endpoint": "endpoint",
    "account": "account_name",
    "account_key": "account_key",
    "sas_token": "sas_key",
}


def connect(destination: Destination, options: Mapping[str, Any], folder: Path) -> ObjectsStore:
    """Open a container, with credentials of the options or of the environment."""
    del folder
    return opened(AzureStore, destination, options, config=chosen(options, **_NAMES))
