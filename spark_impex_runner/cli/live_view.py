"""The lines that show what a run does: a pure function of a snapshot and the terminal's size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain, islice, zip_longest
from typing import TYPE_CHECKING

from spark_impex_runner.cli.line import Piece, Style, joined
from spark_impex_runner.engine.snapshot import Activity
from spark_impex_runner.models import Outcome
from spark_impex_runner.report.figures import format_size
from spark_impex_runner.report.headline import outcome_text
from spark_impex_runner.text import display_width, shortened

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from spark_impex_runner.engine.snapshot import Snapshot

_RED, _YELLOW, _CYAN, _FAINT = "31", "33", "36", "2"
# Outcomes with a count of their own in the totals, and its colour.
_NOTABLE = {
    Outcome.FAILED: _RED,
    Outcome.TIMED_OUT: _RED,
    Outcome.CANCELLED: _YELLOW,
    Outcome.SKIPPED: _YELLOW,
}
# The most columns of connections and targets, and the columns of phases, bars and times.
_CONNECTION, _TARGET, _PHASE, _BAR, _VALUE = 12, 24, 11, 12, 5
# More columns say no more, and wrap when a window becomes narrower.
_WIDEST = 120
_NAMES_QUEUED = 20
_EIGHTHS = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")


def render(snapshot: Snapshot, width: int, height: int, style: Style) -> list[str]:
    """Return at most ``height`` lines, each of at most ``width`` columns."""
    width = min(width, _WIDEST)
    if height < 1 or width < 1:
        return []
    rows = _rows(snapshot, (width, height - 1), style)
    return [_first_line(snapshot, width, style), *(joined(row, width, style) for row in rows)]


def totals(snapshot: Snapshot) -> list[tuple[str, str]]:
    """Return the counts of the targets by what they do, the most important first, with colours."""
    queued = sum(map(len, snapshot.queued.values()))
    active = len(snapshot.active)
    later = snapshot.targets - snapshot.done - active - queued
    notable = [
        (f"{snapshot.ended[outcome]} {outcome_text(outcome)}", colour)
        for outcome, colour in _NOTABLE.items()
        if snapshot.ended.get(outcome)
    ]
    others = [
        (len(snapshot.held), "to approve", _YELLOW),
        (active, "running", ""),
        (queued, "queued", ""),
        (later, "on workers" if snapshot.distributed else "to come", ""),
    ]
    shown = [(f"{count} {words}", colour) for count, words, colour in others if count > 0]
    stopping = [("stopping", _YELLOW)] if snapshot.stopping else []
    return [*stopping, (f"{snapshot.done} of {snapshot.targets} done", ""), *notable, *shown]


def _first_line(snapshot: Snapshot, width: int, style: Style) -> str:
    """Return the line with the name, the time since the run began, and the totals."""
    name = shortened(style.text(snapshot.name), _TARGET, style.ellipsis)
    counts, dot = totals(snapshot), " · " if style.unicode else ", "
    pieces = [Piece(f"{name}  ", len(counts) + 1), Piece(f"{clock_time(snapshot.elapsed)}  ")]
    for number, (text, colour) in enumerate(counts):
        pieces.append(Piece(f"{dot if number else ''}{text}", number + 1, colour, not number))
    return joined(pieces, width, style, gap="")


def _rows(snapshot: Snapshot, size: tuple[int, int], style: Style) -> Iterator[list[Piece]]:
    """Yield the rows below the totals: jobs, downloads, steps and approvals, the slowest first."""
    groups = _groups(snapshot)
    width, room = size
    every = sum(map(len, groups))
    count = every if every <= room else max(room - 1, 0)
    # In turn from each group, so that many of one kind leave room for the others.
    turns = filter(None, chain.from_iterable(zip_longest(*groups)))
    chosen = {id(each) for each in islice(turns, count)}
    shown = [each for group in groups for each in group if id(each) in chosen]
    table = _Table.of(snapshot, shown, width, style)
    yield from map(table.row, shown)
    if every > room > 0:
        yield [Piece(f"{style.ellipsis} and {every - count} more", 0, _FAINT)]


def _groups(snapshot: Snapshot) -> list[list[Activity]]:
    """Return what has a row of its own: jobs, downloads, steps, and targets to approve."""
    downloads = [each for each in snapshot.active if each.phase == "downloading"]
    steps = [each for each in snapshot.active if each.phase == "steps"]
    jobs = [each for each in snapshot.active if each.phase not in {"downloading", "steps"}]
    busy = {each.connection for each in jobs}
    queues = [Activity(each, "", "queued") for each in snapshot.queued if each not in busy]
    held = snapshot.held.items()
    return [
        [*sorted(jobs, key=lambda each: each.elapsed - each.usual, reverse=True), *queues],
        sorted(downloads, key=lambda each: (each.left, each.elapsed), reverse=True),
        sorted(steps, key=lambda each: each.elapsed, reverse=True),
        [Activity("", name, "to approve", step=connection) for name, connection in held],
    ]


@dataclass(frozen=True, slots=True)
class _Table:
    """Rows with aligned columns; ``queues`` are those that a row shows, by its activity's id.

    The columns fit all names of the run, so that they do not move when a target begins or ends.
    """

    style: Style
    connection: int
    target: int
    queues: Mapping[int, Sequence[str]]

    @classmethod
    def of(cls, snapshot: Snapshot, shown: Sequence[Activity], width: int, style: Style) -> _Table:
        """Return the table for the shown rows of a snapshot."""
        several = len(snapshot.connections) > 1 and width >= 40
        longest = max(map(display_width, snapshot.connections), default=0)
        queues: dict[str, int] = {}
        for each in shown:
            if each.phase not in _DETAILS:
                queues.setdefault(each.connection, id(each))
        return cls(
            style,
            min(longest, _CONNECTION) if several else 0,
            min(display_width(snapshot.longest), _TARGET, _room_for_target(width)),
            {row: snapshot.queued.get(name, ()) for name, row in queues.items()},
        )

    def row(self, each: Activity) -> list[Piece]:
        """Return one row: connection, target, phase, and what is known of that."""
        queue = _queue(self.queues.get(id(each), ()), self.style)
        if not each.target:  # nothing but a queue: its names matter more than its columns
            return [*self._first_columns(each), *(replace(piece, rank=0) for piece in queue)]
        detail = _DETAILS.get(each.phase, _job)(each, self.style)
        return [*self._first_columns(each), *detail, *queue]

    def _first_columns(self, each: Activity) -> Iterator[Piece]:
        if self.connection:
            yield Piece(self._padded(each.connection, self.connection), 2)
        yield Piece(self._padded(each.target, self.target), 0 if each.target else 3)
        yield Piece((each.phase if each.target else "").ljust(_PHASE), 1)

    def _padded(self, text: str, width: int) -> str:
        cut = shortened(self.style.text(text), width, self.style.ellipsis)
        return cut + " " * (width - display_width(cut))


def _room_for_target(width: int) -> int:
    """Return the most columns of a target's name, which leave room for a value at least."""
    return width // 4 if width >= 60 else width // 3 if width >= 40 else max(width - _VALUE - 2, 1)


