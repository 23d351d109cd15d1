"""The old name of ``spark_impex_runner.hooks.specs``, for one release."""

from __future__ import annotations

import warnings
from typing import Any

from spark_impex_runner.hooks import specs


def __getattr__(name: str) -> Any:
    value = getattr(specs, name)
    message = f"import {name} from spark_impex_runner.hooks.specs"
    warnings.warn(message, DeprecationWarning, stacklevel=2)
    return value
