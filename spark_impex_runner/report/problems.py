"""Write the problems of manifests as JSON and as workflow commands of GitHub."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spark_impex_runner.report.github import annotation
from spark_impex_runner.text import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spark_impex_runner.errors import Problem

VERSION = 1


@dataclass(frozen=True, slots=True)
class CheckedManifest:
    """A validated manifest; ``targets`` is the number of targets, 0 if it is invalid."""

    path: str
    valid: bool
    targets: int
    problems: tuple[Problem, ...]


def summary(manifest: CheckedManifest) -> str:
    """Return the line about a valid manifest."""
    return f"{manifest.path}: valid, {counted(manifest.targets, 'target')}"


def as_json(manifests: Sequence[CheckedManifest]) -> str:
    """Return one JSON document about all manifests, in plain ASCII."""
    document = {
        "version": VERSION,
        "valid": all(each.valid for each in manifests),
        "manifests": [_data(each) for each in manifests],
    }
    return json.dumps(document, indent=2)


def as_github(manifests: Sequence[CheckedManifest]) -> str:
    """Return a workflow command for each problem, and a line for each valid manifest."""
    lines = []
    for each in manifests:
        lines += [annotation(problem) for problem in each.problems]
        lines += [summary(each)] if each.valid else []
    return "\n".join(lines)


def _data(manifest: CheckedManifest) -> dict[str, Any]:
    names = ("file", "line", "column", "path", "message", "severity")
    return {
        "path": manifest.path,
        "valid": manifest.valid,
        "targets": manifest.targets,
        "problems": [
            {name: getattr(problem, name) for name in names} for problem in manifest.problems
        ],
    }
