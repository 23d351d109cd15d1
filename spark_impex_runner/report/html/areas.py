"""Draw how many targets of a tenant were in which phase, for runs of too many rows."""

from __future__ import annotations

from itertools import accumulate, groupby
from typing import TYPE_CHECKING

from spark_impex_runner.report.html.bars import PHASES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from spark_impex_runner.report.html.bars import Bar
    from spark_impex_runner.report.html.scale import Scale

# The width of the picture in its own units: the number of averages over time that are drawn.
_COLUMNS = 120
_HEIGHT = 100
# The queue is often a hundred times longer than what runs, so it has a part of its own.
_BASE, _QUEUE = 104, 30
_ACTIVE = [name for name in PHASES if name != "queued"]


def area(every: Iterable[Bar], scale: Scale) -> str:
    """Return a picture of the active targets by phase, and of the queue below them."""
    counts = _counts(every, scale)
    # The areas lie on one another, so that each phase begins where those before it end.
    sums = list(accumulate((counts[name] for name in _ACTIVE), _added))
    active, queued = max(sums[-1]), max(counts["queued"])
    paths = [
        _path(name, [_HEIGHT - round(_HEIGHT * each / active) for each in heights], _HEIGHT)
        for name, heights in reversed(list(zip(_ACTIVE, sums, strict=True)))
        if active
    ]
    if queued:
        depths = [_BASE + round(_QUEUE * each / queued) for each in counts["queued"]]
        paths.append(_path("queued", depths, _BASE))
    title = f"at most {_number(active)} active, {_number(queued)} queued"
    box = f"0 0 {_COLUMNS} {_BASE + _QUEUE}"
    return (
        f'<div class="area"><span>{title}</span><svg viewBox="{box}" preserveAspectRatio="none" '
        f'role="img"><title>{title}</title>{"".join(paths)}</svg></div>\n'
    )


def _counts(every: Iterable[Bar], scale: Scale) -> dict[str, list[float]]:
    """Return the average number of targets in each phase, by columns of the picture."""
    counts = {name: [0.0] * _COLUMNS for name in PHASES}
    for bar in every:
        first, last = (scale.percent(at) * _COLUMNS / 100 for at in (bar.started, bar.finished))
        column = counts[bar.phase]
        for number in range(int(first), min(int(last) + 1, _COLUMNS)):
            column[number] += min(last, number + 1) - max(first, number)
    return counts


def _path(kind: str, heights: Sequence[int], base: int) -> str:
    """Return the area between a base line and heights, one for each column."""
    runs = ((height, len(list(same))) for height, same in groupby(heights))
    body = "".join(f"V{height}h{width}" for height, width in runs)
    return f'<path class="{kind}" d="M0 {base}{body}V{base}Z"/>'


def _added(one: list[float], other: list[float]) -> list[float]:
    return list(map(sum, zip(one, other, strict=True)))


def _number(count: float) -> str:
    """Return an average as a whole number, at least 1 where there was any."""
    return str(max(round(count), 1) if count else 0)
