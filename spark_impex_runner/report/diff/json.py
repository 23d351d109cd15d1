"""Write differences for programs (schemas/diff.schema.json)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from spark_impex_runner.report.diff.calculation_data import as_data as calculation_data
from spark_impex_runner.report.diff.summary import change_kind, summary

if TYPE_CHECKING:
    from spark_impex_runner.models.comparison import (
        Change,
        Diff,
        ServiceDiff,
        Unknown,
        VersionDiff,
    )

VERSION = 1


def as_data(diff: Diff, show: int = 0) -> dict[str, Any]:
    """Return all differences as JSON data, and the ``show`` largest moves of results."""
    found = diff.calculation
    calculation = {"calculation": calculation_data(found, show)} if found else {}
    return {
        "version": VERSION,
        "old": diff.old,
        "new": diff.new,
        "differs": diff.differs,
        "complete": diff.complete,
        "services": [_service(each) for each in diff.services],
        "files": [_change(each) for each in diff.files],
        "not_compared": [_unknown(each) for each in diff.unknown],
        **calculation,
    }


def _service(service: ServiceDiff) -> dict[str, Any]:
    return {
        "summary": summary(service),
        "differs": service.differs,
        "old": service.old or None,
        "new": service.new or None,
        "versions_added": list(service.added),
        "versions_removed": list(service.removed),
        "versions": [_version(each) for each in service.versions],
    }


def _version(diff: VersionDiff) -> dict[str, Any]:
    return {
        "old": diff.old.version,
        "new": diff.new.version,
        "changes": [_change(each) for each in diff.changes],
        "module_files": list(diff.parts),
        "not_compared": [_unknown(each) for each in diff.unknown],
    }


def _change(change: Change) -> dict[str, Any]:
    values = {
        side: json.loads(value)
        for side, value in (("old", change.old), ("new", change.new))
        if value is not None
    }
    return {
        "change": change_kind(change),
        "section": change.section,
        "name": change.name,
        "property": change.property or None,
        **values,
    }


def _unknown(unknown: Unknown) -> dict[str, str]:
    return {"what": unknown.what, "reason": unknown.reason}
