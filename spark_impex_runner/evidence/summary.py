"""Say in a line for each signed record who did what, and when."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from spark_impex_runner.evidence.verify import Record

_UNKNOWN = "an unknown user"


def lines(records: Sequence[Record]) -> Iterator[str]:
    """Yield a line for the export, each approval and each import."""
    for number, each in enumerate(records):
        facts = each.predicate
        if each.kind == "approval":
            yield f"{_moment(facts['at'])} approved {_approval(facts)}"
        elif each.kind == "import":
            to = f"{facts['connection']} ({facts['tenant']})"
            job = facts["job_id"]
            done = (
                f"imported {_files(each)} to {to} by job {job}"
                if job
                else f"found identical on {to}"
            )
            # Records of earlier versions do not say who started the run.
            by = f", started by {facts['by']}" if facts.get("by") else ""
            yield f"{_moment(facts['at'])} {done}{by}"
        elif not number:  # the later ones are about the same packages
            by = facts["started_by"] or _UNKNOWN
            yield f"{_moment(facts['started'])} exported from {facts['tenant']} by {by}"


def _files(record: Record) -> str:
    """Return what a record is about: ``package.zip (sha256 3c15af153188…)``."""
    return ", ".join(f"{name} (sha256 {sha256[:12]}…)" for name, sha256 in record.subjects.items())


def _approval(facts: Mapping[str, Any]) -> str:
    four_eyes = "; four eyes" if facts["four_eyes"] else ""
    to = ", ".join(facts["tenants"])
    return f"for {to} by {facts['by'] or _UNKNOWN} (named by {facts['named_by']}{four_eyes})"


def _moment(text: str) -> str:
    """Return a moment as ``2026-01-31 12:00:00Z``."""
    at = datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc)
    return f"{at:%Y-%m-%d %H:%M:%S}Z"
