"""What is known of a manifest after each stage of planning."""

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


@dataclass(frozen=True, slots=True)
class Prepared:
    """A manifest that is valid, planned and ready to run; no job was asked for yet."""

    run: Run
    hooks: Plugins
    connections: Connections
    plan: tuple[PlannedTarget, ...] = ()


@dataclass(frozen=True, slots=True)
class Loaded:
    """A manifest that is valid; no tenant was looked for and no credentials were needed.

    ``warnings`` are what is right now, and may not be for as long as the run lasts. ``uses`` are
    all paths of a run.
    """

    document: Document
    plugins: Plugins
    manifest: Manifest
    uses: PathUses
    targets: tuple[Target, ...]
    warnings: tuple[Problem, ...]
    run_id: str
    run_date: str
    now: datetime


@dataclass(frozen=True, slots=True)
class Opened:
    """A manifest as data, and what it is read with."""

    document: Document
    plugins: Plugins
    settings: Settings
    now: datetime
