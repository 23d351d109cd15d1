"""Problems as GitLab's code quality report and as SARIF."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jsonschema

from spark_impex_runner.errors import Problem
from spark_impex_runner.report.problems import CheckedManifest
from spark_impex_runner.report.scans import as_gitlab, as_sarif

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

WRONG = Problem("deploy/a b.yaml", 4, 45, "targets[0].uses", "100% wrong")
RISKY = Problem("m.yaml", 2, 1, "", "may go wrong", "warning")
TEXT = {"type": "string", "minLength": 1}
# What GitLab requires: docs.gitlab.com/ci/testing/code_quality, "Code Quality report format".
GITLAB = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["description", "check_name", "fingerprint", "severity", "location"],
        "properties": {
            "description": TEXT,
            "check_name": TEXT,
            "fingerprint": TEXT,
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": {
                "required": ["path", "lines"],
                "properties": {
                    "path": {"type": "string", "pattern": r"^[^./\\]"},
                    "lines": {"required": ["begin"], "properties": {"begin": {"minimum": 1}}},
                },
            },
        },
    },
}
# The keys of the published schema of SARIF 2.1.0 that these logs use, all others refused.
_MESSAGE = {"type": "object", "required": ["text"], "properties": {"text": TEXT}}
_LEVEL = {"enum": ["none", "note", "warning", "error"]}


def _object(required: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required.split(),
        "properties": properties,
    }


_RULE = _object(
    "id",
    id=TEXT,
    shortDescription=_MESSAGE,
    defaultConfiguration=_object("", level=_LEVEL),
)
_NUMBER = {"type": "integer", "minimum": 1}
_LOCATION = _object(
    "artifactLocation region",
    artifactLocation=_object("uri", uri={"type": "string", "pattern": "^[!-~]+$"}, uriBaseId=TEXT),
    region=_object("startLine startColumn", startLine=_NUMBER, startColumn=_NUMBER),
)
_RESULT = _object(
    "message ruleId level locations",
    message=_MESSAGE,
    ruleId=TEXT,
    level=_LEVEL,
    locations={"type": "array", "items": _object("physicalLocation", physicalLocation=_LOCATION)},
    partialFingerprints={"type": "object", "additionalProperties": TEXT},
)
_RUN = _object(
    "tool results",
    tool=_object(
        "driver",
        driver=_object("name", name=TEXT, version=TEXT, rules={"type": "array", "items": _RULE}),
    ),
    columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
    results={"type": "array", "items": _RESULT},
)
SARIF = _object(
    "version runs",
    **{
        "$schema": {
            "const": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
        }
    },
    version={"const": "2.1.0"},
    runs={"type": "array", "items": _RUN},
)


def checked(*problems: Problem) -> list[CheckedManifest]:
    """Return one manifest with problems and one without."""
    return [CheckedManifest("m.yaml", False, 0, problems), CheckedManifest("n.yaml", True, 2, ())]


def gitlab(*problems: Problem) -> list[Any]:
    """Return the valid code quality report of problems."""
    found: list[Any] = json.loads(as_gitlab(checked(*problems)))
    jsonschema.validate(found, GITLAB)
    return found


def sarif(*problems: Problem) -> Any:
    """Return the one run of the valid SARIF log of problems."""
    log = json.loads(as_sarif(checked(*problems)))
    jsonschema.validate(log, SARIF)
    (run,) = log["runs"]
    return run


def test_gitlab_gets_every_problem() -> None:
    """Errors and warnings, each with its line and the place in the data."""
    wrong, risky = gitlab(WRONG, RISKY)

    assert (wrong["description"], wrong["severity"]) == ("targets[0].uses: 100% wrong", "critical")
    assert wrong["location"] == {"path": "deploy/a b.yaml", "lines": {"begin": 4}}
    assert (risky["description"], risky["severity"]) == ("may go wrong", "minor")
    assert gitlab() == []


def test_sarif_gets_every_problem() -> None:
    """With line and column; each rule that a result names is described."""
    run = sarif(WRONG, RISKY)
    wrong, risky = run["results"]

    assert (wrong["level"], risky["level"]) == ("error", "warning")
    assert wrong["message"] == {"text": "targets[0].uses: 100% wrong"}
    assert wrong["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "deploy/a%20b.yaml", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 4, "startColumn": 45},
    }
    rules = {
        rule["id"]: rule["defaultConfiguration"]["level"] for rule in run["tool"]["driver"]["rules"]
    }
    assert [rules[each["ruleId"]] for each in run["results"]] == ["error", "warning"]
    assert sarif()["results"] == []


def test_fingerprints_survive_moved_lines() -> None:
    """A problem keeps its own when lines above it change; two equal ones have two."""
    before = [each["fingerprint"] for each in gitlab(WRONG, RISKY, WRONG)]
    moved = gitlab(replace(WRONG, line=9, column=1), RISKY, replace(WRONG, line=12))
    other = gitlab(replace(WRONG, message="other"))

    assert len({*before, other[0]["fingerprint"]}) == 4
    assert [each["fingerprint"] for each in moved] == before
    results = sarif(WRONG, RISKY, WRONG)["results"]
    assert [each["partialFingerprints"]["problem/v1"] for each in results] == before


def test_paths_are_relative_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However a file below it was named; one that lies elsewhere has an absolute path."""
    (tmp_path / "repo").mkdir()
    monkeypatch.chdir(tmp_path / "repo")
    below = (str(tmp_path / "repo/ci/m.yaml"), "./ci/m.yaml", "x/../ci/m.yaml")
    outside = replace(WRONG, file="../m.yaml")

    paths = {gitlab(replace(WRONG, file=file))[0]["location"]["path"] for file in below}
    [result] = json.loads(as_sarif(checked(outside)))["runs"][0]["results"]

    assert paths == {"ci/m.yaml"}
    assert result["locations"][0]["physicalLocation"]["artifactLocation"] == {
        "uri": (tmp_path / "m.yaml").as_uri()
    }
