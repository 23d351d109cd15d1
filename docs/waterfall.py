"""Draws a trace, as a collector received it, as a waterfall in SVG, for ``pictures.py``."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2
from terminal import BACKGROUND, FONT, FOREGROUND

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

# The units of the picture: the height of a row, the indent of a level, the places of the bars.
_ROW, _INDENT, _EDGE, _HEAD = 19, 14, 14, 58
_BARS, _END, _WIDTH = 352, 800, 880
_FAINT, _LINE, _FAILED = "#8b949e", "#21262d", "#ff7b72"
_WHOLE, _PHASE, _STEP, _CALL = "#79c0ff", "#d2a8ff", "#7ee787", "#e3b341"


@dataclass(frozen=True)
class Row:
    """One span: its depth in the tree, and its times in seconds since the begin of the trace."""

    name: str
    depth: int
    began: float
    ended: float
    is_call: bool = False
    failed: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether it is the run, or a target."""
        return self.name.startswith(("run ", "target "))

    @property
    def colour(self) -> str:
        """The colour of its bar."""
        if self.failed:
            return _FAILED
        if self.is_call:
            return _CALL
        return _WHOLE if self.is_whole else _STEP if self.name.startswith("step ") else _PHASE


def rows(requests: Iterable[bytes]) -> list[Row]:
    """Return the spans of a trace, each below its parent, in the order in which they began."""
    spans = [
        span
        for body in requests
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    spans.sort(key=lambda each: (each.start_time_unix_nano, -each.end_time_unix_nano))
    children: dict[bytes, list[trace_pb2.Span]] = {}
    for each in spans:
        children.setdefault(each.parent_span_id, []).append(each)
    [root] = children[b""]
    return list(_below(root, children, 0, root.start_time_unix_nano))


def _below(
    span: trace_pb2.Span, children: Mapping[bytes, Sequence[trace_pb2.Span]], depth: int, zero: int
) -> Iterator[Row]:
    is_call = span.kind == trace_pb2.Span.SPAN_KIND_CLIENT
    failed = span.status.code == trace_pb2.Status.STATUS_CODE_ERROR
    times = (span.start_time_unix_nano, span.end_time_unix_nano)
    began, ended = ((each - zero) / 1e9 for each in times)
    yield Row(span.name, depth, began, ended, is_call, failed)
    for each in children.get(span.span_id, ()):
        yield from _below(each, children, depth + 1, zero)


def svg(spans: Sequence[Row], title: str) -> str:
    """Return a trace as an SVG picture: names, bars on one axis of time, durations."""
    height = _HEAD + len(spans) * _ROW + _EDGE
    longest = spans[0].ended
    label = "\n".join(f"{'  ' * each.depth}{each.name} {_duration(each)}" for each in spans)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        f"<title>{escape(title)}\n{escape(label)}</title>",
        f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>',
        f'<g font-family="{FONT}" font-size="11.5" fill="{FOREGROUND}">',
        f'<text x="50%" y="21" text-anchor="middle" fill="{_FAINT}">{escape(title)}</text>',
        *_axis(longest, height),
        *(_drawn(each, number, longest) for number, each in enumerate(spans)),
        "</g></svg>",
    ]
    return "\n".join(parts) + "\n"


def _axis(longest: float, height: int) -> Iterator[str]:
    """Yield a line for each full second, or for so many that at most ten fit."""
    step = next(each for each in (1, 2, 5, 10, 30, 60, 600) if longest / each <= 10)
    for second in range(0, int(longest) + 1, step):
        x = _x(second, longest)
        yield f'<path d="M{x:.1f} {_HEAD - 8}V{height - _EDGE}" stroke="{_LINE}"/>'
        yield (
            f'<text x="{x:.1f}" y="{_HEAD - 14}" text-anchor="middle" fill="{_FAINT}">'
            f"{second} s</text>"
        )


def _drawn(row: Row, number: int, longest: float) -> str:
    y = _HEAD + number * _ROW
    began, ended = _x(row.began, longest), _x(row.ended, longest)
    weight = ' font-weight="bold"' if row.is_whole else ""
    return (
        f'<text x="{_EDGE + row.depth * _INDENT}" y="{y + 12}"{weight}>{escape(row.name)}</text>'
        f'<rect x="{began:.1f}" y="{y + 3}" width="{max(ended - began, 1.5):.1f}" '
        f'height="{_ROW - 8}" rx="1.5" fill="{row.colour}"/>'
        f'<text x="{ended + 6:.1f}" y="{y + 12}" fill="{_FAINT}">{_duration(row)}</text>'
    )


def _x(second: float, longest: float) -> float:
    return _BARS + (_END - _BARS) * second / longest


def _duration(row: Row) -> str:
    seconds = row.ended - row.began
    return f"{seconds:.2f} s" if seconds >= 0.995 else f"{seconds * 1000:.0f} ms"
