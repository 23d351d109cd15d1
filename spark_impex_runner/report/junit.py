"""Write the JUnit report: a suite for the run and a case for each target."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from spark_impex_runner.models import Outcome
from spark_impex_runner.report.data import artifacts, job_ids, output_place, seconds, timestamp
from spark_impex_runner.report.headline import outcome_text
from spark_impex_runner.text import plain

if TYPE_CHECKING:
    from spark_impex_runner.models import RunResult, TargetResult

# JUnit has no verdict for a pending approval: it must not fail the build, so it is skipped.
_VERDICTS = {
    Outcome.FAILED: "failure",
    Outcome.TIMED_OUT: "failure",
    Outcome.HELD: "skipped",
    Outcome.CANCELLED: "error",
    Outcome.SKIPPED: "skipped",
}


def render(result: RunResult) -> str:
    """Return the report as JUnit XML.

    A failed or timed-out target is a failure, a cancelled one an error.
    """
    root = ET.Element("testsuites")
    suite = ET.SubElement(root, "testsuite", _totals(result))
    for each in result.results:
        _case(suite, each, result.manifest.name)
    if result.refusal:
        _refusal(suite, result)
    ET.indent(root)
    # ElementTree writes no declaration when it returns text.
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, "unicode") + "\n"


def _totals(result: RunResult) -> dict[str, str]:
    """Return the suite's attributes."""
    verdicts = [_VERDICTS.get(each.outcome) for each in result.results]
    return {
        "name": plain(result.manifest.name),
        "tests": str(len(verdicts) + bool(result.refusal)),
        "failures": str(verdicts.count("failure")),
        "errors": str(verdicts.count("error") + bool(result.refusal)),
        "skipped": str(verdicts.count("skipped")),
        "time": f"{seconds(result.started, result.finished):.3f}",
        "timestamp": timestamp(result.started),
    }


def _refusal(suite: ET.Element, result: RunResult) -> None:
    """Add a case for a run that could not begin: CI servers treat an empty suite as passed."""
    name = plain(result.manifest.name)
    case = ET.SubElement(suite, "testcase", {"name": "run", "classname": name, "time": "0.000"})
    ET.SubElement(case, "error", {"message": plain(result.refusal), "type": "refused"})


def _case(suite: ET.Element, each: TargetResult, manifest: str) -> None:
    """Add the case of one target."""
    time = f"{seconds(each.started, each.finished):.3f}"
    names = {"name": plain(each.target.name), "classname": plain(manifest)}
    case = ET.SubElement(suite, "testcase", {**names, "time": time})
    verdict = _VERDICTS.get(each.outcome)
    if verdict:
        message = plain(each.error) or outcome_text(each.outcome)
        ET.SubElement(case, verdict, {"message": message, "type": each.outcome.value})
    ET.SubElement(case, "system-out").text = "\n".join(_facts(each))


def _facts(each: TargetResult) -> list[str]:
    """Return the lines of a case's output."""
    files = [f"{item.name} {item.size} bytes {item.sha256}".strip() for item in artifacts(each)]
    steps = [f"step {step.uses} {step.outcome} {step.message}".strip() for step in each.steps]
    lines = [
        f"outcome {outcome_text(each.outcome)}",
        f"tenant {each.tenant or '-'}, job {', '.join(job_ids(each)) or '-'}",
        f"output {output_place(each)}",
        *files,
        *steps,
        *(f"warning: {text}" for text in each.warnings),
    ]
    return [plain(text) for text in lines]
