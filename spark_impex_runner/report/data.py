"""Convert results to plain JSON values, the same for the report and the receipt."""

from __future__ import annotations

from datetime import timezone
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from spark_impex_runner.models import (
        Approval,
        Artifact,
        PhaseTime,
        Request,
        ServiceVersion,
        StepResult,
        TargetResult,
    )


def delivery(result: TargetResult) -> dict[str, Any]:
    """Return the data of a target that report and receipt share; None for unknown values."""
    correlation_id = result.request and result.request.correlation_id
    return {
        "target": result.target.name,
        "outcome": result.outcome.value,
        "error": result.error or None,
        "tenant": result.tenant or None,
        "job_id": result.job_id or None,
        "job_ids": list(job_ids(result)),
        "correlation_id": correlation_id or result.target.correlation_id,
        "request": result.request and _lists(result.request),
        "services": [_service(each) for each in result.services],
        "service_versions": [_service(each) for each in result.service_versions],
        "artifacts": [_artifact(each) for each in artifacts(result)],
        "steps": [_step(each) for each in result.steps],
        "phases": [_phase(each) for each in result.phases],
        "warnings": list(result.warnings),
        "started_by": result.started_by or None,
        "approvals": [_approval(each) for each in result.approvals],
        **time_span(result.started, result.finished),
    }


def phase_seconds(result: TargetResult) -> dict[str, float]:
    """Return how long a target was in each phase; those of a split request are added up."""
    lengths: dict[str, float] = {}
    for each in result.phases:
        length = lengths.get(each.name, 0.0) + seconds(each.started, each.finished)
        lengths[each.name] = round(length, 3)
    return lengths


def artifacts(result: TargetResult) -> list[Artifact]:
    """Return the artifacts, the last one of each name, since a step may replace one."""
    return list({each.name: each for each in result.artifacts}.values())


def job_ids(result: TargetResult) -> tuple[str, ...]:
    """Return the ids of the jobs: one, or several if the request was split."""
    return result.job_ids or ((result.job_id,) if result.job_id else ())


def output_place(result: TargetResult) -> str:
    """Return the output of a target, with the machine that it is on if it is not here."""
    return f"{result.target.output}{f' on {result.host}' if result.host else ''}"


def time_span(started: datetime, finished: datetime) -> dict[str, Any]:
    """Return ``started`` and ``finished`` as ISO 8601 in UTC, and ``seconds`` between them."""
    return {"started": timestamp(started), "finished": timestamp(finished)} | {
        "seconds": seconds(started, finished)
    }


def seconds(started: datetime, finished: datetime) -> float:
    """Return the length of a time span, 0 if the clock was set back meanwhile."""
    return max(0.0, round((finished - started).total_seconds(), 3))


@lru_cache(maxsize=256)  # the moments of a target come in a row, and many targets share theirs
def timestamp(at: datetime) -> str:
    """Return ``2026-01-31T12:00:00.000Z``."""
    utc = at.astimezone(timezone.utc)
    return utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _lists(request: Request) -> dict[str, Any]:
    """Return the fields of a request, with lists for tuples, as JSON has them."""
    values = {name: getattr(request, name) for name in request.__dataclass_fields__}
    return {key: list(each) if isinstance(each, tuple) else each for key, each in values.items()}


def _service(each: ServiceVersion) -> dict[str, Any]:
    return {
        "uri": each.uri,
        "folder": each.folder,
        "service": each.service,
        "service_id": each.service_id or None,
        "version": each.version or None,
        "version_id": each.version_id or None,
    }


def _artifact(each: Artifact) -> dict[str, Any]:
    return {
        "name": each.name,
        "size": each.size,
        "sha256": each.sha256 or None,
        "tenant_hash": each.remote.file_hash if each.remote else None,
        "hash_agreed": each.hash_agreed,
        "made_by": each.made_by,
    }


def _step(each: StepResult) -> dict[str, Any]:
    return {
        "uses": each.uses,
        "outcome": each.outcome,
        "seconds": round(each.seconds, 3),
        "message": each.message or None,
        "artifacts": list(each.artifacts),
        "started": each.started and timestamp(each.started),
    }


def _approval(each: Approval) -> dict[str, Any]:
    return {
        "covers": list(each.covers),
        "by": each.by or None,
        "named_by": each.named_by or None,
        "at": each.at,
        "run_id": each.run_id or None,
    }


def _phase(each: PhaseTime) -> dict[str, Any]:
    times = time_span(each.started, each.finished)
    return {"name": each.name, "job_id": each.job_id or None, **times}
