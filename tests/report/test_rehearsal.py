"""The text and the data of a rehearsal."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from spark_impex_runner.report.rehearsal import (
    Rehearsal,
    RehearsedTarget,
    SentLine,
    as_data,
    render,
)

TARGET = RehearsedTarget(
    name="t0",
    outcome="succeeded",
    error="",
    place="m.yaml:3:5",
    refused=False,
    approved=(),
    steps=(("checksum", "succeeded", "two files"),),
    warnings=(),
)
SENT = SentLine("notify[0] (webhook)", "POST", "application/json", 5, b'{"a": "\x1b[2J"}')
REHEARSAL = Rehearsal(
    manifest="m.yaml",
    name="m",
    seconds=1.25,
    exit_code=3,
    targets=(TARGET,),
    tenants=(("sit", "a sandbox"), ("uat", "a sandbox")),
    sent=(SENT,),
    problems=(),
    refused=(),
    left_out=("the tenants",),
    replaced=(("step a", "a store"), ("step b", "a store")),
)
FAILED = replace(TARGET, name="bad", outcome="failed", error="step unzip: too large")


def test_text_groups_what_is_shared() -> None:
    """Connections with the same contents, and steps that leave out the same."""
    text = render(REHEARSAL)

    assert text.splitlines() == [
        "rehearsed 1 target of m (m.yaml) in 1.2 s: 1 would succeed",
        "",
        "  t0  would succeed: export, checksum",
        "    checksum: two files",
        "",
        "tenants:",
        "  sit, uat: a sandbox",
        "",
        "would be sent:",
        '  notify[0] (webhook): POST, application/json, 5 B: {"a": "\\x1b[2J"}',
        "",
        "not rehearsed:",
        "  the tenants",
        "  step a; step b: a store",
    ]


@pytest.mark.parametrize("verbose", [False, True])
def test_many_targets_share_a_line(*, verbose: bool) -> None:
    """Unless all are asked for; a failure has its own line, last, with the place."""
    good = [replace(TARGET, name=f"t{number}") for number in range(20)]

    lines = render(replace(REHEARSAL, targets=(FAILED, *good)), verbose=verbose).splitlines()

    assert lines[0].endswith(": 1 would fail, 20 would succeed")
    shared = "  t0, t1, t2 and 17 more: would succeed: export, checksum"
    assert (shared in lines) == (not verbose)
    at = lines.index("    m.yaml:3:5: step unzip: too large")
    assert lines[at - 1] == "  bad  would fail: export, checksum"
    assert lines.index("tenants:") - at == (3 if verbose else 2)


@pytest.mark.parametrize(
    ("outcome", "refused", "verdict"),
    [
        ("unchanged", False, "would succeed"),
        ("succeeded", True, "could not be rehearsed"),
        ("timed_out", False, "would time out"),
        ("skipped", False, "would be skipped"),
    ],
)
def test_outcomes_become_verdicts(outcome: str, verdict: str, *, refused: bool) -> None:
    """An attempt to leave the machine makes the outcome unknown."""
    assert replace(TARGET, outcome=outcome, refused=refused).verdict == verdict


def test_data_is_plain_json() -> None:
    """With names for the parts of pairs; bytes that are no text are left out."""
    binary = replace(SENT, content_type="multipart/form-data")

    data = json.loads(json.dumps(as_data(replace(REHEARSAL, sent=(binary,)))))

    assert data["targets"][0]["steps"] == [
        {"uses": "checksum", "outcome": "succeeded", "message": "two files"}
    ]
    assert data["targets"][0]["verdict"] == "would succeed"
    assert data["tenants"] == {"sit": "a sandbox", "uat": "a sandbox"}
    assert data["replaced"][1] == {"part": "step b", "left_out": "a store"}
    assert data["sent"] == [
        {
            "by": "notify[0] (webhook)",
            "method": "POST",
            "content_type": "multipart/form-data",
            "size": 5,
            "text": "",
        }
    ]
