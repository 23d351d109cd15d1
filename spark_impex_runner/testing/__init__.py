"""For authors of plugins: pytest fixtures with an emulated tenant, and conformance tests.

``pytest_plugins = ["spark_impex_runner.testing"]`` in your ``conftest.py`` provides the fixtures
``clock``, ``tree``, ``serve`` and ``run_manifest``. A test class inherits its tests from
``StepConformance``, ``StrategyConformance``, ``ResolverConformance`` or ``SourceConformance``.

Nothing of the runner imports this package, so that it does not need pytest.
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
