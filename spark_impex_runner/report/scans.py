"""Write the problems of manifests in the formats of code scanners: GitLab's and SARIF 2.1.0."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from spark_impex_runner.version import DISTRIBUTION, __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spark_impex_runner.errors import Problem
    from spark_impex_runner.report.problems import CheckedManifest

_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
# The rule and GitLab's severity of each severity.
_RULES = {"error": ("manifest-error", "critical"), "warning": ("manifest-warning", "minor")}
_DESCRIPTIONS = {
    "manifest-error": "The manifest is refused before anything is sent.",
    "manifest-warning": "The manifest is run, perhaps not as it is meant.",
}


def as_gitlab(manifests: Sequence[CheckedManifest]) -> str:
    """Return a GitLab code quality report, in plain ASCII."""
    found = [
        {
            "description": _message(problem),
            "check_name": _RULES[problem.severity][0],
            "fingerprint": fingerprint,
            "severity": _RULES[problem.severity][1],
            "location": {"path": _path(problem.file), "lines": {"begin": problem.line}},
        }
        for problem, fingerprint in _fingerprinted(manifests)
    ]
    return json.dumps(found, indent=2)


def as_sarif(manifests: Sequence[CheckedManifest]) -> str:
    """Return a SARIF log with one run, in plain ASCII."""
    rules = [
        {"id": name, "shortDescription": {"text": text}, "defaultConfiguration": {"level": level}}
        for level, (name, _) in _RULES.items()
        for text in [_DESCRIPTIONS[name]]
    ]
    driver = {"name": DISTRIBUTION, "version": __version__, "rules": rules}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(*each) for each in _fingerprinted(manifests)],
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def _result(problem: Problem, fingerprint: str) -> dict[str, Any]:
    region = {"startLine": problem.line, "startColumn": problem.column}
    location = {"artifactLocation": _uri(problem.file), "region": region}
    return {
        "ruleId": _RULES[problem.severity][0],
        "level": problem.severity,
        "message": {"text": _message(problem)},
        "locations": [{"physicalLocation": location}],
        "partialFingerprints": {"problem/v1": fingerprint},
    }


def _message(problem: Problem) -> str:
    return f"{problem.path}: {problem.message}" if problem.path else problem.message


def _uri(file: str) -> dict[str, str]:
    """Return a location: relative to the working folder if it is below it."""
    path = _path(file)
    if Path(path).is_absolute():
        return {"uri": Path(path).as_uri()}
    return {"uri": quote(path), "uriBaseId": "%SRCROOT%"}


def _path(file: str) -> str:
    """Return a path with forward slashes, relative to the working folder if it is below it."""
    path = Path(os.path.abspath(file))  # noqa: PTH100 - a link keeps its name
    here = Path.cwd()
    return (path.relative_to(here) if path.is_relative_to(here) else path).as_posix()


def _fingerprinted(manifests: Sequence[CheckedManifest]) -> Iterator[tuple[Problem, str]]:
    """Yield each problem with a digest that stays the same when lines above it come or go."""
    seen: Counter[tuple[str, ...]] = Counter()
    for problem in (each for manifest in manifests for each in manifest.problems):
        key = (_path(problem.file), problem.path, problem.message)
        seen[key] += 1
        yield problem, hashlib.sha256(json.dumps([*key, seen[key]]).encode()).hexdigest()
