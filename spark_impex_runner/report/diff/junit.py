"""Write what moved in the results of cases as JUnit XML: a case for each output."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from spark_impex_runner.report.diff.calculation import names, render, sentence
from spark_impex_runner.text import plain

if TYPE_CHECKING:
    from spark_impex_runner.models import CaseDiff


def render_calculation(diff: CaseDiff, show: int) -> str:
    """Return the document: an output that moved is a failure, what was not calculated an error."""
    root = ET.Element("testsuites")
    missing = diff.count - diff.calculated
    moved = [each for each in diff.outputs if each.moved]
    counts = {"tests": len(diff.outputs) + bool(missing), "failures": len(moved)}
    totals = {key: str(value) for key, value in {**counts, "errors": int(bool(missing))}.items()}
    suite = ET.SubElement(root, "testsuite", {"name": plain(names(diff)), **totals})
    details = "\n".join(render(diff, show))
    for each in diff.outputs:
        case = _case(suite, diff, each.name)
        if each.moved:
            message = f"{each.moved:,} of {diff.count:,} cases moved"
            failure = ET.SubElement(case, "failure", {"message": message, "type": "moved"})
            failure.text = details
    if missing:
        case = _case(suite, diff, "all cases are calculated")
        error = {"message": plain(sentence(diff)), "type": "not_calculated"}
        ET.SubElement(case, "error", error).text = details
    ET.indent(root)
    # ElementTree writes no declaration when it returns text.
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, "unicode")


def _case(suite: ET.Element, diff: CaseDiff, name: str) -> ET.Element:
    about = {"name": plain(name), "classname": plain(names(diff))}
    return ET.SubElement(suite, "testcase", about)
