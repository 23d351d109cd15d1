from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from spark_impex_runner.models import Outcome, PhaseTime, StepResult
from spark_impex_runner.report import html
from spark_impex_runner.report.html.areas import areas
from spark_impex_runner.report.html.bars import Bar, bars
from spark_impex_runner.report.html.scale import Scale

if TYPE_CHECKING:
    from collections.abc import Callable

    from spark_impex_runner.models import RunResult, TargetResult

START = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
PHASES = ("queued", "creating", "running", "downloading", "steps")


def at(seconds: float) -> datetime:
    """Return a time, counted from the start of the run."""
    return START + timedelta(seconds=seconds)


# Seconds from the start of the run: to before it, or long after it, if a clock was set.
offsets = st.floats(-1e5, 1e6) | st.floats(0, 100)
phases = st.builds(
    lambda name, start, length, job: PhaseTime(name, at(start), at(start + length), job),
    st.sampled_from(PHASES),
    offsets,
    st.floats(-1e4, 1e5),
    st.sampled_from(["", "j1", "j2", "j3"]),
)
steps = st.builds(
    lambda start, length: StepResult("unzip", "succeeded", length, started=start),
    st.none() | offsets.map(at),
    st.floats(0, 1e5),
)


def drawn(page: str, kind: str = "") -> list[tuple[float, float]]:
    """Return where each line of the pictures begins and ends, in percent."""
    found = re.findall(rf'<line class="({kind or ".*?"})" x1="(.*?)%" x2="(.*?)%"', page)
    return [(float(first), float(last)) for _, first, last in found]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    spans=st.lists(phases, max_size=6),
    own=st.lists(steps, max_size=3),
    outcome=st.sampled_from(Outcome),
    end=offsets,
)
@example(spans=[PhaseTime("steps", at(0), at(9))], own=[], outcome=Outcome.HELD, end=1e6)
def test_bars_stay_in_the_picture(
    target: TargetResult,
    run: Callable[..., RunResult],
    spans: list[PhaseTime],
    own: list[StepResult],
    outcome: Outcome,
    end: float,
) -> None:
    """Whatever the clock did: from left to right, within the picture, in order of time."""
    timed = replace(target, phases=tuple(spans), steps=tuple(own), outcome=outcome)
    timed = replace(timed, finished=at(end))

    page = html.render(run(timed))

    assert all(0 <= first <= last <= 100 for first, last in drawn(page))
    starts = [bar.started for bar in bars(timed)]
    assert starts == sorted(starts)
    assert all(bar.seconds >= 0 for bar in bars(timed))
    for each in re.findall(r'<svg class="bars".*?</svg>(?=<span>)', page):
        ET.fromstring(each)  # noqa: S314 - we wrote it


@given(start=st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)), length=st.floats(0.001, 1e9))  # noqa: DTZ001 - made aware below
def test_ticks_are_few_and_even(start: datetime, length: float) -> None:
    """At most nine, from left to right, at equal distances, for a second as for thirty years."""
    scale = Scale(start.replace(tzinfo=timezone.utc), length)

    places = [place for place, _ in scale.ticks()]

    assert len(places) <= 9
    assert places == sorted(places)
    distances = [after - before for before, after in pairwise(places)]
    assert not distances or max(distances) - min(distances) < 0.03


@pytest.mark.parametrize(
    ("length", "labels"),
    [
        (0.3, ["12:00:00.00", "12:00:00.05", "12:00:00.10"]),
        (4, ["12:00:00.0", "12:00:00.5", "12:00:01.0"]),
        (50, ["12:00:00", "12:00:10", "12:00:20"]),
        (1000, ["12:00", "12:05", "12:10"]),
        (100_000, ["12:00", "18:00", "1 Feb"]),
        (1_000_000, ["2 Feb", "4 Feb", "6 Feb"]),
    ],
)
def test_ticks_are_round_times(length: float, labels: list[str]) -> None:
    """Of the day while a run takes hours, of the month where it takes days."""
    assert [label for _, label in Scale(START, length).ticks()][:3] == labels


def test_bars_show_where_time_went(target: TargetResult, run: Callable[..., RunResult]) -> None:
    """A bar's place and width are the share of the run that it took."""
    spans = (PhaseTime("queued", at(0), at(36.5)), PhaseTime("running", at(36.5), at(73), "j1"))
    timed = replace(target, phases=spans, steps=())

    page = html.render(run(timed))

    assert drawn(page, "queued") == [(0, 50)]
    assert drawn(page, "running") == [(50, 100)]
    assert "<title>job running 36.5 s from 12:00:36</title>" in page
    assert "<title>queued 36.5 s, job running 36.5 s</title>" in page
    assert "queued <b>36.5 s</b> <small>50%</small>" in page


def test_steps_have_their_own_bars(target: TargetResult, run: Callable[..., RunResult]) -> None:
    """In place of the phase of all steps; one of an earlier run has none."""
    own = (
        StepResult("unzip", "succeeded", 2, started=at(1)),
        StepResult("upload", "warned", 4, started=at(3)),
        StepResult("checksum", "succeeded", 4),
    )
    timed = replace(target, phases=(PhaseTime("steps", at(0), at(9)),), steps=own)

    page = html.render(run(timed))

    assert "<title>unzip 2.0 s, upload (warned) 4.0 s</title>" in page
    assert "checksum</b> succeeded, in an earlier run" in page


