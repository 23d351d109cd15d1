"""Draw where the time of a run went: a row for each target, grouped by tenant, as SVG.

Positions are percentages, so that one drawing fits every width; colours, heights and dashes are
those of the style sheet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.models import Outcome
from spark_impex_runner.report.data import seconds, timestamp
from spark_impex_runner.report.figures import format_duration
from spark_impex_runner.report.headline import outcome_text
from spark_impex_runner.report.html.areas import areas
from spark_impex_runner.report.html.bars import PHASES, bars, times, totals
from spark_impex_runner.report.html.markup import folded, listed, shortened, text
from spark_impex_runner.report.html.scale import Scale, clock_time
from spark_impex_runner.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from spark_impex_runner.models import RunResult, TargetResult
    from spark_impex_runner.report.html.bars import Bar
    from spark_impex_runner.report.html.target import Entry

# A run of more targets than this shows one picture for each tenant, and its rows on demand.
MOST_OPEN = 40
# A run of more targets shows no rows, and one of more tenants not all of them: the page would be
# too large for a browser to be quick with.
MOST_ROWS = 600
MOST_TENANTS = 60
# Bars that are narrower than this percentage of the picture cannot be seen.
_VISIBLE = 0.1
# Pixels for one line of bars, which the style sheet knows, too.
_LINE = 14
_LONGEST = 120
_LONGEST_TITLE = 400
_SHAPES = {
    Outcome.FAILED: "M-4-4L4 4M4-4L-4 4",
    Outcome.TIMED_OUT: "M-4-4L4 4M4-4L-4 4",
    Outcome.HELD: "M0-5L5 0L0 5L-5 0Z",
    Outcome.CANCELLED: "M-4-4H4V4H-4Z",
}


def timeline(result: RunResult, entries: Sequence[Entry]) -> Iterator[str]:
    """Yield the timeline of a run; nothing if no target was started."""
    drawn = {each.id: bars(each.result) for each in entries}
    if not any(drawn.values()):
        return
    scale = Scale.covering(times(result))
    yield '<section aria-labelledby="timeline"><h2 id="timeline">Timeline</h2>\n'
    yield _legend(result, [bar for every in drawn.values() for bar in every])
    tenants: dict[str, list[Entry]] = {}
    for each in sorted(entries, key=lambda each: _begins(drawn[each.id])):
        if drawn[each.id]:
            tenants.setdefault(each.result.tenant, []).append(each)
    yield _axis(scale)
    for number, (tenant, group) in enumerate(tenants.items()):
        if number < MOST_TENANTS:
            yield from _tenant(tenant, group, drawn, scale, len(entries))
    if (more := len(tenants) - MOST_TENANTS) > 0:
        yield f'<p class="note">and {counted(more, "tenant")} more, which are not drawn</p>\n'
    yield "</section>\n"


def _tenant(
    tenant: str, group: list[Entry], drawn: dict[str, list[Bar]], scale: Scale, count: int
) -> Iterator[str]:
    """Yield the part of one tenant: rows, or one picture of them if there are many targets."""
    yield f'<h3 class="tenant">{text(tenant) or "unknown tenant"} '
    yield f"<small>{counted(len(group), 'target')}</small></h3>\n"
    if count > MOST_OPEN:
        yield _chart(areas([bar for each in group for bar in drawn[each.id]], scale), scale)
    if count > MOST_ROWS:
        return
    # With more rows, what each bar says would be a tenth of the page.
    titled = count <= MOST_OPEN
    rows = (_row(each, drawn[each.id], scale, titled=titled) for each in group)
    picture = _chart(rows, scale)
    yield folded("Each target", picture) if count > MOST_OPEN else picture


def _chart(rows: Iterable[str], scale: Scale) -> str:
    """Return rows before the lines of the ticks."""
    lines = "".join(
        f'<line x1="{percent:g}%" x2="{percent:g}%" y2="100%"/>' for percent, _ in scale.ticks()
    )
    grid = f'<svg class="grid" aria-hidden="true">{lines}</svg>'
    return f'<div class="chart">{grid}<ol>\n{"".join(rows)}</ol></div>\n'


def _row(entry: Entry, every: list[Bar], scale: Scale, *, titled: bool) -> str:
    """Return the row of one target: name, bars, and the time from the first to the last."""
    lines = max(bar.line for bar in every) + 1
    shown = [bar for bar in every if _width(bar, scale) >= _VISIBLE] or every
    body = "".join(_bar(bar, scale, titled=titled) for bar in shown) + _marks(entry.result, scale)
    title = shortened(", ".join(map(_spent, every)), _LONGEST_TITLE)
    length = format_duration(seconds(every[0].started, max(bar.finished for bar in every)))
    return (
        f'<li>{entry.link(_LONGEST)}<svg class="bars" height="{_LINE * lines}" role="img">'
        f"<title>{title}</title>{body}</svg><span>{length}</span>\n"
    )


def _bar(bar: Bar, scale: Scale, *, titled: bool) -> str:
    first, last = scale.percent(bar.started), scale.percent(bar.finished)
    # Each bar can be seen and hovered over, however short it is.
    last = max(last, min(first + 2 * _VISIBLE, 100.0))
    place = f' y1="{_LINE * bar.line}" y2="{_LINE * bar.line}"' if bar.line else ""
    line = f'<line class="{bar.phase}" x1="{first:g}%" x2="{last:g}%"{place}'
    if not titled:
        return f"{line}/>"
    title = f"{shortened(_spent(bar), _LONGEST)} from {clock_time(bar.started)}"
    return f"{line}><title>{title}</title></line>"


def _spent(bar: Bar) -> str:
    return f"{bar.label} {format_duration(bar.seconds)}"


def _marks(result: TargetResult, scale: Scale) -> str:
    """Return the symbols of approvals and of an end without success."""
    marks = ""
    if result.approved:
        given = ", ".join(result.approved)
        title = f"approved: {shortened(given, _LONGEST)}"
        marks += _mark(scale.percent(result.started), "approved", "M-13 0L-10 4L-4-4", title)
    if shape := _SHAPES.get(result.outcome):
        end, name = scale.percent(result.finished), result.outcome.value
        title = f"{outcome_text(result.outcome)} at {clock_time(result.finished)}"
        if result.outcome is Outcome.HELD:
            title += f", waits for the approval of {shortened(result.approve, _LONGEST)}"
            marks += f'<line class="waits" x1="{end:g}%" x2="100%"><title>{title}</title></line>'
        marks += _mark(end, name, shape, title)
    return marks


def _mark(percent: float, kind: str, shape: str, title: str) -> str:
    path = f'<path class="{kind}" d="{shape}"><title>{title}</title></path>'
    return f'<svg x="{percent:g}%">{path}</svg>'


def _axis(scale: Scale) -> str:
    """Return the axis with its zone; at a narrow width every second label is hidden."""
    labels = "".join(
        f'<text class="{_anchor(percent)}" x="{percent:g}%" y="12">{label}</text>'
        for percent, label in scale.ticks()
    )
    day = timestamp(scale.start)[:10]
    return (
        f'<div class="axis"><span>{day}, times in UTC</span>'
        f'<svg height="16" aria-hidden="true">{labels}</svg></div>\n'
    )


def _anchor(percent: float) -> str:
    """Return the class that keeps a label within the picture."""
    return "first" if percent < 4 else "last" if percent > 96 else "middle"


def _legend(result: RunResult, every: list[Bar]) -> str:
    """Return how each phase is drawn, with the time that all targets spent in it."""
    spent = totals(every)
    whole = sum(spent.values()) or 1.0
    items = [
        f"{_swatch(_line(name))}{PHASES[name]} <b>{format_duration(length)}</b> "
        f"<small>{length / whole:.0%}</small>"
        for name, length in spent.items()
    ]
    if any(each.outcome is Outcome.HELD for each in result.results):
        symbol = _mark(50, "held", _SHAPES[Outcome.HELD], "held")
        items.append(f"{_swatch(_line('waits') + symbol)}waits for an approval")
    return listed(items, "legend")


def _line(kind: str) -> str:
    return f'<line class="{kind}" x2="28"/>'


def _swatch(body: str) -> str:
    return f'<svg class="swatch" width="28" height="{_LINE}" aria-hidden="true">{body}</svg>'


def _width(bar: Bar, scale: Scale) -> float:
    return scale.percent(bar.finished) - scale.percent(bar.started)


def _begins(every: list[Bar]) -> float:
    """Return when a target's work began, so that rows stand in the order of their work."""
    work = [bar for bar in every if bar.phase != "queued"] or every
    return work[0].started.timestamp() if work else 0.0
