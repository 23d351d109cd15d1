"""The values that flow from stage to stage: frozen, slotted, no behaviour but derived facts.

Times are aware UTC ``datetime`` values, durations are seconds, sizes are bytes. A field that
may hold a secret or a signed URL is kept out of ``repr``.
"""

from __future__ import annotations

from spark_impex_runner.models.manifest import (
    Auth,
    Connection,
    Manifest,
    Notification,
    Polling,
    RunOptions,
    Step,
    Target,
    base_name,
)
from spark_impex_runner.models.result import Outcome, RunResult, StepResult, TargetResult, exit_code
from spark_impex_runner.models.wire import RemoteFile, Request, ServiceVersion, Status, Verdict
from spark_impex_runner.models.work import (
    Artifact,
    Change,
    Delivery,
    Forecast,
    Held,
    Job,
    Memory,
    Planned,
    PlannedStep,
    Poll,
    Run,
)

# The file beside every delivery that says what was delivered.
RECEIPT = "impex-receipt.json"

__all__ = [
    "RECEIPT",
    "Artifact",
    "Auth",
    "Change",
    "Connection",
    "Delivery",
    "Forecast",
    "Held",
    "Job",
    "Manifest",
    "Memory",
    "Notification",
    "Outcome",
    "Planned",
    "PlannedStep",
    "Poll",
    "Polling",
    "RemoteFile",
    "Request",
    "Run",
    "RunOptions",
    "RunResult",
    "ServiceVersion",
    "Status",
    "Step",
    "StepResult",
    "Target",
    "TargetResult",
    "Verdict",
    "base_name",
    "exit_code",
]
