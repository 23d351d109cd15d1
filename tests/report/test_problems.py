"""Problems as lines for people, as JSON and as GitHub's annotations."""

from __future__ import annotations

import json

from spark_impex_runner.errors import Problem
from spark_impex_runner.report.github import annotation, escape_data
from spark_impex_runner.report.problems import CheckedManifest, as_github, as_json

WRONG = Problem("a,b:c.yaml", 4, 45, "targets[0].uses", "100% wrong:\r\nsee, below")
RISKY = Problem("m.yaml", 2, 1, "name", "may go wrong", "warning")


def test_warning_names_its_severity() -> None:
    """The severity precedes the message of a warning only."""
    assert str(RISKY) == "m.yaml:2:1: name: warning: may go wrong"
    assert str(Problem("m.yaml", 1, 1, "", "x", "warning")) == "m.yaml:1:1: warning: x"


def test_annotation_is_escaped() -> None:
    """Data cannot end the line, nor a property itself or the command."""
    assert annotation(WRONG) == (
        "::error file=a%2Cb%3Ac.yaml,line=4,col=45,title=targets[0].uses"
        "::100%25 wrong:%0D%0Asee, below"
    )
    assert annotation(RISKY).startswith("::warning file=m.yaml,line=2,col=1,title=name::")
    assert escape_data("%0A: a, b") == "%250A: a, b"


def test_github_gets_every_problem() -> None:
    """One line each."""
    good, bad = (
        CheckedManifest("m.yaml", True, 2, (RISKY,)),
        CheckedManifest("b.yaml", False, 0, (WRONG, WRONG)),
    )

    assert as_github([good, bad]).splitlines() == [
        annotation(RISKY),
        "m.yaml: valid, 2 targets",
        annotation(WRONG),
        annotation(WRONG),
    ]


def test_the_json_document_has_the_documented_fields() -> None:
    """All manifests in one document, each with its problems."""
    good, bad = (
        CheckedManifest("m.yaml", True, 2, ()),
        CheckedManifest("b.yaml", False, 0, (RISKY,)),
    )

    assert json.loads(as_json([good, bad])) == {
        "version": 1,
        "valid": False,
        "manifests": [
            {"path": "m.yaml", "valid": True, "targets": 2, "problems": []},
            {
                "path": "b.yaml",
                "valid": False,
                "targets": 0,
                "problems": [
                    {
                        "file": "m.yaml",
                        "line": 2,
                        "column": 1,
                        "path": "name",
                        "message": "may go wrong",
                        "severity": "warning",
                    }
                ],
            },
        ],
    }
