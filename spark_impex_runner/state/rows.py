"""Convert requests, artifacts and steps to rows of the state, and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_impex_runner.models import (
    Artifact,
    RemoteFile,
    Request,
    ServiceVersion,
    StepResult,
)

if TYPE_CHECKING:
    import sqlite3

    from spark_impex_runner.state.models import Attempt


def as_request(text: str) -> Request:
    """Return a request from its JSON."""
    fields: dict[str, Any] = json.loads(text)
    lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    return Request(**(fields | lists))


def from_service(each: ServiceVersion) -> list[str]:
    """Return a service as the list that JSON stores."""
    return [each.folder, each.service, each.service_id, each.version, each.version_id]


def insert_artifact(attempt: Attempt, each: Artifact) -> tuple[str, tuple[Any, ...]]:
    """Return the statement that stores an artifact, with its values."""
    agreed = None if each.hash_agreed is None else int(each.hash_agreed)
    tenant_hash = each.remote.file_hash if each.remote else None
    values = (
        attempt.id,
        each.name,
        str(each.path),
        each.size,
        each.sha256,
        tenant_hash,
        agreed,
        each.made_by,
    )
    return "INSERT OR REPLACE INTO artifacts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values


def as_artifact(row: sqlite3.Row) -> Artifact:
    """Return an artifact from its row."""
    agreed = row["hash_agreed"]
    return Artifact(
        path=Path(row["path"]),
        name=row["name"],
        size=row["size"],
        sha256=row["sha256"],
        # The link is a secret, so the state never stores it.
        remote=RemoteFile("", row["tenant_hash"]) if row["made_by"] == "download" else None,
        hash_agreed=None if agreed is None else bool(agreed),
        made_by=row["made_by"],
    )


def as_step(row: sqlite3.Row) -> StepResult:
    """Return the result of a step from its row."""
    return StepResult(
        uses=row["uses"],
        outcome=row["outcome"],
        seconds=row["seconds"],
        message=row["message"],
        artifacts=tuple(json.loads(row["artifacts"])),
    )
