from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import validate

from spark_impex_runner.models import Outcome
from spark_impex_runner.report import json as json_report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spark_impex_runner.models import RunResult, TargetResult

    Schema = Callable[[str], dict[str, Any]]


def rendered(result: RunResult) -> str:
    """Return the whole report."""
    return "".join(json_report.render(result))


def test_a_report_of_every_outcome_validates(every_outcome: RunResult, schema: Schema) -> None:
    """The published schema describes what is written."""
    validate(json.loads(rendered(every_outcome)), schema("report"))


@pytest.mark.parametrize("signal", [0, 2, 15])
def test_a_report_of_nothing_validates(
    run: Callable[..., RunResult], schema: Schema, signal: int
) -> None:
    """A run that came to nothing has a report, too."""
    report = json.loads(rendered(run(signal=signal)))

    validate(report, schema("report"))
    assert report["signal"] == (signal or None)


@pytest.mark.parametrize("count", [0, 1, 7])
def test_report_is_indented_as_a_whole(every_outcome: RunResult, count: int) -> None:
    """Written target by target, it is what one call would have made of all."""
    result = replace(every_outcome, results=every_outcome.results[:count])

    text = rendered(result)

    assert text == json.dumps(json.loads(text), indent=2) + "\n"


def test_a_report_holds_the_facts(every_outcome: RunResult) -> None:
    """Counts, times in UTC and identifiers are there."""
    report = json.loads(rendered(every_outcome))

    assert report["run_id"] == "20260131-1f2e"
    assert report["started"] == "2026-01-31T12:00:00.000Z"
    assert (report["seconds"], report["outcome"], report["exit_code"]) == (73.0, "partial", 5)
    assert report["counts"] == {
        "total": 7,
        "succeeded": 1,
        "unchanged": 1,
        "failed": 1,
        "timed_out": 1,
        "held": 1,
        "cancelled": 1,
        "skipped": 1,
    }


def test_a_target_holds_the_facts(target: TargetResult, run: Callable[..., RunResult]) -> None:
    """The request, the packages and the steps."""
    [entry] = json.loads(rendered(run(target)))["targets"]

    assert entry["request"]["services"] == ["motor/pricing"]
    assert entry["correlation_id"] == "CHG-4711"
    assert entry["service_versions"][0]["uri"] == "motor/pricing[1.4.2]"
    assert entry["output"] == "/srv/release/exports/motor"
    assert entry["artifacts"][0] == {
        "name": "motor.zip",
        "size": 506_657,
        "sha256": "0a" * 32,
        "tenant_hash": "AB" * 16,
        "hash_agreed": True,
        "made_by": "download",
    }


def test_no_signed_url_is_in_a_report(every_outcome: RunResult) -> None:
    """Whoever has such a URL has the package."""
    assert "signature" not in rendered(every_outcome)


def test_replaced_artifact_is_listed_once(
    target: TargetResult, run: Callable[..., RunResult]
) -> None:
    """The last artifact of a name counts."""
    again = replace(target.artifacts[1], size=7)
    result = replace(target, artifacts=(*target.artifacts, again))

    [entry] = json.loads(rendered(run(result)))["targets"]

    assert [each["size"] for each in entry["artifacts"]] == [506_657, 7]


def test_a_report_is_plain_ascii(target: TargetResult, run: Callable[..., RunResult]) -> None:
    """Not even half of a surrogate pair, which a tenant's JSON may hold, spoils the file."""
    text = rendered(run(replace(target, error="\ud800 é", outcome=Outcome.FAILED)))

    assert text.isascii()
    assert json.loads(text)["targets"][0]["error"] == "\ud800 é"


def test_time_span_is_never_negative(target: TargetResult, run: Callable[..., RunResult]) -> None:
    """A duration is never below zero."""
    result = replace(target, started=target.finished, finished=target.started)

    assert json.loads(rendered(run(result)))["targets"][0]["seconds"] == 0


@pytest.mark.parametrize("name", ["report", "receipt"])
def test_every_property_is_explained(schema: Schema, name: str) -> None:
    """Each property of the schema has a title and a description, and no other is allowed."""
    for node in objects(schema(name)):
        assert node["additionalProperties"] is False
        # What documents of earlier versions lack.
        added = {"started"} if "uses" in node["properties"] else set()
        if "steps" in node["properties"]:
            added = {"manifest"} if name == "receipt" else {"host"}
            added |= {"phases", "started_by", "approvals"}
        assert set(node["required"]) | added == set(node["properties"])
        for key, value in node["properties"].items():
            assert {"title", "description"} <= value.keys(), key


def test_both_schemas_agree(schema: Schema) -> None:
    """What report and receipt have in common is described once and the same."""
    report, receipt = schema("report"), schema("receipt")
    target = report["$defs"].pop("target")["properties"]

    assert report["$defs"] == receipt["$defs"]
    shared = receipt["properties"].keys() & target.keys()
    assert shared == receipt["properties"].keys() - {
        "version",
        "run_id",
        "runner_version",
        "manifest",
    }
    assert all(receipt["properties"][key] == target[key] for key in shared)


def objects(node: Any) -> Iterator[dict[str, Any]]:
    """Yield every schema of an object."""
    if isinstance(node, dict):
        if node.get("type") == "object":
            yield node
        for value in node.values():
            yield from objects(value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
@settings(max_examples=100)
def test_values_are_indented_as_by_the_library(value: Any) -> None:
    """Any JSON value, with any nesting and any text in keys and values."""
    text = json_report.indented(value, "    ")

    assert text == json.dumps(value, indent=2).replace("\n", "\n    ")
