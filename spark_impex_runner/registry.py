"""The old name of ``spark_impex_runner.hooks.registry``, for one release."""

from __future__ import annotations

import warnings
from typing import Any

from spark_impex_runner.hooks import registry


def __getattr__(name: str) -> Any:
    value = getattr(registry, name)
    message = f"import {name} from spark_impex_runner.hooks.registry"
    warnings.warn(message, DeprecationWarning, stacklevel=2)
    return value