def test_jobs_of_parts_are_drawn_apart(target: TargetResult, run: Callable[..., RunResult]) -> None:
    """What is done at the same time has lines of its own, what follows it stands beside it."""
    names = ("queued", "running", "downloading")
    first, second = (
        [PhaseTime(name, *span) for name, span in zip(names, pairwise(ends), strict=True)]
        for ends in ([at(0), at(10), at(25), at(30)], [at(0), at(20), at(45), at(50)])
    )
    # A thousandth of a second before the download has ended, for it is another clock's.
    step = StepResult("unzip", "succeeded", 9, started=at(49.999))
    parts = replace(target, phases=(*first, *second), steps=(step,))

    lines = [(bar.phase, bar.line) for bar in bars(parts)]

    assert lines == [
        *(("queued", 0), ("queued", 1), ("running", 0), ("running", 1), ("downloading", 0)),
        *(("downloading", 1), ("steps", 1)),
    ]
    page = html.render(run(parts))
    assert '<line class="running" x1="27.4%" x2="61.64%" y1="14" y2="14">' in page


def test_a_row_has_at_most_ten_lines(target: TargetResult, run: Callable[..., RunResult]) -> None:
    """A request that was split into thirty parts takes no more space than one of ten."""
    spans = [PhaseTime("running", at(0), at(50), f"j{number}") for number in range(30)]

    page = html.render(run(replace(target, phases=tuple(spans), steps=())))

    assert '<svg class="bars" height="140"' in page
    assert page.count('<line class="running"') == 31  # one of them in the legend


def test_a_hold_waits_until_the_end(target: TargetResult, run: Callable[..., RunResult]) -> None:
    """What waits for an approval still waits when the run has ended."""
    span = PhaseTime("steps", at(0), at(36.5))
    held = replace(target, phases=(span,), steps=(), outcome=Outcome.HELD, approve="prod")

    page = html.render(run(replace(held, finished=at(36.5))))

    assert drawn(page, "waits")[0] == (50, 100)
    assert "held at 12:00:36, waits for the approval of prod" in page


def test_targets_stand_below_their_tenant(many: Callable[..., RunResult]) -> None:
    """Those that began first come first, and tenants are not mixed."""
    chart = html.render(many(9, tenants=3)).split('id="timeline"')[1].split('id="details"')[0]

    names = re.findall(r"tenant-\d|motor-release-\d+", chart)

    assert names == [
        name
        for tenant in range(3)
        for name in (f"tenant-{tenant}", *(f"motor-release-{tenant + n:04d}" for n in (0, 3, 6)))
    ]


def test_a_run_without_times_has_no_timeline(every_outcome: RunResult) -> None:
    """Nothing was started, or an executor's plugin reported no times."""
    assert 'id="timeline"' not in html.render(every_outcome)


def test_many_targets_become_areas(many: Callable[..., RunResult]) -> None:
    """One for each phase, with rows on demand up to 600 targets, for at most 60 tenants."""
    some, lots = html.render(many(600, 3)), html.render(many(700, 70))

    assert (some.count('class="area"'), some.count('class="bars"')) == (3 * 5, 600)
    assert (lots.count('class="area"'), lots.count('class="bars"')) == (60 * 5, 0)
    assert "and 10 tenants more, which are not drawn" in lots
    assert "queued: at most 199 at once" in some


@pytest.mark.parametrize(
    ("outcome", "title"),
    [
        (Outcome.FAILED, "failed at 12:01:10"),
        (Outcome.TIMED_OUT, "timed out at 12:01:10"),
        (Outcome.CANCELLED, "cancelled at 12:01:10"),
        (Outcome.SUCCEEDED, ""),
    ],
)
def test_an_end_without_success_is_marked(
    target: TargetResult, run: Callable[..., RunResult], outcome: Outcome, title: str
) -> None:
    """At the end of its row; a good one has no mark."""
    span = PhaseTime("running", at(0), at(70))
    ended = replace(target, phases=(span,), steps=(), outcome=outcome, finished=at(70))

    row = html.render(run(ended)).split('<svg class="bars"')[1].split("<span>")[0]

    assert (f"<title>{title}</title></path>" in row) if title else "<path" not in row


def test_an_approval_is_marked(target: TargetResult, run: Callable[..., RunResult]) -> None:
    """Where the work that it allows begins."""
    span = PhaseTime("steps", at(36.5), at(70))
    timed = replace(target, phases=(span,), steps=(), approved=("prod@3f2a",), started=at(36.5))

    page = html.render(run(timed))

    assert '<svg x="50%"><path class="approved"' in page
    assert "<title>approved: prod@3f2a</title>" in page


def test_short_bars_give_way(target: TargetResult, run: Callable[..., RunResult]) -> None:
    """What is too short to be seen is not drawn, unless there is nothing else."""
    short = PhaseTime("creating", at(10), at(10.01))
    long = PhaseTime("running", at(10.01), at(70))

    both = html.render(run(replace(target, phases=(short, long), steps=())))
    alone = html.render(run(replace(target, phases=(short,), steps=())))

    assert drawn(both, "creating") == []
    assert drawn(alone, "creating") == [(13.7, 13.9)]


def test_areas_show_the_average() -> None:
    """How many targets were in a phase, and how many at most at the same time."""
    scale = Scale(START, 120)
    spans = [("running", 0, 60), ("running", 0, 30), ("running", 60, 60.4), ("queued", 0, 120)]
    every = [Bar(name, name, at(first), at(last)) for name, first, last in spans]

    queued, running = areas(every, scale)

    assert '<path class="running" d="M0 100V0h30V50h30V80h1V100h59V100Z"/>' in running
    assert "<title>job running: at most 2 at once</title>" in running
    assert '<path class="queued" d="M0 100V0h120V100Z"/>' in queued
    assert queued.endswith("<span>max 1</span>\n")