def _job(each: Activity, style: Style) -> Iterator[Piece]:
    yield Piece(clock_time(each.elapsed).rjust(_VALUE), 0)
    if each.busy:
        job = f"a job of {style.text(each.blocker)}" if each.blocker else "another job"
        yield Piece(f"the tenant runs {job}", 3, _YELLOW, elastic=True)
    elif each.usual >= 1:
        yield Piece(f"usually {clock_time(each.usual)}", 3, _FAINT)


def _queue(names: Sequence[str], style: Style) -> Iterator[Piece]:
    if names:
        more = ", …" if len(names) > _NAMES_QUEUED else ""
        shown = ", ".join(map(style.text, names[:_NAMES_QUEUED])) + more
        yield Piece(f"queue {len(names)}: {shown}", 4, _FAINT, elastic=True)


def _download(each: Activity, style: Style) -> Iterator[Piece]:
    if not each.size:
        yield Piece(clock_time(each.elapsed).rjust(_VALUE), 0)
        yield Piece(_rounded(each.received), 3)
    else:
        part = min(each.received / each.size, 1.0)
        yield Piece(f"{int(part * 100)} %".rjust(_VALUE), 0)
        yield Piece(_bar(part, style), 3, _CYAN)
        yield Piece(f"{_of(each.received, each.size)}", 4)
    if each.rate:
        yield Piece(f"{_rounded(int(each.rate))}/s", 5)
    if each.left:
        left = f"{each.left:.0f} s" if each.left < 59.5 else clock_time(each.left)
        yield Piece(f"{left} left", 2)


def _step(each: Activity, style: Style) -> Iterator[Piece]:
    yield Piece(clock_time(each.elapsed).rjust(_VALUE), 0)
    yield Piece(style.text(each.step), 2)
    if each.size:
        yield Piece(_rounded(each.size), 3, _FAINT)


def _held(each: Activity, style: Style) -> Iterator[Piece]:
    yield Piece(f"--approve {style.text(each.step)}", 2, _YELLOW)


_DETAILS = {"downloading": _download, "steps": _step, "to approve": _held}


def _rounded(count: int) -> str:
    """Return bytes without the decimals that would change all the time: ``24 MB``."""
    number, _, unit = format_size(count).partition(" ")
    return f"{float(number):.0f} {unit}" if float(number) >= 10 else f"{number} {unit}"


def _of(received: int, size: int) -> str:
    """Return ``118/190 MB``, with one unit where both have the same."""
    first, second = _rounded(received), _rounded(size)
    number, _, unit = first.partition(" ")
    return f"{number if second.endswith(f' {unit}') else first}/{second}"


def _bar(part: float, style: Style) -> str:
    if not style.unicode:
        return ("#" * int(part * _BAR)).ljust(_BAR, "-")
    whole, eighth = divmod(int(part * _BAR * 8), 8)
    return ("█" * whole + _EIGHTHS[eighth]).ljust(_BAR, "░")


def clock_time(seconds: float) -> str:
    """Return a duration as ``1:12`` or ``1:02:05``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
