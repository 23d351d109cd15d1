"""Write the JSON report: everything about a run (schemas/report.schema.json)."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from spark_impex_runner.models import Outcome
from spark_impex_runner.report.data import delivery, time_span
from spark_impex_runner.report.headline import outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spark_impex_runner.models import RunResult, TargetResult

VERSION = 1
# No text in JSON has a line break, so that one separates items only.
_encode = json.JSONEncoder(separators=(",\n", ": ")).encode


def render(result: RunResult) -> Iterator[str]:
    """Yield the report as JSON in plain ASCII, which every encoding can represent.

    One target at a time: ten thousand at once would take 70 MB.
    """
    yield json.dumps(_run(result), indent=2).removesuffix("\n}")
    yield ',\n  "targets": ['
    for number, each in enumerate(result.results):
        text = indented(_target(each), "    ")
        yield f",\n    {text}" if number else f"\n    {text}"
    yield "\n  ]\n}\n" if result.results else "]\n}\n"


def indented(value: Any, indent: str) -> str:
    """Return a JSON value as ``json.dumps`` with ``indent=2`` does, below lines with ``indent``.

    In half its time, which matters for ten thousand targets after a signal: with an indent the
    library encodes each value in Python, without one a whole object in C.
    """
    if not value or not isinstance(value, (dict, list)):
        return _encode(value)
    inner = f"{indent}  "
    separator = f",\n{inner}"
    if isinstance(value, list):
        lines = [indented(each, inner) for each in value]
        return f"[\n{inner}{separator.join(lines)}\n{indent}]"
    nested = {key: each for key, each in value.items() if each and isinstance(each, (dict, list))}
    lines = _encode({**value, **dict.fromkeys(nested, 0)})[1:-1].split(",\n")
    if nested:
        for number, (key, each) in enumerate(value.items()):
            if key in nested:
                lines[number] = lines[number][:-1] + indented(each, inner)
    return f"{{\n{inner}{separator.join(lines)}\n{indent}}}"


def _run(result: RunResult) -> dict[str, Any]:
    return {
        "version": VERSION,
        "run_id": result.run_id,
        "runner_version": result.runner_version,
        "manifest": {"name": result.manifest.name, "path": str(result.manifest.path)},
        **time_span(result.started, result.finished),
        "outcome": outcome(result),
        "exit_code": result.exit_code,
        "signal": result.signal or None,
        "error": result.refusal or None,
        "counts": _counts(result),
    }


def _counts(result: RunResult) -> dict[str, int]:
    """Return the number of targets, and of those with each outcome."""
    counted = Counter(each.outcome for each in result.results)
    return {"total": len(result.results)} | {each.value: counted[each] for each in Outcome}


def _target(result: TargetResult) -> dict[str, Any]:
    return delivery(result) | {
        "tags": list(result.target.tags),
        "connection": result.target.connection,
        "output": str(result.target.output),
        "host": result.host or None,
        "exit_code": result.exit_code,
        "approve": result.approve or None,
        "approve_digests": list(result.digests),
        "approved": list(result.approved),
    }
