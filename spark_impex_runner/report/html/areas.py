"""Draw how many targets of a tenant were in each phase, for runs of too many rows."""

from __future__ import annotations

from itertools import accumulate, groupby
from typing import TYPE_CHECKING

from spark_impex_runner.report.html.bars import PHASES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spark_impex_runner.report.html.bars import Bar
    from spark_impex_runner.report.html.scale import Scale

# The size of a picture in its own units: so many averages over time are drawn.
_COLUMNS = 120
_HEIGHT = 100


def areas(every: Sequence[Bar], scale: Scale) -> Iterator[str]:
    """Yield a row for each phase: its name, a picture, and how many there were at most."""
    for phase, name in PHASES.items():
        if same := [bar for bar in every if bar.phase == phase]:
            averages = _averages(same, scale)
            title = f"{name}: at most {(most := _most(same))} at once"
            yield (
                f'<li><span>{name}</span><svg class="area" viewBox="0 0 {_COLUMNS} {_HEIGHT}" '
                f'preserveAspectRatio="none" role="img"><title>{title}</title>'
                f'<path class="{phase}" d="{_outline(averages)}"/></svg><span>max {most}</span>\n'
            )


def _most(every: Sequence[Bar]) -> int:
    """Return how many bars there are at most at the same time."""
    changes = [(bar.started, 1) for bar in every] + [(bar.finished, -1) for bar in every]
    # At the same time, what ends makes room for what begins.
    return max(1, *accumulate(change for _, change in sorted(changes)))


def _averages(every: Sequence[Bar], scale: Scale) -> list[float]:
    """Return the average number of bars in each column of the picture."""
    counts = [0.0] * _COLUMNS
    for bar in every:
        first, last = (scale.percent(at) * _COLUMNS / 100 for at in (bar.started, bar.finished))
        for number in range(int(first), min(int(last) + 1, _COLUMNS)):
            counts[number] += min(last, number + 1) - max(first, number)
    return counts


def _outline(averages: Sequence[float]) -> str:
    """Return the path around the area below the averages, the highest of which fills it."""
    highest = max(averages) or 1.0
    heights = [_HEIGHT - round(_HEIGHT * each / highest) for each in averages]
    runs = ((height, len(list(same))) for height, same in groupby(heights))
    steps = "".join(f"V{height}h{width}" for height, width in runs)
    return f"M0 {_HEIGHT}{steps}V{_HEIGHT}Z"
