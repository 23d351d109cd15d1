"""spark-impex-runner: Coherent Spark exports from a manifest, delivered and verified.

The public names live here and are loaded on first use, so that ``impex-run --help`` needs
neither the HTTP library nor a plugin.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

from spark_impex_runner.version import __version__

if TYPE_CHECKING:
    from spark_impex_runner import errors, models, tools
    from spark_impex_runner.clock import Clock
    from spark_impex_runner.engine.run import run_manifest
    from spark_impex_runner.hooks.registry import Registry
    from spark_impex_runner.hooks.specs import StepOutput, hookimpl
    from spark_impex_runner.spark.client import Spark

__all__ = [
    "Clock",
    "Registry",
    "Spark",
    "StepOutput",
    "__version__",
    "errors",
    "hookimpl",
    "models",
    "run_manifest",
    "tools",
]

_LAZY = {
    "Clock": ("spark_impex_runner.clock", "Clock"),
    "Registry": ("spark_impex_runner.hooks.registry", "Registry"),
    "Spark": ("spark_impex_runner.spark.client", "Spark"),
    "StepOutput": ("spark_impex_runner.hooks.specs", "StepOutput"),
    "errors": ("spark_impex_runner.errors", None),
    "hookimpl": ("spark_impex_runner.hooks.specs", "hookimpl"),
    "models": ("spark_impex_runner.models", None),
    "run_manifest": ("spark_impex_runner.engine.run", "run_manifest"),
    "tools": ("spark_impex_runner.tools", None),
}
# Old names, which work for one release.
_RENAMED = {"Made": "StepOutput"}


def __getattr__(name: str) -> Any:
    if name in _RENAMED:
        warnings.warn(f"{name} is now called {_RENAMED[name]}", DeprecationWarning, stacklevel=2)
        name = _RENAMED[name]
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import logging  # noqa: PLC0415 - --help needs none of it

    # A program that embeds the runner decides what is logged, and where. One is enough: this is
    # called each time that a name is looked up.
    logger = logging.getLogger(__name__)
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    module, attribute = _LAZY[name]
    home = import_module(module)
    return getattr(home, attribute) if attribute else home
