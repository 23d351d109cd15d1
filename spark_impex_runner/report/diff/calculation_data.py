"""Write what moved in the results of cases for programs (schemas/diff.schema.json)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spark_impex_runner.models import CalculatedModule, CaseDiff, Move, OutputMoves


def as_data(diff: CaseDiff, show: int) -> dict[str, Any]:
    """Return the counts, which are never cut, and the ``show`` largest moves."""
    return {
        "old": _module(diff.old),
        "new": _module(diff.new),
        "engine": diff.engine or None,
        "clock": diff.clock,
        "cases": {"file": diff.file, "sha256": diff.sha256, "count": diff.count},
        "summary": {
            "same": diff.same,
            "moved": diff.moved,
            "not_calculated": diff.count - diff.calculated,
        },
        "reason": diff.reason or None,
        "random": list(diff.volatile),
        "saved_inputs": list(diff.saved),
        "outputs": {each.name: _output(each) for each in diff.outputs},
        "moves": [_move(each) for each in diff.moves[:show]],
        "not_calculated": [
            {"case": each.case, "side": each.side, "reason": each.reason}
            for each in diff.not_calculated
        ],
    }


def _module(module: CalculatedModule) -> dict[str, Any]:
    service, _, version = module.uri.removesuffix("]").partition("[")
    return {
        "service": service,
        "version": version,
        "module_sha256": module.sha256 or None,
        "compiler": module.compiler,
    }


def _output(each: OutputMoves) -> dict[str, Any]:
    return {
        "moved": each.moved,
        "max_relative": each.max_relative,
        "mean_relative": each.mean_relative,
        "max_absolute": each.max_absolute,
        "worst": each.worst.case if each.worst else None,
        "became_error": each.became_error,
        "beyond_12_digits": each.beyond_12_digits,
        "histogram": [{"range": label, "moves": number} for label, number in each.histogram],
    }


def _move(move: Move) -> dict[str, Any]:
    inputs = {} if move.inputs is None else {"inputs": dict(move.inputs)}
    return {
        "case": move.case,
        "output": move.output,
        "old": move.old,
        "new": move.new,
        "absolute": move.absolute,
        "relative": move.relative,
        **inputs,
    }
