"""For authors of plugins: a tenant, a clock and a runner as fixtures of pytest, and conformance.

Put ``pytest_plugins = ["spark_impex_runner.testing"]`` into your ``conftest.py``, and pytest knows
the fixtures ``clock``, ``tree``, ``serve`` and ``run_manifest``. A test class that inherits from
``StepConformance``, ``StrategyConformance``, ``ResolverConformance`` or ``SourceConformance`` has
its tests from there.

Nothing of the runner imports this package, and pytest loads it only where it is named.
"""

from __future__ import annotations

from spark_impex_runner.testing.fake_clock import FakeClock
from spark_impex_runner.testing.fixtures import (
    VERSIONS,
    Finished,
    Runner,
    Server,
    clock,
    run_manifest,
    serve,
    tree,
)
from spark_impex_runner.testing.resolver import ResolverConformance
from spark_impex_runner.testing.source import SourceConformance
from spark_impex_runner.testing.step import StepConformance
from spark_impex_runner.testing.strategy import StrategyConformance

__all__ = [
    "VERSIONS",
    "FakeClock",
    "Finished",
    "ResolverConformance",
    "Runner",
    "Server",
    "SourceConformance",
    "StepConformance",
    "StrategyConformance",
    "clock",
    "run_manifest",
    "serve",
    "tree",
]
