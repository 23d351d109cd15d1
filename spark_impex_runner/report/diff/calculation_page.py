"""Write what moved in the results of cases as a part of the page: tables and a histogram."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from spark_impex_runner.report.diff.calculation import (
    evidence,
    not_calculated,
    percentage,
    sentence,
    shown,
)
from spark_impex_runner.report.html.markup import listed, text
from spark_impex_runner.text import escaped_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from spark_impex_runner.models import CaseDiff, Move, OutputMoves

STYLE = """
.moves td, .moves th { white-space: normal; overflow-wrap: anywhere }
.histogram { width: 100%; max-width: 40em; height: auto }
.histogram rect { fill: var(--other) }
.histogram text { fill: currentColor; font-size: 12px }
"""
_ROW, _LABELS, _BAR = 20, 130, 240


def section(diff: CaseDiff, show: int) -> Iterator[str]:
    """Yield the section of one service; all foreign text is escaped."""
    yield '<section aria-labelledby="results"><h2 id="results">Results</h2>\n'
    yield f"<p>{text(sentence(diff))}</p>\n<p>{text(evidence(diff))}</p>\n"
    if diff.calculated:
        yield _table(
            ("Output", "Moved", "Largest", "Mean", "Case", "Became an error"),
            map(_output, diff.outputs),
        )
    for each in diff.outputs:
        if each.moved:
            yield from _histogram(each)
    if moves := diff.moves[:show]:
        yield f"<h3>The {len(moves)} largest moves</h3>\n"
        yield _table(("Case", "Output", "Old", "New", "Move", "Inputs"), map(_move, moves))
    if diff.not_calculated:
        yield listed((text(escaped_line(each)) for each in not_calculated(diff)), "unknown")
    yield "</section>\n"


def _table(head: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    names = "".join(f'<th scope="col">{name}</th>' for name in head)
    body = "".join(
        f'<tr><th scope="row">{text(first)}</th>'
        f"{''.join(f'<td>{text(cell)}</td>' for cell in rest)}</tr>\n"
        for first, *rest in rows
    )
    return f'<table class="moves"><thead><tr>{names}</tr></thead>\n<tbody>{body}</tbody></table>\n'


def _output(each: OutputMoves) -> Sequence[str]:
    largest, mean = percentage(each.max_relative), percentage(each.mean_relative)
    counts = f"{each.moved:,}", f"{each.became_error:,}"
    worst = each.worst.case if each.worst else "-"
    return each.name, counts[0], largest, mean, worst, counts[1]


def _move(move: Move) -> Sequence[str]:
    inputs = "" if move.inputs is None else json.dumps(dict(move.inputs), ensure_ascii=False)
    values = shown(move.old), shown(move.new), percentage(move.relative)
    return move.case, move.output, *values, inputs


def _histogram(each: OutputMoves) -> Iterator[str]:
    """Yield the relative moves of an output as bars, and the same numbers in a table."""
    name = text(each.name)
    most = max(number for _, number in each.histogram) or 1
    height = _ROW * len(each.histogram)
    yield f"<h3>Relative moves of {name}</h3>\n"
    yield f'<svg class="histogram" viewBox="0 0 400 {height}" aria-hidden="true">\n'
    for row, (label, number) in enumerate(each.histogram):
        y = row * _ROW
        yield f'<text x="0" y="{y + 14}">{text(label)}</text>'
        yield f'<rect x="{_LABELS}" y="{y + 3}" width="{_BAR * number / most:.1f}" height="14"/>'
    yield "</svg>\n"
    yield _table(("Range", "Moves"), ((label, f"{number:,}") for label, number in each.histogram))
