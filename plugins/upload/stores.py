"""Load the store of a scheme, and report missing dependencies."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from spark_impex_runner import errors

from .destination import scheme_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .destination import Destination
    from .store import Store

# For each scheme its module, loaded only here, and the extra with its dependencies. All others are
# served by ``web``.
_MODULES = {
    "file": ("local", ""),
    "s3": ("s3", "s3"),
    "az": ("objects", "azure"),
    "gs": ("objects", "gcs"),
    "sftp": ("sftp", "sftp"),
}


def lacks(options: Mapping[str, Any]) -> str:
    """Return the missing dependency of a destination and how to install it, else empty."""
    scheme = scheme_of(str(options.get("to", "")))
    try:
        if scheme in _MODULES:
            load(scheme)
    except errors.StepError as error:
        return str(error)
    return ""


def load(scheme: str) -> Any:
    """Return the module of a scheme; raise ``StepError`` if its dependency is missing."""
    name, extra = _MODULES.get(scheme, ("web", ""))
    try:
        return importlib.import_module(f".{name}", __package__)
    except ImportError as error:
        raise errors.StepError(
            f"{scheme}:// destinations need {error.name or extra}, which is not installed; "
            f"pip install 'spark-impex-runner[{extra}]'"
        ) from error


def connect(destination: Destination, options: Mapping[str, Any], folder: Path) -> Store:
    """Open the store of a destination; ``folder`` is the manifest's."""
    store: Store = load(destination.scheme).connect(destination, options, folder)
    return store
