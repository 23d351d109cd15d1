from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from spark_impex_runner.models import Outcome
from spark_impex_runner.report import html, json, junit, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from spark_impex_runner.models import RunResult, TargetResult

# The shape that CI servers have in common: element -> attributes and children that it may have.
SHAPE = {
    "testsuites": (set(), {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors", "skipped", "time", "timestamp"},
        {"testcase"},
    ),
    "testcase": ({"name", "classname", "time"}, {"failure", "error", "skipped", "system-out"}),
    "failure": ({"message", "type"}, set()),
    "error": ({"message", "type"}, set()),
    "skipped": ({"message", "type"}, set()),
    "system-out": (set(), set()),
}


def parse(result: RunResult) -> ET.Element:
    """Render and read the report."""
    return ET.fromstring(junit.render(result))  # noqa: S314 - our own text


def as_json(result: RunResult) -> str:
    """Return the JSON report as one text."""
    rendered = json.render(result)
    return rendered if isinstance(rendered, str) else "".join(rendered)


@pytest.mark.parametrize("render", [junit.render, html.render, text.render, as_json])
def test_reports_name_the_host_of_an_output(
    every_outcome: RunResult, render: Callable[[RunResult], str]
) -> None:
    """An output that only a worker sees is named with its host, any other without one."""
    there = tuple(replace(each, host="node-7") for each in every_outcome.results)

    assert "node-7" in render(replace(every_outcome, results=there))
    assert "node-7" not in render(every_outcome)


def test_every_outcome_has_the_common_shape(every_outcome: RunResult) -> None:
    """No element and no attribute is one that a CI server does not know."""
    for element in parse(every_outcome).iter():
        attributes, children = SHAPE[element.tag]
        assert set(element.attrib) == attributes
        assert {child.tag for child in element} <= children


def test_the_totals_count_the_cases(every_outcome: RunResult) -> None:
    """A dashboard shows the totals, so they have to be right."""
    suite = parse(every_outcome)[0]

    assert suite.attrib["tests"] == str(len(suite.findall("testcase"))) == "7"
    assert suite.attrib["failures"] == str(len(suite.findall("testcase/failure"))) == "2"
    assert suite.attrib["errors"] == str(len(suite.findall("testcase/error"))) == "1"
    assert suite.attrib["skipped"] == str(len(suite.findall("testcase/skipped"))) == "2"
    assert suite.attrib["time"] == "73.000"


def test_a_failure_says_why(every_outcome: RunResult) -> None:
    """The message is the error, special characters included."""
    failure = parse(every_outcome).find(".//testcase[@name='a-failed']/failure")

    assert failure is not None
    assert failure.attrib["message"] == 'JobError: the tenant said <no> & "never"'


def test_case_has_the_facts(target: TargetResult, run: Callable[..., RunResult]) -> None:
    """The output has job, files and digests."""
    out = parse(run(target)).findtext(".//system-out") or ""

    assert "tenant acme, job 34d7d465-86eb-4eed-a388-fa4525cf7be6" in out
    assert f"motor.zip 506657 bytes {'0a' * 32}" in out


def test_case_names_every_job(target: TargetResult, run: Callable[..., RunResult]) -> None:
    """A request that was divided has several."""
    several = replace(target, job_ids=("j1", "j2"))

    assert "job j1, j2\n" in (parse(run(several)).findtext(".//system-out") or "")


@pytest.mark.parametrize("text", ["\x00", "\x1b[31m", "\ud800", "\uffff", "]]>", "<!--"])
def test_any_text_gives_well_formed_xml(
    target: TargetResult, run: Callable[..., RunResult], text: str
) -> None:
    """Characters that XML forbids are replaced, markup stays text."""
    result = replace(target, outcome=Outcome.FAILED, error=text, warnings=(text,), job_id=text)

    junit.render(run(result)).encode()
    assert parse(run(result)).find(".//failure") is not None
