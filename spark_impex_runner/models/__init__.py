"""The values that flow from stage to stage: frozen, slotted, no behaviour but derived facts.

Times are aware UTC ``datetime`` values, durations are seconds, sizes are bytes. A field that
may hold a secret or a signed URL is kept out of ``repr``.
"""

from __future__ import annotations

import warnings
from typing import Any

from spark_impex_runner.models.calculation import (
    CalculatedModule,
    CaseDiff,
    Move,
    NotCalculated,
    OutputMoves,
)
from spark_impex_runner.models.imports import (
    ExportedVersions,
    ListedService,
    ServiceForecast,
)
from spark_impex_runner.models.manifest import (
    Auth,
    Connection,
    Manifest,
    Notification,
    Polling,
    RunOptions,
    Signing,
    Step,
    Target,
    base_name,
)
from spark_impex_runner.models.rehearsal import StandIns
from spark_impex_runner.models.result import (
    HttpCall,
    Outcome,
    PhaseTime,
    RunResult,
    StepResult,
    TargetResult,
    exit_code,
)
from spark_impex_runner.models.wire import RemoteFile, Request, ServiceVersion, Status, Verdict
from spark_impex_runner.models.work import (
    Approval,
    Artifact,
    Change,
    Delivery,
    Forecast,
    Held,
    Imported,
    Job,
    KeyValueStore,
    PlannedStep,
    PlannedTarget,
    Poll,
    Run,
)

# The file beside every delivery that lists what was delivered.
RECEIPT = "impex-receipt.json"
# The signed records beside a receipt, one line of JSON each.
EVIDENCE = "impex-receipt.intoto.jsonl"

__all__ = [
    "EVIDENCE",
    "RECEIPT",
    "Approval",
    "Artifact",
    "Auth",
    "CalculatedModule",
    "CaseDiff",
    "Change",
    "Connection",
    "Delivery",
    "ExportedVersions",
    "Forecast",
    "Held",
    "HttpCall",
    "Imported",
    "Job",
    "KeyValueStore",
    "ListedService",
    "Manifest",
    "Move",
    "NotCalculated",
    "Notification",
    "Outcome",
    "OutputMoves",
    "PhaseTime",
    "PlannedStep",
    "PlannedTarget",
    "Poll",
    "Polling",
    "RemoteFile",
    "Request",
    "Run",
    "RunOptions",
    "RunResult",
    "ServiceForecast",
    "ServiceVersion",
    "Signing",
    "StandIns",
    "Status",
    "Step",
    "StepResult",
    "Target",
    "TargetResult",
    "Verdict",
    "base_name",
    "exit_code",
]

# Old names of public classes, for one release.
_RENAMED = {"Memory": "KeyValueStore", "Planned": "PlannedTarget"}


def __getattr__(name: str) -> Any:
    if name not in _RENAMED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(f"{name} is now called {_RENAMED[name]}", DeprecationWarning, stacklevel=2)
    return globals()[_RENAMED[name]]
