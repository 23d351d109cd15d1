"""Build models from resolved, validated data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spark_impex_runner.manifest.references import UnresolvedText
from spark_impex_runner.models import Auth, Connection, Notification, Polling, Signing, Step, Target
from spark_impex_runner.quantity import seconds, size

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from spark_impex_runner.manifest.expand import ExpandedTarget


def connection(name: str, data: Mapping[str, Any], folder: Path, place: str = "") -> Connection:
    """Build a connection; ``place`` is file and line of its address."""
    fields = _with_seconds(data, "timeout")
    if fields.get("jobs") == "auto":
        fields["jobs"] = None
    if "sandbox" in fields:
        fields["sandbox"] = folder / fields["sandbox"]
    if isinstance(fields.get("verify_tls"), str):
        fields["verify_tls"] = str(folder / fields["verify_tls"])
    if "auth" in fields:
        fields["auth"] = _auth(**fields["auth"])
    return Connection(name=name, place=place, **fields)


@dataclass(frozen=True, slots=True)
class TargetLinks:
    """A target's connection, what it needs, the connections in its steps, and its position."""

    connection: str
    needs: tuple[str, ...]
    step_connections: tuple[str, ...] = ()
    place: str = ""


def target(expanded: ExpandedTarget, links: TargetLinks) -> Target:
    """Build a target."""
    fields = _with_seconds(expanded.data, "retry_interval")
    if "max_package" in fields:
        fields["max_package"] = size(fields["max_package"])
    for key, value in fields.items():
        if isinstance(value, list):
            fields[key] = tuple(value)
    fields |= {"name": expanded.name, "output": expanded.output}
    fields |= {"connection": links.connection, "needs": links.needs}
    fields |= {"step_connections": links.step_connections, "place": links.place}
    fields["written"] = {key: expanded.origin((key,)) for key in ("output", "steps")}
    if "polling" in fields:
        fields["polling"] = _polling(fields["polling"])
    if "steps" in fields:
        fields["steps"] = tuple(_step(step) for step in fields["steps"])
    return Target(**fields)


def notification(data: Mapping[str, Any]) -> Notification:
    """Build a notification."""
    fields = _with_seconds(data, "timeout")
    if "on" in fields:
        fields["on"] = tuple(fields["on"])
    return Notification(options=fields.pop("with", {}), **fields)


def signing(data: Mapping[str, str], folder: Path) -> Signing:
    """Build the settings for signing receipts."""
    ssh_key = data.get("ssh_key")
    return Signing(data.get("key"), (folder / ssh_key) if ssh_key else None)


def _auth(oauth: Mapping[str, str] | None = None, **scheme: str) -> Auth:
    """Build credentials; the model has no level ``oauth``."""
    return Auth(**scheme, **(oauth or {}))


def _polling(data: Mapping[str, Any]) -> Polling:
    fields = _with_seconds(data, "deadline", "stall_after")
    return Polling(options=fields.pop("with", {}), **fields)


def _step(data: Mapping[str, Any]) -> Step:
    """Build a step; the model has no level ``retry``."""
    fields = dict(data)
    retry = _with_seconds(fields.pop("retry", {}), "interval")
    return Step(options=fields.pop("with", {}), **retry, **fields)


def _with_seconds(data: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """Return a copy of ``data`` with the durations under ``keys`` in seconds.

    A value that was not read is left out, so that the model has its default.
    """
    known = {key: value for key, value in data.items() if not isinstance(value, UnresolvedText)}
    return {key: seconds(value) if key in keys else value for key, value in known.items()}
