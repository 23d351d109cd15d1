"""The values that each stage of planning returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from spark_impex_runner.errors import Problem
    from spark_impex_runner.hooks.manager import Plugins
    from spark_impex_runner.manifest.build import Settings
    from spark_impex_runner.manifest.yaml.document import Document
    from spark_impex_runner.models import Manifest, PlannedTarget, Run, Target
    from spark_impex_runner.planning.connections import Connections
    from spark_impex_runner.planning.locations import PathUses
    from spark_impex_runner.spark.http.calls import CallLog


@dataclass(frozen=True, slots=True)
class Opened:
    """A manifest as unchecked data, with the plugins and settings to check it."""

    document: Document
    plugins: Plugins
    settings: Settings
    now: datetime


@dataclass(frozen=True, slots=True)
class Loaded:
    """A valid manifest with its selected targets; no credentials were needed, nothing was sent.

    ``warnings`` are about what may fail later, such as a token that expires during the run.
    ``uses`` are all paths of the run.
    """

    opened: Opened
    manifest: Manifest
    uses: PathUses
    targets: tuple[Target, ...]
    warnings: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run with its connections and its plan; no job was created yet.

    ``calls`` is the log of the HTTP calls that the planning made, if they were recorded.
    """

    run: Run
    hooks: Plugins
    connections: Connections
    plan: tuple[PlannedTarget, ...] = ()
    calls: CallLog | None = None
